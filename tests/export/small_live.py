# SPDX-License-Identifier: MIT
"""A small generator and mover with every term random, whose pictures are neither black nor white."""

import numpy as np
import torch
from live_graphs import directions_live
from numpy.typing import NDArray

from engines.networks.directions import Directions, DirectionsConfig
from engines.networks.live import Live
from engines.networks.stylegan2 import Synthesis, SynthesisConfig
from engines.networks.stylegan3 import AliasFreeConfig, AliasFreeSynthesis
from export.verify import latents_of, random_motions

Arrays = dict[str, NDArray[np.float32]]
ROWS, PARAMETERS, W_DIM = 3, 5, 32
CHANNELS = (32, 32, 24, 16)  # 32 px: two blocks in half precision


def small_synthesis(*, clamp: float | None = 256.0, channels: tuple[int, ...] = CHANNELS) -> Synthesis:
    torch.manual_seed(7)
    config = SynthesisConfig(
        resolution=2 << len(channels), channels=channels, w_dim=W_DIM, conv_clamp=clamp
    )  # 4, 8, ... px
    synthesis = Synthesis(config)
    with torch.no_grad():
        for parameter in synthesis.parameters():
            if parameter.ndim < 2:  # noise strengths and biases, nought or one when fresh
                parameter.add_(0.2 * torch.randn_like(parameter))
        for block in synthesis.blocks.values():
            block.torgb.weight.mul_(0.15)
    return synthesis.eval().requires_grad_(False)


def small_alias_free(*, fp16_blocks: int = 1) -> AliasFreeSynthesis:
    """A StyleGAN3 of 32 px; its last layers run at the highest rate."""
    torch.manual_seed(10)
    config = AliasFreeConfig(
        channels=(16, 16, 12, 3),
        sizes=(36, 52, 32, 32),
        rates=(16, 32, 32, 32),
        radial=(False, True, False, False),
        input_channels=16,
        w_dim=W_DIM,
        conv_clamp=256.0,
        fp16_blocks=fp16_blocks,
    )
    synthesis = AliasFreeSynthesis(config)
    with torch.no_grad():
        for layer in (*synthesis.layers, synthesis.image):
            layer.bias.normal_(0, 0.2)
            layer.magnitude_ema.uniform_(0.5, 1.5)
    return synthesis.eval().requires_grad_(False)


def small_directions() -> Directions:
    torch.manual_seed(8)
    directions = Directions(DirectionsConfig(PARAMETERS, ROWS, W_DIM))
    with torch.no_grad():
        directions.linear.bias.normal_()
    return directions.eval().requires_grad_(False)


def small_centre() -> torch.Tensor:
    torch.manual_seed(9)
    return torch.randn(W_DIM)


def small_live(*, psi: float = 0.7, limit: float | None = 6.0, clamp: float | None = 256.0) -> Live:
    return directions_live(
        small_synthesis(clamp=clamp), small_directions(), psi=psi, centre=small_centre(), limit=limit
    )


def latents(live: Live, *, count: int = 4, seed: int = 20260) -> list[Arrays]:
    """What the generator is given for random motions."""
    return latents_of(live, random_motions(live, count=count, seed=seed))
