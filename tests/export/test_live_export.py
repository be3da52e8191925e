# SPDX-License-Identifier: MIT
"""The command makes a model's live graphs and engines from its checkpoints, or says in one line why not."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")
pytest.importorskip("onnx", reason="onnx is not installed: the player does without it")

from checkpoint_files import W_DIM, as_tensors, rosinality_state

from engines import open_engine
from engines.model_folder import read_model, verify_model
from engines.networks.live import Live
from export import LiveRequest, export_checkpoint, live_export, quantise, winograd
from export.tensorrt_rtx import MODULE
from export.verify import PictureVerification, verify_live
from face.errors import BadCheckpoint, WrongUse
from realtime.cli import main

ROWS, PARAMETERS, PIXELS = 4, 15, 64


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A matrix of directions and the generator it belongs to, as their authors write them."""
    folder = tmp_path_factory.mktemp("checkpoints")
    state = as_tensors(rosinality_state(PIXELS))
    for name, tensor in state.items():
        if name.startswith("to_rgb") and name.endswith("conv.weight"):
            tensor.mul_(0.1)
    torch.manual_seed(4)
    torch.save({"g_ema": state, "latent_avg": torch.randn(W_DIM)}, folder / "generator.pt")
    matrix = {
        "linear.weight": 0.3 * torch.randn(ROWS * W_DIM, PARAMETERS),
        "linear.bias": torch.randn(ROWS * W_DIM),
    }
    written = {"A_matrix": matrix, "learned_directions": PARAMETERS, "shift_scale": 6.0, "w_plus": True}
    torch.save({**written, "num_layers_shift": ROWS, "shift_dim": W_DIM}, folder / "A_matrix.pt")
    return folder / "A_matrix.pt", folder / "generator.pt"


