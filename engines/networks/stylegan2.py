# SPDX-License-Identifier: MIT
"""StyleGAN2's mapping and synthesis networks (Karras et al. 2020). Knows no checkpoint.

Parameter names are those of the paper's authors' layout below `mapping` and `synthesis`; noise is always the
stored constant, so that a latent gives one image.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from engines.base import TensorSpec
from engines.networks.ops import (
    fir_kernel,
    leaky_relu,
    modulated_conv2d,
    normalise_second_moment,
    upsample_image,
)

MAX_SAMPLES = 1 << 27  # of one layer's activations, 512 MiB: 4 times what 1024 pixels take
MAX_MAPPING_LAYERS, MAX_MAPPING_WIDTH = 16, 2048  # published: 8 of 512, the first of 1024 with a label


@dataclass(frozen=True, slots=True)
class MappingConfig:
    """z (and a class label where label_dim > 0) to W+."""

    z_dim: int = 512
    w_dim: int = 512
    num_ws: int = 18
    num_layers: int = 8
    hidden_dim: int = 512
    label_dim: int = 0
    embed_dim: int = 512  # read only where label_dim > 0
    lr_multiplier: float = 0.01
    mean_rows: int = 1  # rows of w_avg: 1, or num_ws where each layer has its own

    def __post_init__(self) -> None:
        widest = max(self.z_dim, self.w_dim, self.hidden_dim)
        if not 1 <= self.num_layers <= MAX_MAPPING_LAYERS or widest > MAX_MAPPING_WIDTH:
            raise ValueError(
                f"a mapping of {self.num_layers} layers of up to {widest} numbers, expected at most "
                f"{MAX_MAPPING_LAYERS} of {MAX_MAPPING_WIDTH}"
            )


@dataclass(frozen=True, slots=True)
class SynthesisConfig:
    """W+ to image; blocks of 4, 8, ... resolution pixels with channels[i] feature channels each."""

    resolution: int = 1024
    channels: tuple[int, ...] = (512, 512, 512, 512, 512, 256, 128, 64, 32)
    w_dim: int = 512
    image_channels: int = 3
    use_noise: bool = True
    conv_clamp: float | None = None
    fp16_blocks: int = 0  # highest resolutions computed in fp16 by `Synthesis(config, half=True)`

    def __post_init__(self) -> None:
        blocks = int(math.log2(self.resolution)) - 1
        if self.resolution != 2 ** (blocks + 1) or blocks != len(self.channels):
            raise ValueError(
                f"{self.resolution} px with {len(self.channels)} blocks, expected a power of 2, 4 up"
            )
        for index, width in enumerate(self.channels):  # a file of a few kilobytes may ask for more
            samples = max(width, self.image_channels) << (2 * index + 4)
            if samples > MAX_SAMPLES:
                raise ValueError(f"block {index} has {samples} activations, expected {MAX_SAMPLES} at most")

    @property
    def num_ws(self) -> int:
        return 2 * len(self.channels)


class Dense(nn.Module):
    """Fully connected layer whose stored weights carry an equalised learning rate."""

    def __init__(self, inputs: int, outputs: int, *, lr_multiplier: float = 1.0, bias: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((outputs,), bias / lr_multiplier))
        self.weight_gain = lr_multiplier / math.sqrt(inputs)
        self.bias_gain = lr_multiplier

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight * self.weight_gain, self.bias * self.bias_gain)


class Mapping(nn.Module):
    """z to w, pulled towards the mean w by 1 - psi, repeated for each row the synthesis network reads."""

    kind: ClassVar[str] = "stylegan2-mapping"
    role: ClassVar[str] = "mapping"
    Config: ClassVar[type] = MappingConfig

    def __init__(self, config: MappingConfig) -> None:
        super().__init__()
        self.config = config
        width = config.z_dim
        if config.label_dim:
            self.embed = Dense(config.label_dim, config.embed_dim)
            width += config.embed_dim
        for index in range(config.num_layers):
            outputs = config.w_dim if index == config.num_layers - 1 else config.hidden_dim
            self.add_module(f"fc{index}", Dense(width, outputs, lr_multiplier=config.lr_multiplier))
            width = outputs
        self.register_buffer("w_avg", torch.zeros(config.mean_rows, config.w_dim))
        label = (TensorSpec("label", ("n", config.label_dim)),) if config.label_dim else ()
        self.inputs = (TensorSpec("z", ("n", config.z_dim)), TensorSpec("psi", ()), *label)
        self.outputs = (TensorSpec("w", ("n", config.num_ws, config.w_dim)),)

    def forward(self, z: Tensor, psi: Tensor, label: Tensor | None = None) -> Tensor:
        w = self.w_of(z, label)[:, None, :]  # (N, 1, w_dim)
        w = self.w_avg + psi * (w - self.w_avg)
        return w.expand(-1, self.config.num_ws, -1)

    def w_of(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """(N, w_dim), before truncation."""
        x = normalise_second_moment(z)
        if self.config.label_dim:
            x = torch.cat([x, normalise_second_moment(self.embed(label))], dim=1)
        for index in range(self.config.num_layers):
            x = leaky_relu(getattr(self, f"fc{index}")(x))
        return x


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, noise, bias, activation, clamp; twice the size where a FIR is given."""

    def __init__(self, inputs: int, outputs: int, *, resolution: int, config: SynthesisConfig) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.affine = Dense(config.w_dim, inputs, bias=1.0)
        self.use_noise, self.clamp = config.use_noise, config.conv_clamp
        if config.use_noise:
            self.noise_strength = nn.Parameter(torch.zeros(()))
            self.register_buffer("noise_const", torch.randn(resolution, resolution))

    def forward(self, x: Tensor, style: Tensor, fir: Tensor | None = None) -> Tensor:
        x = modulated_conv2d(x, self.weight, style, fir=fir)
        offset = self.bias[:, None, None]
        if self.use_noise:
            x = x + (self.noise_const * self.noise_strength).to(x.dtype)
        return leaky_relu(x + offset.to(x.dtype), self.clamp)


