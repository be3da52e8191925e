# SPDX-License-Identifier: MIT
"""Winograd's form gives the same picture, and leaves alone what would not gain."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")
onnx = pytest.importorskip("onnx", reason="onnx is not installed: the player does without it")

from live_graphs import directions_live
from small_live import latents, small_directions, small_synthesis

from engines import TensorSpec, open_engine
from engines.networks.live import Live
from engines.networks.ops import blur, fir_kernel
from export.onnx_export import save_graph
from export.tape import record
from export.verify import PictureVerification, verify_generator
from export.winograd import winograd_graph

ROUNDING = 3e-5  # of the largest value; 1e-5 was measured for 64 to 512 channels
PHASES_ROUNDING = 3e-6  # the same products in another order


def verified(live: Live, folder: Path) -> PictureVerification:
    return verify_generator(live.generator, folder / "fast.onnx", latents(live))


def test_live_picture_is_the_same(tmp_path: Path) -> None:
    live = directions_live(small_synthesis(channels=(96, 96, 96, 96)), small_directions())
    save_graph(live.generator, tmp_path / "live.onnx")
    assert winograd_graph(tmp_path / "live.onnx", tmp_path / "fast.onnx") == 3  # conv1 at 16, 32 px; up to 32
    before, after = (
        [node.op_type for node in onnx.load(tmp_path / f"{name}.onnx").graph.node]
        for name in ("live", "fast")
    )
    assert after.count("ConvTranspose") == before.count("ConvTranspose") - 1
    found = verified(live, tmp_path)
    assert found.inside > 0.9


@pytest.mark.parametrize("clamp", [None, 0.8], ids=["no clamp", "a clamp that cuts"])
def test_fewer_passes_give_the_same_picture(clamp: float | None, tmp_path: Path) -> None:
    synthesis = small_synthesis(clamp=clamp, channels=(24, 24, 16, 8, 4))
    live = directions_live(synthesis, small_directions())
    save_graph(live.generator, tmp_path / "live.onnx")
    assert winograd_graph(tmp_path / "live.onnx", tmp_path / "fast.onnx") == 0  # all too narrow
    passes = [whole_passes(tmp_path / f"{name}.onnx") for name in ("live", "fast")]
    # Of nine layers a gain each, of five pictures a style; of resampled layers with more activations than
    # weights a style and a scale; of the five others an offset.
    assert passes[0] - passes[1] >= 9 + 5 + 5
    assert verified(live, tmp_path).max_levels <= 1


def test_weights_are_scaled_only_where_they_are_fewer_than_activations(tmp_path: Path) -> None:
    live = directions_live(small_synthesis(channels=(64, 64, 4, 4)), small_directions())
    save_graph(live.generator, tmp_path / "live.onnx")
    winograd_graph(tmp_path / "live.onnx", tmp_path / "fast.onnx")
    graph = onnx.load(tmp_path / "fast.onnx").graph
    constants = {constant.name for constant in graph.initializer}
    resampled = [node for node in graph.node if node.op_type == "ConvTranspose"]
    dense = [node for node in resampled if {a.name: a.i for a in node.attribute}["group"] == 1]
    assert [node.input[1] in constants for node in dense] == [True, True, False]
    assert verified(live, tmp_path).max_levels <= 1


def whole_passes(path: Path) -> int:
    """How many additions and multiplications go over a layer's whole activation."""
    graph = onnx.shape_inference.infer_shapes(onnx.load(path)).graph
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in graph.value_info}
    sized = [shapes.get(n.output[0], []) for n in graph.node if n.op_type in ("Add", "Mul")]
    return sum(len(shape) == 4 and shape[0] == 1 and shape[2] > 1 for shape in sized)


@pytest.mark.parametrize(("inputs", "outputs", "size"), [(32, 16, 16), (48, 32, 17), (96, 96, 24)])
def test_up_convolution_is_the_same(inputs: int, outputs: int, size: int, tmp_path: Path) -> None:
    torch.manual_seed(2)
    weight, x = torch.randn(outputs, inputs, 3, 3), torch.randn(1, inputs, size, size)
    expected = up_convolution(weight, x, tmp_path / "plain.onnx")
    assert winograd_graph(tmp_path / "plain.onnx", tmp_path / "fast.onnx") == 1
    operators = [node.op_type for node in onnx.load(tmp_path / "fast.onnx").graph.node]
    assert "ConvTranspose" not in operators
    with open_engine(tmp_path / "fast.onnx", backend="onnx") as engine:
        found = engine.run(x=x.numpy())["y"]
    np.testing.assert_allclose(found, expected, atol=PHASES_ROUNDING * float(np.abs(expected).max()))