@pytest.fixture(scope="module")
def model(checkpoints: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("model") / "vox"
    request = LiveRequest(precisions=("fp16", "int8"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantise, "LEAST_CHANNELS", 4)  # the test's generator is narrow
        patch.setattr(winograd, "LEAST_CHANNELS", 4)
        export_checkpoint(checkpoints[0], out, others=checkpoints[1:], live=request)
    return out


def test_folder_holds_live_graphs_beside_their_parts(model: Path) -> None:
    found = read_model(model)
    verify_model(found)
    assert set(found.graphs) == {
        "generator", "mapping", "directions", "live", "live-cpu", "live-fp16", "live-int8",
    }  # fmt: skip
    assert found.origin == "stelabou-directions + rosinality"
    assert [source["file"] for source in found.index["source"]] == ["A_matrix.pt", "generator.pt"]
    for role in ("live", "live-cpu", "live-fp16", "live-int8"):
        entry = found.index["graphs"][role]
        assert [spec["name"] for spec in entry["inputs"]] == ["identity", "delta"]
        assert entry["outputs"] == [{"name": "image", "shape": [1, PIXELS, PIXELS, 3], "dtype": "uint8"}]
        assert entry["config"] == {"psi": 0.7, "limit": None}  # its authors truncate, after the shift
        assert entry["verified"]["pictures"] == 4
    assert found.index["graphs"]["live"]["verified"]["max_levels"] <= 1
    assert found.index["graphs"]["live-cpu"]["verified"]["max_levels"] <= 1
    assert found.index["graphs"]["live-fp16"]["verified"]["psnr_db"] >= 45
    assert found.index["graphs"]["live-int8"]["verified"]["psnr_db"] >= 30
    assert found.index["graphs"]["live-int8"]["int8"]["convolutions"] > 0


def test_live_graph_does_what_the_parts_do(model: Path, checkpoints: tuple[Path, Path]) -> None:
    mean = torch.load(checkpoints[1], weights_only=True)["latent_avg"].numpy()
    rng = np.random.default_rng(3)
    rows = 2 * (PIXELS.bit_length() - 1) - 2
    identity = rng.standard_normal((1, rows, W_DIM)).astype(np.float32)
    delta = rng.uniform(-6, 6, (1, PARAMETERS)).astype(np.float32)
    with open_engine(model / "directions", backend="onnx") as engine:
        shift = engine.run(delta=delta)["shift"]
    w = identity.copy()
    w[:, :ROWS] += shift
    w = (mean + 0.7 * (w - mean)).astype(np.float32)
    with open_engine(model / "generator", backend="onnx") as engine:
        image = engine.run(w=w)["image"]
    expected = np.clip(image * 127.5 + 128, 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
    for asked, taken in (("live", "live-cpu.onnx"), ("live.onnx", "live.onnx")):
        with open_engine(model / asked, backend="onnx") as engine:
            assert engine.provenance.artefact == model / taken
            found = engine.run(identity=identity, delta=delta)["image"]
        assert np.abs(found.astype(int) - expected.astype(int)).max() <= 1


def test_form_for_the_cpu_that_rounds_too_much_is_left_out(
    checkpoints: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def strict(live: Live, path: Path, **options: Any) -> PictureVerification:
        if path.name == "live-cpu.onnx":
            raise BadCheckpoint("differs")
        return verify_live(live, path, **options)

    monkeypatch.setattr(winograd, "LEAST_CHANNELS", 4)
    monkeypatch.setattr(live_export, "verify_live", strict)
    export_checkpoint(
        checkpoints[0], tmp_path / "vox", onnx=False, others=checkpoints[1:], live=LiveRequest()
    )
    found = read_model(tmp_path / "vox")
    verify_model(found)
    assert "live" in found.graphs and "live-cpu" not in found.graphs
    assert not (tmp_path / "vox" / "live-cpu.onnx").exists()
    with open_engine(tmp_path / "vox" / "live", backend="onnx") as engine:
        assert engine.provenance.artefact.name == "live.onnx"


def test_live_network_is_kept_as_weights_for_torch(
    model: Path, checkpoints: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "vox"
    export_checkpoint(checkpoints[0], out, others=checkpoints[1:], safetensors=True, live=LiveRequest())
    verify_model(read_model(out))
    images = {}
    for backend in ("torch", "onnx"):
        with open_engine(out / "live", backend=backend) as engine:
            rng = np.random.default_rng(6)
            given = {s.name: rng.standard_normal(s.shape).astype(np.float32) for s in engine.inputs}
            images[backend] = engine.run(**given)["image"].astype(int)
    assert np.abs(images["torch"] - images["onnx"]).max() <= 1
    assert not (model / "live.safetensors").exists()  # nobody had asked
    assert not (out / "live-cpu.onnx").exists()  # the test's generator is narrow: nothing to gain


def test_command_builds_engines_and_tells_of_them(
    checkpoints: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    pytest.importorskip(MODULE, reason=f"{MODULE} is not installed", exc_type=ImportError)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    matrix, generator = (str(path) for path in checkpoints)
    status = main(
        ["export", matrix, "--with", generator, "--out", str(tmp_path / "vox"), "--no-onnx", "--json"]
        + ["--precision", "fp16", "--tensorrt-rtx", "--capability", "8.9"]
    )
    told = capsys.readouterr()
    assert status == 0
    report = json.loads(told.out.splitlines()[-1])
    (engine,) = report["engines"]
    assert (engine["graph"], engine["file"]) == ("live-fp16.onnx", "live-fp16.sm89.engine")
    assert engine["bytes"] == (tmp_path / "vox" / "live-fp16.sm89.engine").stat().st_size
    assert "live-fp16.sm89.engine" in told.err and "TensorRT-RTX" in told.err
    verify_model(read_model(tmp_path / "vox"))
    assert len(list(tmp_path.rglob("facepuppet/engines/*.engine"))) == 1, "and for the player"


@pytest.mark.parametrize(
    ("flags", "status", "said"),
    [
        (["--live"], 2, "one generator and one of directions"),
        (["--precision", "fp8"], 2, "--precision is 'fp8', expected one of: fp32, fp16, int8"),
        (["--tensorrt-rtx", "--capability", "sm86"], 2, "write it as 8.6"),
    ],
)
def test_what_cannot_be_meant_is_one_line_and_no_folder(
    checkpoints: tuple[Path, Path], tmp_path: Path, flags: list[str], status: int, said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    found = main(["export", str(checkpoints[0]), "--out", str(tmp_path / "out"), *flags])
    lines = capsys.readouterr().err.splitlines()
    assert found == status
    assert len(lines) == 1 and said in lines[0]
    assert not (tmp_path / "out").exists()


def test_two_generators_are_one_too_many(checkpoints: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="generator.pt has a generator, and so has"):
        export_checkpoint(checkpoints[1], tmp_path / "out", others=[checkpoints[1]])
