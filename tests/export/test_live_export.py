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
from engines.networks.live import LiveGenerator
from export import export_checkpoint, live_export, quantise, winograd
from export.live_request import LiveRequest
from export.tensorrt_rtx import MODULE
from export.verify import PictureVerification, verify_generator
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
    drawing = ("generator_live", "generator_live-cpu", "generator_live-fp16", "generator_live-int8")
    assert set(found.graphs) == {"generator", "mapping", "directions", "mover", *drawing}
    assert found.origin == "stelabou-directions + rosinality"
    assert [source["file"] for source in found.index["source"]] == ["A_matrix.pt", "generator.pt"]
    for role in drawing:
        entry = found.index["graphs"][role]
        assert [spec["name"] for spec in entry["inputs"]] == ["w"]
        assert entry["outputs"] == [{"name": "image", "shape": [1, PIXELS, PIXELS, 3], "dtype": "uint8"}]
        assert (entry["kind"], entry["config"]["kind"]) == ("live-generator", "stylegan2-synthesis")
        assert entry["verified"]["pictures"] == 4
    assert found.index["graphs"]["generator_live"]["verified"]["max_levels"] <= 1
    assert found.index["graphs"]["generator_live-cpu"]["verified"]["max_levels"] <= 1
    assert found.index["graphs"]["generator_live-fp16"]["verified"]["psnr_db"] >= 45
    assert found.index["graphs"]["generator_live-int8"]["verified"]["psnr_db"] >= 30
    assert found.index["graphs"]["generator_live-int8"]["int8"]["convolutions"] > 0
    mover = found.index["graphs"]["mover"]
    assert [spec["name"] for spec in mover["inputs"]] == ["identity", "delta"]
    assert [spec["name"] for spec in mover["outputs"]] == ["w"]
    assert mover["config"]["psi"] == 0.7 and mover["config"]["limit"] is None  # its authors truncate
    assert mover["verified"]["max_difference"] < 1e-4
    assert mover["verified_together"]["max_levels"] <= 1 and mover["verified_together"]["pictures"] == 4


def test_key_is_of_the_generator_alone(model: Path, checkpoints: tuple[Path, Path], tmp_path: Path) -> None:
    """An identity serves every method that moves its generator."""
    torch.save(torch.load(checkpoints[0]) | {"shift_scale": 5.0}, tmp_path / "A_matrix.pt")
    export_checkpoint(
        tmp_path / "A_matrix.pt", tmp_path / "vox", onnx=False, others=checkpoints[1:], live=LiveRequest()
    )
    state = torch.load(checkpoints[1])
    state["g_ema"]["conv1.conv.weight"] += 1
    torch.save(state, tmp_path / "generator.pt")
    export_checkpoint(
        checkpoints[0], tmp_path / "other", onnx=False, others=[tmp_path / "generator.pt"], live=LiveRequest()
    )
    keys = [read_model(folder).index["key"] for folder in (model, tmp_path / "vox", tmp_path / "other")]
    assert keys[0] == keys[1] != keys[2]


def test_live_graphs_do_what_the_parts_do(model: Path, checkpoints: tuple[Path, Path]) -> None:
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
    for asked, form in (("generator_live", "-cpu"), ("generator_live.onnx", "")):
        with (
            open_engine(model / "mover", backend="onnx") as mover,
            open_engine(model / asked, backend="onnx") as engine,
        ):
            assert engine.provenance.artefact == model / f"generator_live{form}.onnx"
            found = engine.run(**mover.run(identity=identity, delta=delta))["image"]
        assert np.abs(found.astype(int) - expected.astype(int)).max() <= 1


def test_form_for_the_cpu_that_rounds_too_much_is_left_out(
    checkpoints: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def strict(generator: LiveGenerator, path: Path, *given: Any, **options: Any) -> PictureVerification:
        if path.name == "generator_live-cpu.onnx":
            raise BadCheckpoint("differs")
        return verify_generator(generator, path, *given, **options)

    monkeypatch.setattr(winograd, "LEAST_CHANNELS", 4)
    monkeypatch.setattr(live_export, "verify_generator", strict)
    export_checkpoint(
        checkpoints[0], tmp_path / "vox", onnx=False, others=checkpoints[1:], live=LiveRequest()
    )
    found = read_model(tmp_path / "vox")
    verify_model(found)
    assert set(found.graphs) == {"generator", "mapping", "directions", "generator_live", "mover"}
    assert not (tmp_path / "vox" / "generator_live-cpu.onnx").exists()
    with open_engine(tmp_path / "vox" / "generator_live", backend="onnx") as engine:
        assert engine.provenance.artefact.name == "generator_live.onnx"


def test_both_networks_are_kept_as_weights_for_torch(
    model: Path, checkpoints: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "vox"
    export_checkpoint(checkpoints[0], out, others=checkpoints[1:], safetensors=True, live=LiveRequest())
    verify_model(read_model(out))
    images = {}
    for backend in ("torch", "onnx"):
        with (
            open_engine(out / "mover", backend=backend) as mover,
            open_engine(out / "generator_live", backend=backend) as engine,
        ):
            rng = np.random.default_rng(6)
            given = {s.name: rng.standard_normal(s.shape).astype(np.float32) for s in mover.inputs}
            images[backend] = engine.run(**mover.run(**given))["image"].astype(int)
    assert np.abs(images["torch"] - images["onnx"]).max() <= 1
    assert not list(model.glob("*.safetensors"))  # nobody had asked
    assert not (out / "generator_live-cpu.onnx").exists()  # the test's generator is narrow: nothing to gain


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
    assert {engine["graph"]: engine["file"] for engine in report["engines"]} == {
        "generator_live-fp16.onnx": "generator_live-fp16.sm89.engine",
        "mover.onnx": "mover.sm89.engine",
    }
    for engine in report["engines"]:
        assert engine["bytes"] == (tmp_path / "vox" / engine["file"]).stat().st_size
        assert engine["file"] in told.err and "TensorRT-RTX" in told.err
    verify_model(read_model(tmp_path / "vox"))
    assert len(list(tmp_path.rglob("facepuppet/engines/*.engine"))) == 2, "and for the player"


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
    doing, line = capsys.readouterr().err.splitlines()
    assert found == status
    assert doing == f"reading {checkpoints[0].name}" and said in line
    assert not (tmp_path / "out").exists()


def test_two_generators_are_one_too_many(checkpoints: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="generator.pt has a generator, and so has"):
        export_checkpoint(checkpoints[1], tmp_path / "out", others=[checkpoints[1]])
