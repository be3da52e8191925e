# SPDX-License-Identifier: MIT
"""Generator and mover of a method, of the parts a checkpoint gave.

                  the mover reads                               and makes
    directions    identity (1, rows, w_dim), delta (1, d)       w (1, rows, w_dim)
    landmarks     identity (1, rows, w_dim), difference         w
    motion        the mapping's own inputs                      w
    stylespace    alpha (1, controls)                           styles (1, channels)

See engines/graphs.py for what the generator reads and makes.
"""

from collections.abc import Mapping
from typing import cast

from torch import Tensor

from engines.networks.live import (
    Live,
    LiveGenerator,
    LiveGeneratorConfig,
    MappedMover,
    Mover,
    MoverConfig,
    ShiftMover,
    StyleMover,
    row_shape,
)
from engines.networks.store import Network
from face.errors import WrongUse

MOVERS: dict[str, type[Mover]] = {
    "directions": ShiftMover,
    "landmarks": ShiftMover,
    "motion": MappedMover,
    "offsets": StyleMover,
}
LIVE_HALF = {"motion": "motion_live"}  # the half of the map that a frame needs, where it is split


def generator_of(synthesis: Network, *, styles: bool = False) -> LiveGenerator:
    """The live generator around this one; `styles`: it reads offsets of its styles too."""
    live = LiveGenerator(LiveGeneratorConfig(synthesis.kind, synthesis.config, styles), synthesis)
    return cast(LiveGenerator, live.eval().requires_grad_(False))


def live_of(networks: Mapping[str, Network], *, psi: float = 1.0, limit: float | None = None) -> Live:
    """What these parts, by role, are enough for; WrongUse names what is missing.

    psi: w = centre + psi (w - centre) after the motion; limit: of each number of the motion.
    """
    generator = networks.get("generator")
    movers = [role for role in MOVERS if role in networks]
    if generator is None or len(movers) != 1:
        raise WrongUse(
            f"a live graph is made of one generator and one of directions, landmarks, motion or offsets, and "
            f"found {', '.join(networks) or 'nothing'}; name all their checkpoints in one export"
        )
    (role,) = movers
    centre = getattr(networks.get("mapping"), "w_avg", None)
    if psi != 1 and centre is None:
        raise WrongUse(
            f"psi is {psi:g}, which needs the mean latent that a mapping network holds; name a "
            "checkpoint that has it, or use --psi 1"
        )
    mover = networks.get(LIVE_HALF.get(role, ""), networks[role])
    try:
        return _joined(role, generator, mover, psi=psi, centre=centre, limit=limit)
    except ValueError as error:
        raise WrongUse(f"generator and {role} do not fit: {error}; name those made together") from error


def _joined(
    role: str, generator: Network, network: Network, *, psi: float, centre: Tensor | None, limit: float | None
) -> Live:
    rows, w_dim = row_shape(generator.inputs[0])
    mover = MOVERS[role](MoverConfig(network.kind, network.config, rows, psi, limit), network)
    live = Live(generator_of(generator, styles=role == "offsets"), mover.eval().requires_grad_(False))
    if psi != 1:
        mover.centre.copy_(_centre(centre, rows, w_dim))
    return live


def _centre(centre: Tensor | None, rows: int, w_dim: int) -> Tensor:
    """(1, 1 or rows, w_dim)."""
    if centre is None:
        raise ValueError("psi is not 1 and there is no centre of truncation")
    shaped = centre.detach().float().reshape(1, -1, w_dim)
    if shaped.shape[1] not in (1, rows):
        raise ValueError(f"the centre has {shaped.shape[1]} rows, expected 1 or {rows}")
    return shaped
