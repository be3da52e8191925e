# SPDX-License-Identifier: MIT
"""A live network once more in half precision, for GPUs. Knows no graph format.

Graphs for strongly typed builders are recorded from it, and torch runs it. Features above 8 pixels are fp16;
latents, styles, demodulation, the two lowest resolutions and the running image stay float32 by explicit
casts, styles and weights are divided by their largest entries before they meet (`modulated_conv2d`), and the
clamps of training are kept. Of a StyleGAN3 it is the layers of the four highest rates, as its authors do.
"""

from dataclasses import replace
from typing import cast

import torch
from torch import nn

from engines.networks.live import Live, MappedLive, ShiftLive, StyleLive
from engines.networks.stylegan2 import Synthesis, SynthesisConfig
from engines.networks.stylegan3 import AliasFreeConfig
from engines.networks.stylespace import StyleSynthesis
from face.errors import WrongUse

FLOAT_BLOCKS = 2  # 4 and 8 px: a hundredth of the work, and NVIDIA keeps them in float32 too
HALF_RATES = 4  # of a StyleGAN3: its authors' num_fp16_res, for files that were trained without


def half_live(live: Live) -> Live:
    """The same method with its generator in half precision; parameters are shared."""
    if isinstance(live, StyleLive):
        half = StyleLive(_half_styles(live.synthesis), live.offsets, live.config)
    elif isinstance(live, ShiftLive):
        picture = live.picture
        half = ShiftLive(half_synthesis(picture.synthesis), live.mover, live.config, picture.centre)
    else:
        picture = live.picture
        half = MappedLive(half_synthesis(picture.synthesis), live.mapping, live.config, picture.centre)
    result: Live = half.eval().requires_grad_(False)
    return result


def half_synthesis(synthesis: nn.Module) -> nn.Module:
    """The generator in half precision, with the same parameters; WrongUse where its kind cannot."""
    with torch.device("meta"):
        try:
            twin = type(synthesis)(_halved(synthesis.config), half=True)
        except TypeError as error:
            raise WrongUse(
                f"a {type(synthesis).__name__} generator has no half precision, expected a StyleGAN2, "
                "StyleGAN3 or MobileStyleGAN; leave --precision fp16 out"
            ) from error
    return _filled(twin, synthesis)


def _halved(config: object) -> object:
    """The config with its higher resolutions in half precision, where it says which."""
    if isinstance(config, AliasFreeConfig):
        return replace(config, fp16_blocks=config.fp16_blocks or HALF_RATES)
    return _upper_half(config) if isinstance(config, SynthesisConfig) else config


def _half_styles(synthesis: StyleSynthesis) -> nn.Module:
    """The same of a generator behind its affines."""
    with torch.device("meta"):
        twin = StyleSynthesis(synthesis.config)
        twin.synthesis = Synthesis(_upper_half(synthesis.config.synthesis), half=True)
        for layer in twin.layout.layers:
            twin.synthesis.blocks.get_submodule(layer.name).affine = nn.Identity()
    return _filled(twin, synthesis)


def _upper_half(config: SynthesisConfig) -> SynthesisConfig:
    """The config with all but the lowest sizes in half precision."""
    return replace(config, fp16_blocks=max(len(config.channels) - FLOAT_BLOCKS, 0))


def _filled(twin: nn.Module, original: nn.Module) -> nn.Module:
    twin.load_state_dict(original.state_dict(), strict=True, assign=True)
    return cast(nn.Module, twin.eval().requires_grad_(False))
