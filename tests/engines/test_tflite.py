# SPDX-License-Identifier: MIT
"""TFLite networks in torch compute what TFLite does, and a broken file is a plain error."""

import zipfile

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")

from engines.networks.tflite import Graph, Step, TfliteNetwork, read_graph
from engines.package_models import landmarker_model
from face.errors import ModelUnavailable


def network(steps: list[Step], constants: dict[int, np.ndarray]) -> TfliteNetwork:
    return TfliteNetwork(Graph(constants, tuple(steps), (0,), (steps[-1].makes,)))


def content(name: str) -> bytes:
    with zipfile.ZipFile(landmarker_model()) as archive:
        return archive.read(name)


def test_same_padding_puts_the_odd_pixel_at_the_end() -> None:
    kernel = np.zeros((1, 3, 3, 1), np.float32)
    kernel[0, 0, 0] = 1.0  # picks the pixel at the upper left of each window
    conv = network([Step("conv", (0, 1, 2), 3, (0, 2, 2, 0, 1, 1))], {1: kernel, 2: np.zeros(1, np.float32)})
    x = torch.arange(16.0).reshape(1, 4, 4, 1)
    assert conv(x)[0].flatten().tolist() == [0, 2, 8, 10]  # stride 2 of 4: padded below and right only


def test_valid_depthwise_convolution_keeps_channels_apart() -> None:
    kernel = np.ones((1, 2, 2, 2), np.float32) * np.array([1.0, 10.0], np.float32)
    conv = network(
        [Step("depthwise", (0, 1, 2), 3, (1, 1, 1, 0, 1, 1))], {1: kernel, 2: np.zeros(2, np.float32)}
    )
    y = conv(torch.ones(1, 2, 2, 2))[0]
    assert y.flatten().tolist() == [4, 40]


def test_prelu_and_pad_and_pool() -> None:
    steps = [
        Step("prelu", (0, 1), 3, ()),
        Step("pad", (3, 2), 4, ()),
        Step("max_pool", (4,), 5, (1, 2, 2, 2, 2, 0)),
    ]
    amounts = np.array([[0, 0], [0, 0], [0, 0], [0, 1]], np.int32)  # one empty channel more
    net = network(steps, {1: np.array([[[0.5]]], np.float32), 2: amounts})
    y = net(torch.tensor([[-4.0, -2.0], [-8.0, -6.0]]).reshape(1, 2, 2, 1))[0]
    assert y.tolist() == [[[[-1.0, 0.0]]]]


def test_a_batch_is_as_its_samples_one_by_one() -> None:
    net = TfliteNetwork(read_graph(content("face_blendshapes.tflite")))
    points = torch.randn(3, 146, 2, generator=torch.Generator().manual_seed(0))
    together = net(points)[0]
    apart = torch.cat([net(one[None])[0] for one in points])
    assert together.shape == (3, 52)
    assert torch.allclose(together, apart, atol=1e-6)
    assert (together[0] - together[1]).abs().max() > 1e-3


@pytest.mark.parametrize("broken", [b"", b"TFL3", b"\x10\0\0\0TFL3" + b"\xff" * 64])
def test_what_is_no_network_is_named(broken: bytes) -> None:
    with pytest.raises(ModelUnavailable, match="TFLite"):
        read_graph(broken)


def test_a_file_cut_short_is_named() -> None:
    whole = content("face_blendshapes.tflite")
    with pytest.raises(ModelUnavailable, match="TFLite"):
        read_graph(whole[: len(whole) // 2])
