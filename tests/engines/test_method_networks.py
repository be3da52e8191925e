# SPDX-License-Identifier: MIT
"""The networks of whole methods are stored, read again and recorded as what they are."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")
pytest.importorskip("onnx", reason="onnx is not installed: the player does without it")

from engines import open_engine
from engines.networks.deca import Deca, DecaConfig
from engines.networks.encoder import Encoder, EncoderConfig
from engines.networks.face_embedding import FaceEmbedding
from engines.networks.feature_encoder import FeatureEncoder, FeatureEncoderConfig
from engines.networks.landmark_mapping import LandmarkMapping, LandmarkMappingConfig
from engines.networks.motion_mapping import (
    IdentityHalf,
    IdentityHalfConfig,
    MotionHalf,
    MotionHalfConfig,
    MotionMapping,
    MotionMappingConfig,
)
from engines.networks.restyle import Restyle, RestyleConfig
from engines.networks.store import load_any_network, save_network
from engines.networks.stylegan2 import SynthesisConfig
from engines.networks.stylemask import StyleMask, StyleMaskConfig
from engines.networks.stylespace import (
    StyleOffsets,
    StyleOffsetsConfig,
    Styles,
    StylesConfig,
    StyleSynthesis,
    StyleSynthesisConfig,
)
from export.checkpoints.identify import import_checkpoint
from export.onnx_export import save_graph
from export.verify import random_inputs, verify_graph

SYNTHESIS = SynthesisConfig(resolution=8, channels=(6, 4), w_dim=8)
ENCODER = EncoderConfig(
    4, "last", widths=(4, 6, 8, 12), depths=(1, 1, 1, 1), style_dim=8, reduction=2, input_channels=6
)
PLAIN = replace(ENCODER, backbone="resnet34", head="pyramid", input_channels=3)
OFFSETS = StyleOffsetsConfig((3, 2, 4), ("smile", "wink"), (2, 0), (1, 2))
LANDMARKS = LandmarkMappingConfig((4, 6, 8), 5, 2, 8, input_size=37)
NETWORKS = (
    Encoder(PLAIN),
    Restyle(RestyleConfig(ENCODER, SYNTHESIS, 2)),
    MotionMapping(MotionMappingConfig(3, 4)),
    IdentityHalf(IdentityHalfConfig(3, 4)),
    MotionHalf(MotionHalfConfig(3, 4)),
    LandmarkMapping(LANDMARKS),
    StyleMask(StyleMaskConfig((5, 3))),
    Styles(StylesConfig((6, 4), 8)),
    StyleSynthesis(StyleSynthesisConfig(SYNTHESIS)),
    StyleOffsets(OFFSETS),
    Deca(DecaConfig((3, 4, 5, 6), (1, 2, 1, 1), 7)),
)


@pytest.fixture(params=NETWORKS, ids=lambda network: f"{type(network).__name__}")
def network(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(2)
    with torch.no_grad():
        for name, value in request.param.state_dict().items():
            if value.dtype == torch.float32 and not name.endswith("fir"):
                value.add_(torch.randn_like(value) * 0.3)
                if name.endswith("running_var"):
                    value.abs_().add_(0.5)
    return request.param.eval()


def test_weight_file_gives_the_same_network(network: Any, tmp_path: Path) -> None:
    path = tmp_path / "network.safetensors"
    save_network(network, path)
    again = load_any_network(path).eval()
    assert again.config == network.config
    arrays = random_inputs(network.inputs, 2)
    values = [torch.tensor(arrays[spec.name]) for spec in network.inputs]
    with torch.no_grad():
        found, wanted = again(*values), network(*values)
    pairs = zip(found, wanted, strict=True) if isinstance(wanted, tuple) else [(found, wanted)]
    for mine, theirs in pairs:  # not to the bit: a convolution's sums depend on where its weights lie
        np.testing.assert_allclose(mine, theirs, atol=1e-5 * float(theirs.abs().max()), rtol=0)
    state = again.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert list(import_checkpoint(path).networks) == [network.role]


def test_graph_is_that_of_the_network(network: Any, tmp_path: Path) -> None:
    save_graph(network, tmp_path / "network.onnx")
    found = verify_graph(network, tmp_path / "network.onnx")
    assert found.max_value > 0.1
    with open_engine(tmp_path / "network.onnx", backend="onnx") as engine:
        assert engine.inputs == network.inputs
        assert engine.outputs == network.outputs


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: replace(ENCODER, backbone="vit"), "backbone"),
        (lambda: replace(ENCODER, widths=(4000, 6, 8, 12)), "activations"),
        (lambda: replace(LANDMARKS, channels=(4,) * 40), "convolutions"),
        (lambda: replace(LANDMARKS, channels=(100_000, 4)), "activations"),
        (lambda: DecaConfig(widths=(64, 128, 256)), "stages"),
        (lambda: DecaConfig(widths=(11_000, 128, 256, 512)), "activations"),
        (lambda: RestyleConfig(ENCODER, SYNTHESIS, 0), "0 iterations"),
        (lambda: RestyleConfig(ENCODER, SYNTHESIS, 10**6), "iterations"),
        (lambda: RestyleConfig(PLAIN, SYNTHESIS), "input channels"),
        (lambda: RestyleConfig(replace(ENCODER, num_styles=5), SYNTHESIS), "a decoder of"),
        (lambda: RestyleConfig(ENCODER, replace(SYNTHESIS, image_channels=1)), "image channels"),
        (lambda: replace(OFFSETS, channels=(1,)), "differ in number"),
        (lambda: replace(OFFSETS, channels=(4, 2)), "channel 4 of layer 2"),
        (lambda: replace(OFFSETS, layers=(3, 0)), "layer 3"),
    ],
)  # fmt: skip
def test_config_that_cannot_be_is_a_value_error(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()


def test_the_loop_of_one_step_is_the_encoder_around_the_mean_picture() -> None:
    torch.manual_seed(3)
    loop = Restyle(RestyleConfig(ENCODER, SYNTHESIS, 1)).eval()
    loop.encoder.latent_avg.normal_()
    image = torch.rand(2, 3, 256, 256)
    with torch.no_grad():
        mean = loop.picture_of(loop.encoder.latent_avg.expand(1, 4, 8)).expand(2, -1, -1, -1)
        np.testing.assert_allclose(loop(image), loop.encoder(torch.cat([image, mean], dim=1)), atol=1e-5)


def test_encoder_and_the_recogniser_it_looks_through_are_one_graph(tmp_path: Path) -> None:
    torch.manual_seed(6)
    encoder = FeatureEncoder(FeatureEncoderConfig(rows=4)).attach(FaceEmbedding().eval()).eval()
    save_graph(encoder, tmp_path / "encoder.onnx")
    found = verify_graph(encoder, tmp_path / "encoder.onnx")
    assert found.batches == (1, 2) and found.max_value > 0.1
