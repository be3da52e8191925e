# SPDX-License-Identifier: MIT
"""One network a frame, for each method, of the parts a checkpoint gave. Knows no file and no runtime.

directions    identity (1, rows, w_dim), delta (1, d)          image (1, H, W, 3) uint8
landmarks     identity (1, rows, w_dim), difference            image (1, H, W, 3) uint8
motion        the mapping's own inputs                         image (1, H, W, 3) uint8
"""

from torch import Tensor, nn

from engines.networks.live import Live, LiveConfig, MappedLive, ShiftLive
from face.errors import WrongUse


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
    movers = [role for role in ("directions", "landmarks", "motion") if role in networks]
    if generator is None or len(movers) != 1:
        raise WrongUse(
            f"a live graph is made of one generator and one of directions, landmarks or motion, and found "
            f"{', '.join(networks) or 'nothing'}; name all their checkpoints in one export"
        )
    centre = getattr(networks.get("mapping"), "w_avg", None)
    if config.psi != 1 and centre is None:
        raise WrongUse(
            f"--psi is {config.psi:g}, which needs the mean latent that a mapping network holds; "
            "name a checkpoint that has it, or use --psi 1"
        )
    mover = networks[movers[0]]
    try:
        live = (
            MappedLive(generator, mover, config, centre)
            if movers[0] == "motion"
            else ShiftLive(generator, mover, config, centre)
        )
    except ValueError as error:
        raise WrongUse(f"generator and {movers[0]} do not fit: {error}; name those made together") from error
    result: Live = live.eval().requires_grad_(False)
    return result
