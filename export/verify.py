# SPDX-License-Identifier: MIT
"""Holds a graph against the network it was recorded from, before anyone relies on it. Knows no checkpoint."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from engines import TensorSpec, open_engine
from engines.base import Array
from engines.networks.store import Network
from face.errors import BadCheckpoint

TOLERANCE = 2e-5  # of the output's range: float32 sums in another order, measured up to 2e-6 at 1024 pixels
BATCHES = (1, 2)  # sizes of the free dimension that are tried
SEED = 20260


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found for one graph; differences are absolute, over all batches."""

    max_difference: float
    max_value: float
    batches: tuple[int, ...]
    runtime: str


def verify_graph(network: Network, path: Path) -> Verification:
    """Run graph and network on the same random inputs; BadCheckpoint when they or two runs differ."""
    worst, largest = 0.0, 0.0
    with open_engine(path, backend="onnx", threads=0) as engine:
        for batch in BATCHES:
            arrays = random_inputs(network.inputs, batch)
            with torch.inference_mode():
                reference = network(*(torch.tensor(arrays[spec.name]) for spec in network.inputs)).numpy()
            name = network.outputs[0].name
            result = engine.run(**arrays)[name]
            again = engine.run(**arrays)[name] if batch == 1 else result
            largest = max(largest, float(np.abs(reference).max()))
            worst = max(worst, float(np.abs(result - reference).max()))
            if result.shape != reference.shape or not np.isfinite(reference).all():
                raise BadCheckpoint(
                    f"{path.name} gives no finite {name} for random inputs; the weights are damaged"
                )
            if not np.array_equal(result, again):
                raise BadCheckpoint(f"{path.name} gives two answers to one question; report this as a bug")
        runtime = engine.provenance.runtime
    if not worst <= TOLERANCE * max(largest, 1.0):
        raise BadCheckpoint(
            f"{path.name} differs from torch by {worst:.2g} on values up to {largest:.2g}, "
            f"expected {TOLERANCE * max(largest, 1.0):.2g} at most; report this as a bug"
        )
    return Verification(worst, largest, BATCHES, runtime)


def random_inputs(specs: tuple[TensorSpec, ...], batch: int) -> dict[str, Array]:
    """Inputs as a user may give them: pictures in [-1, 1], psi 0.7, everything else normal."""
    rng = np.random.default_rng(SEED + batch)
    arrays: dict[str, Array] = {}
    for spec in specs:
        shape = tuple(batch if isinstance(size, str) else size for size in spec.shape)
        if spec.name == "psi":
            arrays[spec.name] = np.array(0.7, np.float32)
        elif spec.name == "image":
            arrays[spec.name] = rng.uniform(-1, 1, shape).astype(np.float32)
        else:
            arrays[spec.name] = rng.standard_normal(shape).astype(np.float32)
    return arrays
