# SPDX-License-Identifier: MIT
"""A live network once more in half precision, for graphs that say so themselves. Knows no graph format.

Strongly typed builders compute in the types a graph has, so the fp16 graph is recorded from a network that
computes in fp16: features above 8 pixels. Latents, styles, demodulation, the two lowest resolutions and the
running image stay float32 by explicit casts, styles and weights are divided by their largest entries before
they meet (`modulated_conv2d`), and the clamps of training are kept.
"""

from dataclasses import replace
from typing import cast

import torch
from torch import nn

from engines.networks.live import Live, MappedLive, ShiftLive
from engines.networks.stylegan2 import Synthesis
from face.errors import WrongUse

PRECISIONS = ("fp32", "fp16", "int8")
FLOAT_BLOCKS = 2  # 4 and 8 px: a hundredth of the work, and NVIDIA keeps them in float32 too


def half_live(live: Live) -> Live:
    """The same method with its generator in half precision; parameters are shared."""
    twin = half_synthesis(live.picture.synthesis)
    centre = live.picture.centre
    half = (
        ShiftLive(twin, live.mover, live.config, centre)
        if isinstance(live, ShiftLive)
        else MappedLive(twin, live.mapping, live.config, centre)
    )
    result: Live = half.eval()
    return result


def half_synthesis(synthesis: nn.Module) -> nn.Module:
    """The generator in half precision, with the same parameters; WrongUse where its kind cannot."""
    config = synthesis.config
    if isinstance(synthesis, Synthesis):
        config = replace(config, fp16_blocks=max(len(config.channels) - FLOAT_BLOCKS, 0))
    with torch.device("meta"):
        try:
            twin = type(synthesis)(config, half=True)
        except TypeError as error:
            raise WrongUse(
                f"a {type(synthesis).__name__} generator has no half precision, expected a StyleGAN2 or "
                "MobileStyleGAN; leave --precision fp16 out"
            ) from error
    twin.load_state_dict(synthesis.state_dict(), strict=True, assign=True)
    return cast(nn.Module, twin.eval().requires_grad_(False))
