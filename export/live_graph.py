# SPDX-License-Identifier: MIT
"""One network a frame, for each method, of the parts a checkpoint gave. Knows no file and no runtime.

directions    identity (1, rows, w_dim), delta (1, d)          image (1, H, W, 3) uint8
landmarks     identity (1, rows, w_dim), difference            image (1, H, W, 3) uint8
motion        the mapping's own inputs                         image (1, H, W, 3) uint8
"""

from torch import Tensor, nn

from engines.networks.live import Live, LiveConfig, MappedLive, ShiftLive, StyleLive
from engines.networks.stylegan2 import Synthesis
from engines.networks.stylespace import split_at_styles
from face.errors import WrongUse

MOVERS = ("directions", "landmarks", "motion", "offsets")
LIVE_HALF = {"motion": "motion_live"}  # the half of the map that a frame needs, where it is split


def directions_live(
    synthesis: nn.Module,
    directions: nn.Module,
    *,
    psi: float = 1.0,
    centre: Tensor | None = None,
    limit: float | None = None,
) -> ShiftLive:
    """The live network of directions; `centre` ((w_dim,) or a row each) is needed where psi is not 1."""
    live: ShiftLive = ShiftLive(synthesis, directions, LiveConfig(psi, limit), centre).eval()
    return live


def live_of(networks: dict[str, nn.Module], config: LiveConfig) -> Live:
    """The live network that these parts, by role, are enough for; WrongUse names what is missing."""
    generator = networks.get("generator")
    movers = [role for role in MOVERS if role in networks]
    if generator is None or len(movers) != 1:
        raise WrongUse(
            f"a live graph is made of one generator and one of directions, landmarks, motion or offsets, and "
            f"found {', '.join(networks) or 'nothing'}; name all their checkpoints in one export"
        )
    role, mover = movers[0], networks[movers[0]]
    centre = getattr(networks.get("mapping"), "w_avg", None)
    if config.psi != 1 and centre is None:
        raise WrongUse(
            f"psi is {config.psi:g}, which needs the mean latent that a mapping network holds; name a "
            "checkpoint that has it, or use --psi 1"
        )
    try:
        live = _joined(role, generator, networks.get(LIVE_HALF.get(role, ""), mover), config, centre)
    except ValueError as error:
        raise WrongUse(f"generator and {role} do not fit: {error}; name those made together") from error
    result: Live = live.eval().requires_grad_(False)
    return result


def _joined(
    role: str, generator: nn.Module, mover: nn.Module, config: LiveConfig, centre: Tensor | None
) -> Live:
    if role == "motion":
        return MappedLive(generator, mover, config, centre)
    if role != "offsets":
        return ShiftLive(generator, mover, config, centre)
    if not isinstance(generator, Synthesis):
        raise ValueError(f"offsets are of a StyleGAN2's styles, the generator is {type(generator).__name__}")
    return StyleLive(split_at_styles(generator)[1], mover, config)