@pytest.mark.parametrize(
    ("inputs", "outputs", "size"),
    [(32, 32, 8), (32, 32, 24), (40, 32, 16), (32, 24, 16)],
    ids=["small", "narrow for its size", "inputs no multiple of 16", "outputs no multiple of 16"],
)
def test_up_convolution_that_would_not_gain_stays(
    inputs: int, outputs: int, size: int, tmp_path: Path
) -> None:
    weight, x = torch.randn(outputs, inputs, 3, 3), torch.randn(1, inputs, size, size)
    up_convolution(weight, x, tmp_path / "plain.onnx")
    assert winograd_graph(tmp_path / "plain.onnx", tmp_path / "fast.onnx") == 0


def up_convolution(weight: torch.Tensor, x: torch.Tensor, path: Path) -> NDArray[np.float32]:
    """Write the graph of a plain one; what torch makes of x."""
    fir = fir_kernel()

    def layer(x: torch.Tensor) -> torch.Tensor:
        x = torch.nn.functional.conv_transpose2d(x * 1.0, weight.transpose(0, 1), stride=2)
        return blur(x, fir, gain=4.0) + 0.0

    outputs, size = weight.shape[0], x.shape[-1]
    specs = (TensorSpec("x", tuple(x.shape)),), (TensorSpec("y", (1, outputs, 2 * size, 2 * size)),)
    onnx.save(record(layer, *specs, title="x"), path)
    with torch.no_grad():
        return np.asarray(layer(x).numpy())


@pytest.mark.parametrize(("inputs", "outputs", "size"), [(64, 96, 16), (128, 96, 20), (96, 160, 64)])
def test_convolution_is_the_same(inputs: int, outputs: int, size: int, tmp_path: Path) -> None:
    torch.manual_seed(1)
    layer = torch.nn.Conv2d(inputs, outputs, 3, padding=1, bias=False).eval()
    specs = (TensorSpec("x", (1, inputs, size, size)),), (TensorSpec("y", (1, outputs, size, size)),)
    onnx.save(record(lambda x: layer(x * 1.0) + 0.0, *specs, title="x"), tmp_path / "plain.onnx")
    assert winograd_graph(tmp_path / "plain.onnx", tmp_path / "fast.onnx") == 1
    x = torch.randn(1, inputs, size, size)
    with torch.no_grad():
        expected = layer(x).numpy()
    with open_engine(tmp_path / "fast.onnx", backend="onnx") as engine:
        found = engine.run(x=x.numpy())["y"]
    np.testing.assert_allclose(found, expected, atol=ROUNDING * float(np.abs(expected).max()))


@pytest.mark.parametrize(
    ("inputs", "outputs", "size", "options"),
    [
        (48, 96, 32, {}),
        (96, 96, 18, {}),
        (96, 96, 32, {"stride": 2}),
        (96, 96, 32, {"padding": 0}),
        (96, 96, 32, {"groups": 96}),
    ],
    ids=["narrow", "no multiple of four", "stride", "no padding", "a channel each"],
)
def test_what_does_not_fit_stays(
    inputs: int, outputs: int, size: int, options: dict[str, int], tmp_path: Path
) -> None:
    layer = torch.nn.Conv2d(inputs, outputs, 3, bias=False, **{"padding": 1, **options}).eval()
    side = layer(torch.zeros(1, inputs, size, size)).shape[-1]
    specs = (TensorSpec("x", (1, inputs, size, size)),), (TensorSpec("y", (1, outputs, side, side)),)
    onnx.save(record(lambda x: layer(x * 1.0) + 0.0, *specs, title="x"), tmp_path / "plain.onnx")
    assert winograd_graph(tmp_path / "plain.onnx", tmp_path / "fast.onnx") == 0
