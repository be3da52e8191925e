# SPDX-License-Identifier: MIT
"""StyleSpace (Wu et al. 2021): W+ to the styles of a StyleGAN2's layers, edits there, and the image of them.

A style is the number by which a channel of a layer is modulated: the affine of w, before any gain. Knows no
face and no checkpoint. Layers stand in the order in which they run, convolutions and ToImage as they come, so
that (layer, channel) is the index of the public tables: at 1024 pixels 26 layers of 9088 channels in all.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from engines.base import TensorSpec
from engines.networks.stylegan2 import Dense, Synthesis, SynthesisConfig


@dataclass(frozen=True, slots=True)
class StyleLayer:
    name: str  # of the generator's module: b16.conv1
    row: int  # of W+, that its affine reads
    start: int  # of its channels among all
    channels: int

    @property
    def is_image(self) -> bool:
        return self.name.endswith(".torgb")


@dataclass(frozen=True, slots=True)
class StyleLayout:
    """Which channel is where."""

    layers: tuple[StyleLayer, ...]

    @property
    def size(self) -> int:
        return self.layers[-1].start + self.layers[-1].channels

    def index(self, layer: int, channel: int) -> int:
        """Place among all channels; ValueError for one that is not there."""
        if not 0 <= layer < len(self.layers) or not 0 <= channel < self.layers[layer].channels:
            raise ValueError(f"channel {channel} of layer {layer} is none of {len(self.layers)} layers")
        return self.layers[layer].start + channel

    def place(self, index: int) -> tuple[int, int]:
        """(layer, channel) of a place among all channels."""
        for number, layer in enumerate(self.layers):
            if 0 <= index - layer.start < layer.channels:
                return number, index - layer.start
        raise ValueError(f"channel {index} is none of {self.size}")

    def convolutions(self, count: int | None = None) -> list[int]:
        """Places of all channels of the first `count` convolutions, ToImage left out."""
        chosen = [layer for layer in self.layers if not layer.is_image][:count]
        return [layer.start + channel for layer in chosen for channel in range(layer.channels)]


def layout_of(channels: tuple[int, ...]) -> StyleLayout:
    """The layout of a generator whose blocks of 4, 8, ... pixels have that many feature channels."""
    named = [("b4.conv1", 0, channels[0]), ("b4.torgb", 1, channels[0])]
    for index, (inputs, outputs) in enumerate(zip(channels, channels[1:], strict=False)):
        block, row = f"b{8 << index}", 2 * index + 1
        named += [
            (f"{block}.conv0", row, inputs),
            (f"{block}.conv1", row + 1, outputs),
            (f"{block}.torgb", row + 2, outputs),
        ]
    layers, start = [], 0
    for name, row, width in named:
        layers.append(StyleLayer(name, row, start, width))
        start += width
    return StyleLayout(tuple(layers))


@dataclass(frozen=True, slots=True)
class StylesConfig:
    channels: tuple[int, ...] = (512, 512, 512, 512, 512, 256, 128, 64, 32)  # the generator's
    w_dim: int = 512


class Styles(nn.Module):
    """W+ (N, num_ws, w_dim) to styles (N, all channels): the generator's affines."""

    kind: ClassVar[str] = "styles"
    role: ClassVar[str] = "styles"
    Config: ClassVar[type] = StylesConfig

    def __init__(self, config: StylesConfig) -> None:
        super().__init__()
        self.config = config
        self.layout = layout_of(config.channels)
        self.affines = nn.ModuleList(Dense(config.w_dim, layer.channels) for layer in self.layout.layers)
        self.inputs = (TensorSpec("w", ("n", 2 * len(config.channels), config.w_dim)),)
        self.outputs = (TensorSpec("style", ("n", self.layout.size)),)

    def forward(self, w: Tensor) -> Tensor:
        layers = zip(self.affines, self.layout.layers, strict=True)
        return torch.cat([affine(w[:, layer.row]) for affine, layer in layers], dim=1)


