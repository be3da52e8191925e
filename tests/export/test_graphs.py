# SPDX-License-Identifier: MIT
"""Graphs keep their contract, hold no arithmetic on constants, and are verified before anyone gets them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")
onnx = pytest.importorskip("onnx", reason="onnx is not installed: the player does without it")

from checkpoint_files import W_DIM, Z_DIM, as_tensors, nvlabs_state, rosinality_state, write_nvlabs
from torch.nn import functional

from engines import TensorSpec, open_engine
from engines.model_folder import read_model, verify_model
from engines.networks.directions import Directions, DirectionsConfig
from engines.networks.stylegan2 import Synthesis, SynthesisConfig
from export import export_checkpoint, model_export
from export.model_folder import new_folder  # noqa: E402
from export.onnx_export import save_graph
from export.tape import OPSET, record
from export.verify import verify_graph
from face.errors import BadCheckpoint, ModelUnavailable, SinkUnavailable, WrongUse

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    write_nvlabs(folder / "g.pkl", nvlabs_state(16), options={"conv_clamp": 256})
    export_checkpoint(folder / "g.pkl", folder / "out", safetensors=True)
    return folder / "out"


def test_inputs_and_outputs_have_the_promised_names_and_shapes(model: Path) -> None:
    with open_engine(model / "generator.onnx") as engine:
        assert engine.inputs == (TensorSpec("w", ("n", 6, W_DIM)),)
        assert engine.outputs == (TensorSpec("image", ("n", 3, 16, 16)),)
    with open_engine(model / "mapping.onnx") as engine:
        assert engine.inputs == (TensorSpec("z", ("n", Z_DIM)), TensorSpec("psi", ()))
        assert engine.outputs == (TensorSpec("w", ("n", 6, W_DIM)),)


def test_graph_is_valid_and_holds_no_arithmetic_on_constants(model: Path) -> None:
    for path in model.glob("*.onnx"):
        graph = onnx.load(path)
        onnx.checker.check_model(graph, full_check=True)
        assert graph.opset_import[0].version == OPSET
        constants = {constant.name for constant in graph.graph.initializer}
        for node in graph.graph.node:
            assert not set(node.input) <= constants, f"{path.name}: {node.name} could have been computed"
        assert not {node.op_type for node in graph.graph.node} & {"RandomNormal", "RandomNormalLike", "Shape"}


def test_recording_is_repeatable_to_the_byte(tmp_path: Path) -> None:
    network = Directions(DirectionsConfig(3, 2, 4))
    save_graph(network, tmp_path / "a.onnx")
    save_graph(network, tmp_path / "b.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_weights_of_the_torch_engine_give_the_same_image(model: Path) -> None:
    w = np.random.default_rng(1).standard_normal((2, 6, W_DIM)).astype(np.float32)
    images = []
    for backend in ("onnx", "torch"):
        with open_engine(model / "generator", backend=backend) as engine:
            images.append(engine.run(w=w)["image"])
    np.testing.assert_allclose(images[0], images[1], atol=1e-4)


def test_our_own_weight_file_exports_again(model: Path, tmp_path: Path) -> None:
    report = export_checkpoint(model / "generator.safetensors", tmp_path / "again")
    assert list(report.graphs) == ["generator"]
    assert (tmp_path / "again" / "generator.onnx").stat().st_size > 0


def test_a_folder_made_again_replaces_its_files_and_keeps_others(tmp_path: Path) -> None:
    out = tmp_path / "model"
    for content in ("first", "second"):
        with new_folder(out) as folder:
            (folder / "live.onnx").write_text(content)
        (out / "mine.txt").touch()
    with pytest.raises(ZeroDivisionError), new_folder(out) as folder:
        (folder / "live.onnx").write_text(str(1 / 0))
    assert (out / "live.onnx").read_text() == "second" and (out / "mine.txt").exists()
    assert list(tmp_path.iterdir()) == [out]


class Everything(torch.nn.Module):
    """One of each operator that networks of this project use."""

    inputs = (TensorSpec("x", ("n", 4, 8, 8)), TensorSpec("v", ("n", 6)))
    outputs = (TensorSpec("y", ("n", 9)), TensorSpec("picture", ("n", 8, 8, 3), "uint8"))

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.norm = torch.nn.BatchNorm2d(4)
        self.prelu = torch.nn.PReLU(4)
        self.matrix = torch.nn.Parameter(torch.randn(6, 6))

    def forward(self, x: "torch.Tensor", v: "torch.Tensor") -> Any:
        x = self.prelu(self.norm(x))
        x = torch.cat([x[:, 1:3], x[:, ::2].abs()], dim=1) - 0.1
        x = functional.interpolate(x, size=(16, 16), mode="bilinear", align_corners=True)
        x = functional.interpolate(x, size=(8, 8), mode="bilinear", align_corners=False)
        v = torch.tanh(v @ self.matrix) / (1 + v.pow(2).sum(dim=1, keepdim=True).sqrt())
        v = torch.stack([v, v.floor(), v**3], dim=1).transpose(1, 2).reshape(-1, 18)[:, :9]
        v = v.unsqueeze(1).squeeze(1) + x.amax(dim=(2, 3)).mean(dim=1, keepdim=True).expand(-1, 9)
        picture = (x[:, :3] * 127.5 + 128).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
        return functional.leaky_relu(v, 0.3), picture


@pytest.mark.parametrize("batch", [1, 4])
def test_every_operator_is_recorded_as_torch_runs_it(tmp_path: Path, batch: int) -> None:
    network = Everything().eval()
    onnx.save(record(network, network.inputs, network.outputs, title="everything"), tmp_path / "e.onnx")
    x, v = torch.randn(batch, 4, 8, 8), torch.randn(batch, 6)
    with torch.no_grad():
        expected = network(x, v)
    with open_engine(tmp_path / "e.onnx") as engine:
        found = engine.run(x=x.numpy(), v=v.numpy())
    np.testing.assert_allclose(found["y"], expected[0].numpy(), atol=TOLERANCE)
    np.testing.assert_allclose(found["picture"], expected[1].numpy(), atol=1)  # one grey level of rounding


def test_operator_without_translation_is_named() -> None:
    inputs, outputs = (TensorSpec("x", ("n", 4)),), (TensorSpec("y", ("n", 4)),)
    with pytest.raises(TypeError, match="aten::erfinv"):
        record(lambda x: torch.erfinv(x), inputs, outputs, title="x")


def test_output_that_ignores_its_input_is_refused() -> None:
    inputs, outputs = (TensorSpec("x", ("n", 4)),), (TensorSpec("y", ("n", 4)),)
    with pytest.raises(TypeError, match="y does not depend"):
        record(lambda x: torch.ones(4), inputs, outputs, title="x")


def test_graph_that_differs_from_its_network_is_not_accepted(tmp_path: Path) -> None:
    network = Synthesis(SynthesisConfig(resolution=8, channels=(8, 8), w_dim=8)).eval()
    save_graph(network, tmp_path / "generator.onnx")
    found = verify_graph(network, tmp_path / "generator.onnx")
    assert 0 <= found.max_difference < 1e-4 < found.max_value
    with torch.no_grad():
        network.blocks["b8"].conv0.bias.add_(0.01)
    with pytest.raises(BadCheckpoint, match="differs from torch"):
        verify_graph(network, tmp_path / "generator.onnx")


def test_index_vouches_for_every_file(model: Path, tmp_path: Path) -> None:
    found = read_model(model)
    assert set(found.graphs) == {"generator", "mapping"}
    assert {file.name for file in found.files} == {p.name for p in model.iterdir()} - {"model.json"}
    assert "NVIDIA" in found.licence
    verify_model(found)
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in model.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    data = bytearray((copy / "mapping.onnx").read_bytes())
    data[-1] ^= 1
    (copy / "mapping.onnx").write_bytes(data)
    with pytest.raises(ModelUnavailable, match="mapping.onnx was altered"):
        verify_model(read_model(copy))
    (copy / "mapping.onnx").unlink()
    with pytest.raises(ModelUnavailable, match="mapping.onnx is missing"):
        verify_model(read_model(copy))


@pytest.mark.parametrize(
    ("text", "said"), [("{}", "cannot be read"), ("nonsense", "cannot be read"), (None, "no model")]
)
def test_folder_without_a_good_index_is_one_line(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "model.json").write_text(text)
    with pytest.raises(ModelUnavailable, match=said):
        read_model(tmp_path)


def checkpoint(folder: Path) -> Path:
    torch.save({"g_ema": as_tensors(rosinality_state(8)), "latent_avg": torch.zeros(W_DIM)}, folder / "g.pt")
    return folder / "g.pt"


def test_report_is_the_last_line_of_the_command(tmp_path: Path) -> None:
    report = export_checkpoint(checkpoint(tmp_path), tmp_path / "a" / "b" / "model")
    line = json.loads(json.dumps(report.as_json()))
    assert line["origin"] == "rosinality"
    assert set(line["graphs"]) == {"generator", "mapping"}
    assert line["graphs"]["generator"]["max_difference"] < 1e-4
    assert (tmp_path / "a" / "b" / "model" / "model.json").is_file()


def test_existing_folder_keeps_its_other_files(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("kept")
    (tmp_path / "out" / "generator.onnx").write_text("old")
    export_checkpoint(checkpoint(tmp_path), tmp_path / "out")
    assert (tmp_path / "out" / "mine.txt").read_text() == "kept"
    with open_engine(tmp_path / "out" / "generator.onnx") as engine:
        assert engine.outputs[0].name == "image"
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(model_export, "save_graph", full)
    with pytest.raises(SinkUnavailable, match="No space left"):
        export_checkpoint(checkpoint(tmp_path), tmp_path / "a" / "model")
    assert [p.name for p in tmp_path.iterdir()] == ["g.pt"]


def test_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(SinkUnavailable, match="is a file"):
        export_checkpoint(checkpoint(tmp_path), tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_asking_for_no_output_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="--onnx"):
        export_checkpoint(checkpoint(tmp_path), tmp_path / "out", onnx=False)
