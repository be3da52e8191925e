# SPDX-License-Identifier: MIT
"""Live graphs of two networks, without a checkpoint."""

from types import SimpleNamespace
from typing import Any

from torch import Tensor

from engines.networks.live import Live
from export.live_graph import live_of


def directions_live(
    synthesis: Any,
    directions: Any,
    *,
    psi: float = 1.0,
    centre: Tensor | None = None,
    limit: float | None = None,
) -> Live:
    """Both networks of directions; `centre` ((w_dim,) or a row each) is needed where psi is not 1."""
    parts = {"generator": synthesis, "directions": directions, "mapping": SimpleNamespace(w_avg=centre)}
    return live_of(parts, psi=psi, limit=limit)
