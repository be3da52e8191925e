# SPDX-License-Identifier: MIT
"""StyleGAN3's synthesis network, T and R (Karras et al. 2021). Knows no checkpoint.

Every layer lives on a grid of its own, wider than the picture by a margin and centred on it. Filters are
weights here: they come with the others and are not designed again. The mapping network is StyleGAN2's.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from engines.base import TensorSpec
from engines.networks.alias_free import filtered_leaky_relu, fourier_features, modulated_full_conv2d
from engines.networks.stylegan2 import Dense

ACTIVATION_RATE = 2  # leaky ReLUs run at this many times the higher of a layer's two sampling rates
MAX_SAMPLES = 1 << 30  # of one activation, 4 GiB: R has 7e8 at 1024 pixels
MAX_MARGIN = 256  # samples of a grid outside of the picture; public models have 20


@dataclass(frozen=True, slots=True)
class AliasFreeConfig:
    """W+ to image; one entry a layer, the last of which makes the image and neither filters nor activates."""

    channels: tuple[int, ...] = (512,) * 7 + (323, 203, 128, 81, 51, 32, 32, 3)
    sizes: tuple[int, ...] = (36, 36, 52, 52, 84, 148, 148, 276, 276, 532, 1044, 1044, 1044, 1024, 1024)
    rates: tuple[int, ...] = (16, 16, 32, 32, 64, 128, 128, 256, 256, 512, 1024, 1024, 1024, 1024, 1024)
    radial: tuple[bool, ...] = (False,) * 15  # whether a layer's filter behind its activation is round
    kernel_size: int = 3  # R: 1
    filter_size: int = 6  # taps of a filter for each sample of the lower rate
    input_size: int = 36
    input_channels: int = 512
    input_rate: int = 16  # samples a picture's width
    bandwidth: float = 2.0  # of the input, cycles a picture's width
    output_scale: float = 0.25
    w_dim: int = 512
    conv_clamp: float | None = None
    fp16_blocks: int = 0  # highest rates computed in fp16 by `AliasFreeSynthesis(config, half=True)`

    def __post_init__(self) -> None:
        layers = len(self.channels)
        if layers < 2 or not len(self.sizes) == len(self.rates) == len(self.radial) == layers:
            raise ValueError(
                f"{layers} widths, {len(self.sizes)} sizes, {len(self.rates)} rates and {len(self.radial)} "
                "filters, expected as many of each"
            )
        whole = (*self.channels, *self.sizes, *self.rates, self.kernel_size, self.filter_size)
        if min(*whole, self.input_size, self.input_channels, self.input_rate, self.w_dim) < 1:
            raise ValueError("a width, size, rate or kernel is not above 0")
        if self.input_rate / 2 <= self.bandwidth:
            raise ValueError(f"bandwidth {self.bandwidth} at rate {self.input_rate}, expected under half")
        if self.sizes[-1] != self.sizes[-2]:
            raise ValueError(f"an image of {self.sizes[-1]} pixels from {self.sizes[-2]}, expected the same")
        grids = [(self.input_size, self.input_rate), *zip(self.sizes, self.rates, strict=True)]
        if any(size > rate + MAX_MARGIN for size, rate in grids):
            raise ValueError(f"a grid is more than {MAX_MARGIN} samples wider than the picture")
        for index in range(layers - 1):
            samples = self.channels[index] * self.upsampled(index) ** 2
            if samples > MAX_SAMPLES:
                raise ValueError(f"layer {index} has {samples} activations, expected {MAX_SAMPLES} at most")
            self.crop(index)

    @property
    def num_ws(self) -> int:
        return len(self.channels) + 1

    def factors(self, index: int) -> tuple[int, int]:
        """By how much a layer upsamples before its activation, and downsamples behind it."""
        before, after = self.rates[index - 1] if index else self.input_rate, self.rates[index]
        inside = ACTIVATION_RATE * max(before, after)
        if inside % before or inside % after:
            raise ValueError(f"layer {index} goes from rate {before} to {after}, expected a whole factor")
        return inside // before, inside // after

    def upsampled(self, index: int) -> int:
        """Side of a layer's activation, at its highest rate."""
        down = self.factors(index)[1]
        return (self.sizes[index] - 1) * down + self.filter_size * down

    def crop(self, index: int) -> int:
        """Samples an upsampling leaves out at each side, so that both grids have one middle."""
        up = self.factors(index)[0]
        size = (self.sizes[index - 1] if index else self.input_size) + self.kernel_size - 1
        over = (size - 1) * up + self.filter_size * up - self.upsampled(index)
        if over < 0 or over % 2:
            raise ValueError(f"layer {index} has {over} samples to leave out, expected an even number")
        return over // 2


