# SPDX-License-Identifier: MIT
"""Portrait to W+: one of two backbones under one of four heads. Knows no checkpoint.

Heads and who uses them:
    pyramid   three feature levels, a small convolution stack a row (pSp; progressive: encoder4editing)
    last      the same stacks, all on the last level (ReStyle)
    flat      one linear layer from a 7x7 pooled last level to all rows (pSp into W+)
    mean      one linear layer from the mean of the last level, the same for all rows (pSp into W)

Backbones: ir_se, of face recognition with squeeze-and-excite (all of the above), and resnet34 (ReStyle's of
other things than faces). Both have four stages, the last three of which are 64, 32 and 16 pixels wide.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from engines.base import TensorSpec
from engines.networks.stylegan2 import MAX_SAMPLES

INPUT_SIZE = 256  # pixels, both sides
COARSE_ROWS, MIDDLE_ROWS = 3, 7  # rows before these read the last and the middle pyramid level
HEADS = ("pyramid", "last", "flat", "mean")
BACKBONES = ("ir_se", "resnet34")
FLAT_POOL = 7
MAX_UNITS = 256  # of a stage, and rows of w: four times those of the largest public ones


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    num_styles: int = 18
    head: str = "pyramid"
    progressive: bool = False  # every row but the first is an offset from the first
    input_channels: int = 3
    widths: tuple[int, ...] = (64, 128, 256, 512)
    depths: tuple[int, ...] = (3, 4, 14, 3)
    style_dim: int = 512
    reduction: int = 16  # of the squeeze-and-excite bottleneck
    mean_rows: int = 1  # rows of latent_avg: 1, or num_styles where each layer has its own
    backbone: str = "ir_se"

    def __post_init__(self) -> None:
        if self.head not in HEADS:
            raise ValueError(f"head is {self.head!r}, expected one of {HEADS}")
        if self.backbone not in BACKBONES:
            raise ValueError(f"backbone is {self.backbone!r}, expected one of {BACKBONES}")
        if len(self.widths) != 4 or len(self.depths) != 4:
            raise ValueError(f"{len(self.widths)} widths and {len(self.depths)} depths, expected 4 stages")
        if max(*self.depths, self.num_styles) > MAX_UNITS:
            raise ValueError(f"depths {self.depths}, {self.num_styles} styles, expected {MAX_UNITS} at most")
        widest = max(width << 2 * (8 - stage) for stage, width in enumerate((self.widths[0], *self.widths)))
        if widest > MAX_SAMPLES:  # a file of a few kilobytes may ask for more
            raise ValueError(f"a stage has {widest} activations, expected {MAX_SAMPLES} at most")


class SqueezeExcite(nn.Module):
    """Channels weighed by their own means."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // reduction, 1, bias=False)
        self.fc2 = nn.Conv2d(channels // reduction, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.fc2(functional.relu(self.fc1(x.mean(dim=(2, 3), keepdim=True))))
        return x * weights.sigmoid()


class ResidualUnit(nn.Module):
    """Batch norm, 3x3, PReLU, 3x3 with the stride, batch norm, squeeze-and-excite; plus a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int, reduction: int) -> None:
        super().__init__()
        self.stride = stride
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            SqueezeExcite(outputs, reduction),
        )
        if inputs != outputs:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        if hasattr(self, "shortcut_layer"):
            shortcut = self.shortcut_layer(x)
        else:
            shortcut = x[:, :, :: self.stride, :: self.stride] if self.stride > 1 else x
        return self.res_layer(x) + shortcut


class PlainUnit(nn.Module):
    """3x3 with the stride, batch norm, ReLU, 3x3, batch norm; plus a shortcut, then ReLU (ResNet-34)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        if inputs != outputs or stride > 1:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.downsample(x) if hasattr(self, "downsample") else x
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return functional.relu(y + shortcut)


class EqualDense(nn.Module):
    """y = x (W / sqrt(inputs))^T + b."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight / math.sqrt(self.weight.shape[1]), self.bias)


class StyleBlock(nn.Module):
    """A (N, C, S, S) feature map down to one row: log2(S) convolutions of stride 2, then a linear layer."""

    def __init__(self, inputs: int, outputs: int, size: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index in range(int(math.log2(size))):
            layers += [
                nn.Conv2d(outputs if index else inputs, outputs, 3, stride=2, padding=1),
                nn.LeakyReLU(0.01),
            ]
        self.convs = nn.Sequential(*layers)
        self.linear = EqualDense(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.convs(x).flatten(1))


class AdaptivePool(nn.Module):
    """Mean over S x S overlapping windows of any square map, as two matrix products."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        source = x.shape[-1]
        windows = torch.zeros(self.size, source)
        for index in range(self.size):
            start, end = index * source // self.size, -(-(index + 1) * source // self.size)
            windows[index, start:end] = 1 / (end - start)
        columns = functional.linear(x, windows)  # (N, C, H, size)
        return functional.linear(columns.transpose(2, 3), windows).transpose(2, 3)


class Encoder(nn.Module):
    """(N, C, 256, 256) in [-1, 1] to W+ (N, num_styles, style_dim); adds `latent_avg`, zero where unknown."""

    kind: ClassVar[str] = "style-encoder"
    role: ClassVar[str] = "encoder"
    Config: ClassVar[type] = EncoderConfig

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self._build_backbone()
        self._build_head()
        self.register_buffer("latent_avg", torch.zeros(config.mean_rows, config.style_dim))
        self.inputs = (TensorSpec("image", ("n", config.input_channels, INPUT_SIZE, INPUT_SIZE)),)
        self.outputs = (TensorSpec("w", ("n", config.num_styles, config.style_dim)),)

    def _build_backbone(self) -> None:
        config = self.config
        width = config.widths[0]
        plain = config.backbone == "resnet34"
        if plain:
            self.conv1 = nn.Conv2d(config.input_channels, width, 7, stride=2, padding=3, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            self.relu = nn.PReLU(width)
        else:
            self.input_layer = nn.Sequential(
                nn.Conv2d(config.input_channels, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.PReLU(width),
            )
        self.body = nn.ModuleList()
        self.taps: list[int] = []  # the last unit of each stage
        for stage, (outputs, depth) in enumerate(zip(config.widths, config.depths, strict=True)):
            for index in range(depth):
                # The plain stem halves the picture, so its first stage does not.
                stride = 1 if index or (plain and stage == 0) else 2
                self.body.append(
                    PlainUnit(width, outputs, stride)
                    if plain
                    else ResidualUnit(width, outputs, stride, config.reduction)
                )
                width = outputs
            self.taps.append(len(self.body) - 1)

    def _build_head(self) -> None:
        config = self.config
        last, style = config.widths[3], config.style_dim
        if config.head == "pyramid":
            self.latlayer1 = nn.Conv2d(config.widths[2], last, 1)
            self.latlayer2 = nn.Conv2d(config.widths[1], last, 1)
            sizes = [16] * COARSE_ROWS + [32] * (MIDDLE_ROWS - COARSE_ROWS) + [64] * config.num_styles
            self.styles = nn.ModuleList(StyleBlock(last, style, size) for size in sizes[: config.num_styles])
        elif config.head == "last":
            self.styles = nn.ModuleList(StyleBlock(last, style, 16) for _ in range(config.num_styles))
        elif config.head == "flat":
            self.output_layer_2 = nn.Sequential(
                nn.BatchNorm2d(last),
                AdaptivePool(FLAT_POOL),
                nn.Flatten(),
                nn.Linear(last * FLAT_POOL**2, style),
            )
            self.linear = EqualDense(style, style * config.num_styles)
        else:
            self.linear = EqualDense(last, style)

    def forward(self, image: Tensor) -> Tensor:
        return self.offsets(image) + self.latent_avg

    def offsets(self, image: Tensor) -> Tensor:
        """What is added to `latent_avg`, or to the last estimate of w where the encoder runs in a loop."""
        levels = self._levels(image)
        if self.config.head == "flat":
            w = self.linear(self.output_layer_2(levels[-1]))
            return torch.unflatten(w, 1, (self.config.num_styles, self.config.style_dim))
        if self.config.head == "mean":
            w = self.linear(levels[-1].mean(dim=(2, 3)))
            return w[:, None, :].expand(-1, self.config.num_styles, -1)
        maps = (
            self._pyramid(levels) if self.config.head == "pyramid" else [levels[-1]] * self.config.num_styles
        )
        rows = [style(features) for style, features in zip(self.styles, maps, strict=True)]
        if self.config.progressive:
            rows = [rows[0], *(rows[0] + row for row in rows[1:])]
        return torch.stack(rows, dim=1)

    def _levels(self, image: Tensor) -> list[Tensor]:
        """Features after the second, third and fourth stage: 64, 32 and 16 pixels wide."""
        if self.config.backbone == "resnet34":
            x = self.relu(self.bn1(self.conv1(image)))
        else:
            x = self.input_layer(image)
        levels = []
        for index, unit in enumerate(self.body):
            x = unit(x)
            if index in self.taps[1:]:
                levels.append(x)
        return levels

    def _pyramid(self, levels: list[Tensor]) -> list[Tensor]:
        """The feature map each row reads."""
        fine, middle, coarse = levels
        p2 = self._up(coarse, middle) + self.latlayer1(middle)
        p1 = self._up(p2, fine) + self.latlayer2(fine)
        maps = [coarse] * COARSE_ROWS + [p2] * (MIDDLE_ROWS - COARSE_ROWS) + [p1] * self.config.num_styles
        return maps[: self.config.num_styles]

    @staticmethod
    def _up(x: Tensor, like: Tensor) -> Tensor:
        return functional.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=True)
