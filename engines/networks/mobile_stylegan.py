# SPDX-License-Identifier: MIT
"""MobileStyleGAN's synthesis network (Belousov 2021), whole or cut short at 256 or 512 pixels. Knows no file.

Depthwise-separable convolutions of modulated features; every doubling of the size is an inverse Haar
transform, of features and at the end of the image. Its demodulation does not depend on the style, so it
lives in the weights, and so do all constant gains. Noise is the stored constant. Its mapping network is
StyleGAN2's.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from engines.base import TensorSpec

SLOPE = 0.2  # no gain behind it, unlike StyleGAN2's
BANDS = 4
FULL_CHANNELS = (512, 512, 512, 512, 512, 256, 128, 64)  # of the published student, 1024 pixels


@dataclass(frozen=True, slots=True)
class MobileHeadConfig:
    """Features of S pixels to an image of 2 S; `hidden`: widths of layers of our own, where there are any."""

    inputs: int = 64
    hidden: tuple[int, ...] = ()
    w_dim: int = 512
    image_channels: int = 3


@dataclass(frozen=True, slots=True)
class MobileSynthesisConfig:
    """Features of 4, 8, ... pixels with channels[i] channels each; the image is twice the last of them.

    A head with hidden layers stands in for the last layer's second convolution too, the dearest of all.
    """

    channels: tuple[int, ...] = FULL_CHANNELS
    head: tuple[int, ...] = ()
    w_dim: int = 512
    image_channels: int = 3

    def __post_init__(self) -> None:
        if not 2 <= len(self.channels) <= 10 or any(c % BANDS for c in self.channels[:-1]):
            raise ValueError(f"channels {self.channels}, expected 2 to 10 multiples of {BANDS}")

    @property
    def size(self) -> int:
        return 4 << len(self.channels)

    @property
    def rows(self) -> int:
        """Styles an image is made of: the first convolution's, two a doubling, the head's."""
        return 2 * len(self.channels)


def inverse_haar(x: Tensor) -> Tensor:
    """(N, 4 C, H, W), bands one after the other, to (N, C, 2 H, 2 W); twice the orthonormal transform."""
    c = x.shape[1] // BANDS
    low, rows, columns, both = (x[:, i * c : (i + 1) * c] for i in range(BANDS))
    even, odd = low + rows, low - rows  # even and odd lines
    even_detail, odd_detail = columns + both, columns - both
    parts = (even + even_detail, even - even_detail, odd + odd_detail, odd - odd_detail)
    x = torch.stack(parts, dim=2).flatten(1, 2)  # (N, 4 C, H, W), a pixel's four neighbours together
    return functional.pixel_shuffle(x, 2)


def styled(x: Tensor, style: Tensor) -> Tensor:
    """Features (N, C, H, W) times their style (N, C)."""
    return x * style.to(x.dtype)[:, :, None, None]


class SeparableConv(nn.Module):
    """3x3 convolution of each channel, mix of channels, noise (where there is a size), bias, activation.

    `affine` makes the style of what goes in, but is not used here: where two styles meet, their product is
    applied once, before.
    """

    def __init__(self, inputs: int, outputs: int, *, size: int = 0, w_dim: int) -> None:
        super().__init__()
        self.affine = nn.Linear(w_dim, inputs)
        self.depthwise = nn.Parameter(torch.randn(inputs, 1, 3, 3) / 3)
        self.pointwise = nn.Parameter(torch.randn(outputs, inputs, 1, 1) * inputs**-0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noisy = size > 0
        if self.noisy:
            self.register_buffer("noise", torch.zeros(size, size))

    def forward(self, x: Tensor) -> Tensor:
        x = functional.conv2d(x, self.depthwise.to(x.dtype), padding=1, groups=x.shape[1])
        x = functional.conv2d(x, self.pointwise.to(x.dtype), self.bias.to(x.dtype))
        return functional.leaky_relu(x + self.noise.to(x.dtype) if self.noisy else x, SLOPE)


class DenseConv(nn.Module):
    """The first convolution, of the 4x4 constant: not separable."""

    def __init__(self, inputs: int, outputs: int, *, size: int, w_dim: int) -> None:
        super().__init__()
        self.affine = nn.Linear(w_dim, inputs)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3) * (9 * inputs) ** -0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("noise", torch.zeros(size, size))

    def forward(self, x: Tensor) -> Tensor:
        x = functional.conv2d(x, self.weight, self.bias, padding=1)
        return functional.leaky_relu(x + self.noise, SLOPE)


class Layer(nn.Module):
    """Twice the size by the inverse transform, then two convolutions, or one; reads a row of w for each."""

    def __init__(self, inputs: int, outputs: int, *, size: int, w_dim: int, whole: bool = True) -> None:
        super().__init__()
        self.up = nn.Linear(w_dim, inputs)
        self.conv1 = SeparableConv(inputs // BANDS, outputs, size=size, w_dim=w_dim)
        self.conv2 = SeparableConv(outputs, outputs, size=size, w_dim=w_dim) if whole else None

    def forward(self, x: Tensor, w1: Tensor, w2: Tensor) -> Tensor:
        shared = torch.cat([self.conv1.affine(w1)] * BANDS, dim=1)  # commutes with the transform
        style = self.up(w1) * shared
        x = self.conv1(inverse_haar(styled(x, style)))  # (N, C', 2 H, 2 W)
        return x if self.conv2 is None else self.conv2(styled(x, self.conv2.affine(w2)))


class MobileHead(nn.Module):
    """Features (N, C, S, S) and the last two rows of w (N, 2, w_dim) to an image (N, 3, 2 S, 2 S)."""

    kind: ClassVar[str] = "mobile-head"
    role: ClassVar[str] = "head"
    Config: ClassVar[type] = MobileHeadConfig

    def __init__(self, config: MobileHeadConfig) -> None:
        super().__init__()
        self.config = config
        widths = (config.inputs, *config.hidden)
        pairs = zip(widths[:-1], widths[1:], strict=True)
        self.layers = nn.ModuleList(
            SeparableConv(inputs, outputs, w_dim=config.w_dim) for inputs, outputs in pairs
        )
        self.affine = nn.Linear(config.w_dim, widths[-1])
        self.to_bands = nn.Conv2d(widths[-1], BANDS * config.image_channels, 1)
        self.inputs = (
            TensorSpec("features", ("n", config.inputs, "h", "w")),
            TensorSpec("rows", ("n", 2, config.w_dim)),
        )
        self.outputs = (TensorSpec("image", ("n", config.image_channels, "2h", "2w")),)

    def forward(self, x: Tensor, rows: Tensor) -> Tensor:
        """The first layer stands in for a convolution of the row before last; all else reads the last."""
        for index, layer in enumerate(self.layers):
            x = layer(styled(x, layer.affine(rows[:, min(index, 1)])))
        x = styled(x, self.affine(rows[:, 1])).float()
        return inverse_haar(self.to_bands(x))


class MobileSynthesis(nn.Module):
    """W+ (N, rows, w_dim), in the order of execution, to an image (N, 3, size, size), about [-1, 1].

    half: features above 8 pixels in float16; styles and image stay float32.
    """

    kind: ClassVar[str] = "mobile-synthesis"
    role: ClassVar[str] = "generator"
    Config: ClassVar[type] = MobileSynthesisConfig

    def __init__(self, config: MobileSynthesisConfig, *, half: bool = False) -> None:
        super().__init__()
        self.config, self.half_features = config, half
        first, w_dim = config.channels[0], config.w_dim
        self.constant = nn.Parameter(torch.randn(first, 4, 4))
        self.first = DenseConv(first, first, size=4, w_dim=w_dim)
        pairs = zip(config.channels[:-1], config.channels[1:], strict=True)
        last = len(config.channels) - 2
        self.layers = nn.ModuleList(
            Layer(inputs, outputs, size=8 << index, w_dim=w_dim, whole=index < last or not config.head)
            for index, (inputs, outputs) in enumerate(pairs)
        )
        self.head = MobileHead(
            MobileHeadConfig(config.channels[-1], config.head, w_dim, config.image_channels)
        )
        self.inputs = (TensorSpec("w", ("n", config.rows, w_dim)),)
        self.outputs = (TensorSpec("image", ("n", config.image_channels, config.size, config.size)),)

    def forward(self, w: Tensor) -> Tensor:
        """Rows: 0 the first convolution; 1 + 2 i and 2 + 2 i layer i; the last the image head."""
        return self.head(self.features(w), w[:, self.config.rows - 2 :])

    def features(self, w: Tensor) -> Tensor:
        """(N, channels[-1], size / 2, size / 2): what the head turns into an image."""
        x = self.constant * self.first.affine(w[:, 0])[:, :, None, None]  # (N, C, 4, 4)
        x = self.first(x)
        for index, layer in enumerate(self.layers):
            x = x.to(torch.float16) if self.half_features and index > 0 else x
            x = layer(x, w[:, 1 + 2 * index], w[:, 2 + 2 * index])
        return x


def cut_short(network: MobileSynthesis, head: MobileHead, *, size: int) -> MobileSynthesis:
    """The network as far as it takes to an image of `size`, which `head` makes; it shares what it keeps."""
    config = network.config
    channels = config.channels[: size.bit_length() - 3]
    if 4 << len(channels) != size or channels[-1] != head.config.inputs:
        raise ValueError(f"no {size} px of {config.size} by a head of {head.config.inputs} channels")
    short = MobileSynthesisConfig(channels, head.config.hidden, config.w_dim, config.image_channels)
    with torch.device("meta"):
        result = MobileSynthesis(short)
    trunk = {name: tensor for name, tensor in network.state_dict().items() if not name.startswith("head.")}
    own = {f"head.{name}": tensor for name, tensor in head.state_dict().items()}
    kept = {name: tensor for name, tensor in {**trunk, **own}.items() if name in result.state_dict()}
    result.load_state_dict(kept, assign=True)
    return result