class FourierInput(nn.Module):
    """Waves of learned frequencies, turned and moved as w[0] says, mixed by a matrix."""

    def __init__(self, config: AliasFreeConfig) -> None:
        super().__init__()
        channels = config.input_channels
        self.size, self.rate, self.bandwidth = config.input_size, config.input_rate, config.bandwidth
        self.weight = nn.Parameter(torch.randn(channels, channels))
        self.affine = Dense(config.w_dim, 4)
        self.register_buffer("transform", torch.eye(3))  # of the picture's plane, from output to input
        self.register_buffer("freqs", torch.randn(channels, 2))
        self.register_buffer("phases", torch.rand(channels) - 0.5)

    def forward(self, w: Tensor) -> Tensor:
        frequencies, phases = self._moved(self.affine(w))
        length = frequencies.square().sum(dim=2).sqrt()  # (N, C)
        fade = (length - self.rate / 2) / (self.bandwidth - self.rate / 2)  # 1 to 0
        waves = fourier_features(frequencies, phases, size=self.size, rate=self.rate)
        waves = waves * fade.clamp(0, 1)[:, :, None, None]
        return functional.conv2d(waves, (self.weight / math.sqrt(len(self.weight)))[:, :, None, None])

    def _moved(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Frequencies (N, C, 2) and phases (N, C) after rotation, translation and `transform`."""
        t = t / t[:, :2].square().sum(dim=1, keepdim=True).sqrt()
        cosine, sine, x, y = t[:, 0:1], t[:, 1:2], t[:, 2:3], t[:, 3:4]  # (N, 1)
        along, across, last = self.transform[0], self.transform[1], self.transform[2]  # (3,)
        # Rows of R T M: rotation, translation by -(x, y), transform.
        first = cosine * along - sine * across + (sine * y - cosine * x) * last  # (N, 3)
        second = sine * along + cosine * across - (sine * x + cosine * y) * last
        moved = self.freqs[:, :1] * first[:, None, :] + self.freqs[:, 1:] * second[:, None, :]  # (N, C, 3)
        return moved[:, :, :2], moved[:, :, 2] + self.phases


def _mean(*shape: int) -> Tensor:
    """A low-pass to be replaced by a designed one."""
    return torch.full(shape, 1 / math.prod(shape))


class AliasFreeLayer(nn.Module):
    """Modulated convolution, bias, filtered activation: from one grid to the next."""

    def __init__(self, index: int, config: AliasFreeConfig) -> None:
        super().__init__()
        inputs, outputs = (
            config.channels[index - 1] if index else config.input_channels,
            config.channels[index],
        )
        size = config.kernel_size
        self.up, self.down = config.factors(index)
        self.crop, self.clamp = config.crop(index), config.conv_clamp
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.affine = Dense(config.w_dim, inputs, bias=1.0)
        self.register_buffer("magnitude_ema", torch.ones(()))  # mean square of the layer's inputs in training
        self.register_buffer("up_filter", _mean(config.filter_size * self.up))
        taps = config.filter_size * self.down
        self.register_buffer("down_filter", _mean(taps, taps) if config.radial[index] else _mean(taps))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        x = modulated_full_conv2d(x, self.weight, self.affine(w), self.magnitude_ema.rsqrt())
        x = x + self.bias[:, None, None].to(x.dtype)
        return filtered_leaky_relu(
            x,
            self.up_filter,
            self.down_filter,
            up=self.up,
            down=self.down,
            crop=self.crop,
            clamp=self.clamp,
        )


class AliasFreeImage(nn.Module):
    """Features to image channels: modulated 1x1 convolution, not demodulated, not filtered."""

    def __init__(self, config: AliasFreeConfig) -> None:
        super().__init__()
        inputs = config.channels[-2]
        self.weight = nn.Parameter(torch.randn(config.channels[-1], inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(config.channels[-1]))
        self.affine = Dense(config.w_dim, inputs, bias=1.0)
        self.register_buffer("magnitude_ema", torch.ones(()))
        self.style_gain, self.clamp = 1 / math.sqrt(inputs), config.conv_clamp

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        style = self.affine(w) * self.style_gain
        weight = self.weight * self.magnitude_ema.rsqrt()
        x = functional.conv2d(x * style.to(x.dtype)[:, :, None, None], weight.to(x.dtype))
        x = x + self.bias[:, None, None].to(x.dtype)
        return (x if self.clamp is None else x.clamp(-self.clamp, self.clamp)).float()


class AliasFreeSynthesis(nn.Module):
    """W+ (N, num_ws, w_dim) to image (N, C, R, R), raw range, about [-1, 1] for a trained model."""

    kind: ClassVar[str] = "stylegan3-synthesis"
    role: ClassVar[str] = "generator"
    Config: ClassVar[type] = AliasFreeConfig

    def __init__(self, config: AliasFreeConfig, *, half: bool = False) -> None:
        super().__init__()
        self.config = config
        self.half_above = config.rates[-1] >> config.fp16_blocks if half else config.rates[-1]
        last = len(config.channels) - 1
        self.input = FourierInput(config)
        self.layers = nn.ModuleList(AliasFreeLayer(index, config) for index in range(last))
        self.image = AliasFreeImage(config)
        self.inputs = (TensorSpec("w", ("n", config.num_ws, config.w_dim)),)
        self.outputs = (TensorSpec("image", ("n", config.channels[-1], config.sizes[-1], config.sizes[-1])),)

    def forward(self, w: Tensor) -> Tensor:
        """Rows of w: the input reads the first, each layer the next."""
        x = self.input(w[:, 0])
        for index, layer in enumerate(self.layers):
            half = self.config.rates[index] > self.half_above
            x = layer(x.to(torch.float16 if half else torch.float32), w[:, index + 1])
        return self.image(x, w[:, len(self.layers) + 1]) * self.config.output_scale