class ToImage(nn.Module):
    """Features to image channels: modulated 1x1 convolution, not demodulated."""

    def __init__(self, inputs: int, config: SynthesisConfig) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(config.image_channels, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(config.image_channels))
        self.affine = Dense(config.w_dim, inputs, bias=1.0)
        self.gain = 1 / math.sqrt(inputs)
        self.clamp = config.conv_clamp

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        x = modulated_conv2d(x, self.weight, style * self.gain, demodulate=False)
        x = x + self.bias[:, None, None].to(x.dtype)
        return (x if self.clamp is None else x.clamp(-self.clamp, self.clamp)).float()


class Block(nn.Module):
    """One resolution: up-convolution (not in the first), convolution, and the image they add."""

    def __init__(self, inputs: int, outputs: int, *, resolution: int, config: SynthesisConfig) -> None:
        super().__init__()
        self.first = inputs == 0
        if self.first:
            self.const = nn.Parameter(torch.randn(outputs, resolution, resolution))
        else:
            self.conv0 = StyledConv(inputs, outputs, resolution=resolution, config=config)
        self.conv1 = StyledConv(outputs, outputs, resolution=resolution, config=config)
        self.torgb = ToImage(outputs, config)


class Synthesis(nn.Module):
    """W+ (N, num_ws, w_dim) to image (N, C, R, R), raw range, about [-1, 1] for a trained model."""

    kind: ClassVar[str] = "stylegan2-synthesis"
    role: ClassVar[str] = "generator"
    Config: ClassVar[type] = SynthesisConfig

    def __init__(self, config: SynthesisConfig, *, half: bool = False) -> None:
        super().__init__()
        self.config = config
        self.half_above = config.resolution >> config.fp16_blocks if half else config.resolution
        widths = (0, *config.channels)
        self.sizes = [4 << index for index in range(len(config.channels))]
        self.blocks = nn.ModuleDict(
            {
                f"b{size}": Block(widths[index], widths[index + 1], resolution=size, config=config)
                for index, size in enumerate(self.sizes)
            }
        )
        self.register_buffer("fir", fir_kernel())  # (4, 4), sum 1
        self.inputs = (TensorSpec("w", ("n", config.num_ws, config.w_dim)),)
        size = config.resolution
        self.outputs = (TensorSpec("image", ("n", config.image_channels, size, size)),)

    @property
    def rows(self) -> list[int]:
        """The row of w that each modulated layer reads, in their order: convolutions, then ToImage, by block.

        A block's ToImage reads the row that the next block's first convolution reads too.
        """
        later = [2 * index + row for index in range(len(self.sizes) - 1) for row in (1, 2, 3)]
        return [0, 1, *later]  # 2k - 5 and on for the block of 2^k pixels

    @property
    def affines(self) -> list[Dense]:
        """What makes each modulated layer's style of its row, in the same order."""
        parts = ("conv1", "torgb"), *[("conv0", "conv1", "torgb")] * (len(self.sizes) - 1)
        blocks = zip(self.sizes, parts, strict=True)
        return [getattr(self.blocks[f"b{size}"], part).affine for size, names in blocks for part in names]

    @property
    def style_channels(self) -> list[int]:
        """Numbers in each layer's style."""
        return [len(affine.bias) for affine in self.affines]

    def forward(self, w: Tensor, offsets: Tensor | None = None) -> Tensor:
        """offsets (N, all channels): added to the styles, layer by layer, in StyleSpace's order."""
        styles = [affine(w[:, row]) for affine, row in zip(self.affines, self.rows, strict=True)]
        if offsets is not None:
            ends = accumulate(self.style_channels)
            parts = [offsets[:, end - style.shape[1] : end] for style, end in zip(styles, ends, strict=True)]
            styles = [style + part for style, part in zip(styles, parts, strict=True)]
        return self.render(styles)

    def render(self, styles: Sequence[Tensor]) -> Tensor:
        """The image by each modulated layer's style (N, its input channels)."""
        first = self.blocks["b4"]
        x = first.conv1(first.const[None], styles[0])  # (1, C, 4, 4) becomes (N, C, 4, 4) at the style
        image = first.torgb(x, styles[1])
        for index, size in enumerate(self.sizes[1:]):
            block = self.blocks[f"b{size}"]
            layer = 3 * index + 2
            x = x.to(torch.float16 if size > max(self.half_above, 4) else torch.float32)
            x = block.conv0(x, styles[layer], self.fir)
            x = block.conv1(x, styles[layer + 1])
            image = upsample_image(image, self.fir) + block.torgb(x, styles[layer + 2])
        return image