@dataclass(frozen=True, slots=True)
class StyleSynthesisConfig:
    synthesis: SynthesisConfig


class StyleSynthesis(nn.Module):
    """Styles (N, all channels) to image: the generator behind its affines (G_ss, Oorloff and Yacoob 2023)."""

    kind: ClassVar[str] = "style-synthesis"
    role: ClassVar[str] = "style_generator"
    Config: ClassVar[type] = StyleSynthesisConfig

    def __init__(self, config: StyleSynthesisConfig) -> None:
        super().__init__()
        self.config = config
        self.layout = layout_of(config.synthesis.channels)
        self.synthesis = Synthesis(config.synthesis)
        for layer in self.layout.layers:
            self.synthesis.blocks.get_submodule(layer.name).affine = nn.Identity()
        self.inputs = (TensorSpec("style", ("n", self.layout.size)),)
        self.outputs = self.synthesis.outputs

    def forward(self, style: Tensor) -> Tensor:
        layers = self.layout.layers
        return self.synthesis.render([style[:, at.start : at.start + at.channels] for at in layers])


def split_at_styles(generator: Synthesis) -> tuple[Styles, StyleSynthesis]:
    """The same generator as two: style_synthesis(styles(w)). Weights are shared, not copied."""
    with torch.device("meta"):
        styles = Styles(StylesConfig(generator.config.channels, generator.config.w_dim))
        rest = StyleSynthesis(StyleSynthesisConfig(generator.config))
    tensors = {name: tensor.detach() for name, tensor in generator.state_dict().items()}
    affines = {}
    for index, layer in enumerate(styles.layout.layers):
        for part in ("weight", "bias"):
            affines[f"affines.{index}.{part}"] = tensors.pop(f"blocks.{layer.name}.affine.{part}")
    styles.load_state_dict(affines, strict=True, assign=True)
    rest.load_state_dict({f"synthesis.{n}": t for n, t in tensors.items()}, strict=True, assign=True)
    return styles, rest


@dataclass(frozen=True, slots=True)
class StyleOffsetsConfig:
    layer_channels: tuple[int, ...]  # of each layer, in their order
    names: tuple[str, ...]  # of the controls
    layers: tuple[int, ...]  # of each control
    channels: tuple[int, ...]  # of each control, in its layer

    def __post_init__(self) -> None:
        if not len(self.names) == len(self.layers) == len(self.channels):
            raise ValueError("names, layers and channels of the controls differ in number")
        for layer, channel in zip(self.layers, self.channels, strict=True):
            if not 0 <= layer < len(self.layer_channels) or not 0 <= channel < self.layer_channels[layer]:
                raise ValueError(f"channel {channel} of layer {layer} is none of the table's")


class StyleOffsets(nn.Module):
    """Strengths of the controls (N, d) to an offset of the styles (N, all channels), to be added to them."""

    kind: ClassVar[str] = "style-offsets"
    role: ClassVar[str] = "offsets"
    Config: ClassVar[type] = StyleOffsetsConfig

    def __init__(self, config: StyleOffsetsConfig) -> None:
        super().__init__()
        self.config = config
        self.size = sum(config.layer_channels)
        count = len(config.names)
        self.register_buffer("scale", torch.ones(count))  # of strength 1, in units of s
        self.inputs = (TensorSpec("alpha", ("n", count)),)
        self.outputs = (TensorSpec("offset", ("n", self.size)),)

    def forward(self, alpha: Tensor) -> Tensor:
        """s' = s + alpha 1 (eq. 13, Oorloff and Yacoob 2023); this is alpha 1."""
        spread = self.scale.new_zeros(len(self.config.names), self.size)
        for control, (layer, channel) in enumerate(
            zip(self.config.layers, self.config.channels, strict=True)
        ):
            spread[control, sum(self.config.layer_channels[:layer]) + channel] = self.scale[control]
        return alpha @ spread
