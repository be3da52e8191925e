# SPDX-License-Identifier: MIT
"""Half precision is where it is meant to be, near float32, and does not overflow where it easily would."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")
onnx = pytest.importorskip("onnx", reason="onnx is not installed: the player does without it")

from live_graphs import directions_live
from small_live import (
    CHANNELS,
    W_DIM,
    latents,
    small_alias_free,
    small_directions,
    small_live,
    small_synthesis,
)

from engines.networks.half import half_generator
from engines.networks.stylegan2 import StyledConv, SynthesisConfig
from export.live_graph import generator_of
from export.onnx_export import save_graph
from export.verify import compare_pictures, picture_of, verify_generator
from face.errors import WrongUse

HALF = onnx.TensorProto.FLOAT16
LOUD_STYLE = 3000.0  # 512 channels of noise times this sum up to 200,000 and more; fp16 ends at 65504


def test_graph_in_half_precision_is_near_torch_in_float32(tmp_path: Path) -> None:
    live = small_live()
    save_graph(half_generator(live.generator), tmp_path / "live.onnx")
    found = verify_generator(live.generator, tmp_path / "live.onnx", latents(live), precision="fp16")
    assert found.psnr_db >= 45 and found.max_levels <= 2
    assert found.inside > 0.9


def test_torch_in_half_precision_is_near_it_too() -> None:
    """ONNX Runtime's CPU computes fp16 graphs in float32 and rounds between; torch rounds every result."""
    live = small_live()
    both = half_generator(live.generator), live.generator
    pictures = [np.concatenate([picture_of(one, given) for given in latents(live)]) for one in both]
    found = compare_pictures(*pictures, "torch")
    assert 45 <= found.psnr_db < 90  # 90 or above: nothing was rounded


def test_only_features_above_eight_pixels_are_half(tmp_path: Path) -> None:
    save_graph(half_generator(small_live().generator), tmp_path / "live.onnx")
    model = onnx.shape_inference.infer_shapes(onnx.load(tmp_path / "live.onnx"))
    constants = {constant.name: constant.data_type for constant in model.graph.initializer}
    shapes = {
        value.name: [size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in model.graph.value_info
    }
    convolutions = [n for n in model.graph.node if n.op_type in ("Conv", "ConvTranspose")]
    assert any(constants[node.input[1]] == HALF for node in convolutions)
    for node in convolutions:
        size = shapes[node.output[0]][-1]
        image = constants_shape(model, node.input[1])[0] == 3 and node.op_type == "ConvTranspose"
        expected = size > 9 and not image  # a doubling to 8 px passes through 9
        assert (constants[node.input[1]] == HALF) == expected, node.name
    assert [value.type.tensor_type.elem_type for value in model.graph.input] == [onnx.TensorProto.FLOAT]


@pytest.mark.parametrize(("asked", "layers"), [(1, 2), (0, 3)])
def test_stylegan3_is_half_where_its_authors_have_it(tmp_path: Path, asked: int, layers: int) -> None:
    """Its layers above a rate; a file trained without half precision is given its authors' four."""
    live = directions_live(small_alias_free(fp16_blocks=asked), small_directions())
    save_graph(half_generator(live.generator), tmp_path / "live.onnx")
    found = verify_generator(live.generator, tmp_path / "live.onnx", latents(live), precision="fp16")
    assert 45 <= found.psnr_db < 90 and found.max_levels <= 2 and found.inside > 0.5
    model = onnx.load(tmp_path / "live.onnx")
    constants = {constant.name: constant for constant in model.graph.initializer}
    dense = [
        constants[node.input[1]].data_type == HALF
        for node in model.graph.node
        if node.op_type == "Conv" and constants[node.input[1]].dims[1] > 1
    ]
    first = 5 - 1 - layers  # the input's matrix and the layers before those in half precision
    assert dense == [False] * first + [True] * (len(dense) - first)


def constants_shape(model: "onnx.ModelProto", name: str) -> list[int]:
    return next(list(c.dims) for c in model.graph.initializer if c.name == name)


def test_loud_styles_do_not_overflow(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(3)
    config = SynthesisConfig(resolution=16, channels=(512, 512, 512), w_dim=W_DIM, conv_clamp=256.0)
    layer = StyledConv(512, 64, resolution=16, config=config).eval().requires_grad_(False)
    layer.affine.bias.fill_(LOUD_STYLE)
    x, style = torch.randn(1, 512, 16, 16), layer.affine(torch.randn(1, W_DIM))
    expected = layer(x, style)
    found = layer(x.half(), style)
    assert found.dtype == torch.float16
    # of a value up to about 5, eleven bits a term
    torch.testing.assert_close(found.float(), expected, atol=0.03, rtol=0.01)

    def plain(x: torch.Tensor, weight: torch.Tensor, style: torch.Tensor, **_: object) -> torch.Tensor:
        scaled = x * style.to(x.dtype)[:, :, None, None]
        demodulation = (style.square() @ weight.square().sum(dim=(2, 3)).t()).rsqrt()
        y = torch.nn.functional.conv2d(scaled, weight.to(x.dtype), padding=1)
        return y * demodulation.to(x.dtype)[:, :, None, None]

    monkeypatch.setattr("engines.networks.stylegan2.modulated_conv2d", plain)
    torch.testing.assert_close(layer(x, style), expected, atol=1e-3, rtol=1e-3)  # the same in float32
    assert (layer(x.half(), style) - expected).abs().max() > 1  # without care it overflows


def test_clamp_of_training_is_kept_in_half(tmp_path: Path) -> None:
    live = small_live(clamp=1.0)  # low enough to matter
    save_graph(half_generator(live.generator), tmp_path / "live.onnx")
    given = latents(live)
    assert verify_generator(live.generator, tmp_path / "live.onnx", given, precision="fp16").psnr_db >= 45
    unclamped = generator_of(small_synthesis(clamp=None))
    changed = compare_pictures(picture_of(unclamped, given[0]), picture_of(live.generator, given[0]), "")
    assert changed.psnr_db < 40  # a lost clamp would have been seen


def test_parameters_are_shared_and_the_first_network_stays_float32() -> None:
    live = small_live().generator
    half = half_generator(live)
    first, second = (dict(one.network.named_parameters()) for one in (live, half))
    assert all(
        first[name] is not None and first[name].data_ptr() == second[name].data_ptr() for name in first
    )
    assert half.network.half_above == 8
    assert live.network.half_above == 2 << len(CHANNELS)


class OnlyFloat(torch.nn.Module):
    """A generator of another kind."""

    kind, config = "only-float", None
    inputs, outputs = small_synthesis().inputs, small_synthesis().outputs


def test_generator_without_half_precision_is_refused() -> None:
    with pytest.raises(WrongUse, match="OnlyFloat generator has no half precision"):
        half_generator(generator_of(OnlyFloat()))
