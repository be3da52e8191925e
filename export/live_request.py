# SPDX-License-Identifier: MIT
"""What is asked of live graphs; needs no torch."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class LiveRequest:
    """Generator and mover of a method, run one after the other at every frame."""

    precisions: tuple[str, ...] = ("fp32",)  # of the generator; the mover is float32
    psi: float | None = None  # None: as the method's authors have it
    limit: float | None = None  # of each number of the motion
    capabilities: tuple[str, ...] = ()  # of GPUs to build engines for with TensorRT-RTX
    engine_cache: Path | None = None  # the player's, where engines go too
