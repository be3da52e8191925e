# SPDX-License-Identifier: MIT
"""A generator once more in half precision, for GPUs.

Graphs for strongly typed builders are recorded from it, and torch runs it. Features above 8 pixels are fp16;
latents, styles, demodulation, the two lowest resolutions and the running image stay float32 by explicit
casts, styles and weights are divided by their largest entries before they meet (`modulated_conv2d`), and the
clamps of training are kept. Of a StyleGAN3 it is the layers of the four highest rates, as its authors do.
"""

from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from torch import nn

from engines.networks.live import LiveGenerator
from engines.networks.store import load_any_network
from engines.networks.stylegan2 import SynthesisConfig
from engines.networks.stylegan3 import AliasFreeConfig
from face.errors import WrongUse

FLOAT_BLOCKS = 2  # 4 and 8 px: a hundredth of the work, and NVIDIA keeps them in float32 too
HALF_RATES = 4  # of a StyleGAN3: its authors' num_fp16_res, for files that were trained without


def half_generator(generator: LiveGenerator) -> LiveGenerator:
    """The same in half precision; parameters are shared."""
    half = LiveGenerator(generator.config, half_synthesis(generator.network))
    return cast(LiveGenerator, half.eval().requires_grad_(False))


def load_runnable(path: Path, *, half: bool = False) -> nn.Module:
    """The network of a weight file as the torch engines run it. half: a live generator computes in fp16."""
    network = load_any_network(path)
    return half_generator(network) if half and isinstance(network, LiveGenerator) else network


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
    twin.load_state_dict(synthesis.state_dict(), strict=True, assign=True)
    return cast(nn.Module, twin.eval().requires_grad_(False))


def _halved(config: object) -> object:
    """The config with its higher resolutions in half precision, where it says which."""
    if isinstance(config, AliasFreeConfig):
        return replace(config, fp16_blocks=config.fp16_blocks or HALF_RATES)
    if isinstance(config, SynthesisConfig):
        return replace(config, fp16_blocks=max(len(config.channels) - FLOAT_BLOCKS, 0))
    return config
