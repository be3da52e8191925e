# SPDX-License-Identifier: MIT
"""The contract of everything that runs a network: named arrays in, named arrays out. Knows no runtime."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output. A string is a free dimension; equal names, equal sizes in one call."""

    name: str
    shape: tuple[int | str, ...]
    dtype: str = "float32"


@dataclass(frozen=True, slots=True)
class Provenance:
    """What really runs, for the overlay, the log and the report; never a guess made before opening."""

    artefact: Path
    backend: str  # a name of engines.registry.BACKENDS
    runtime: str  # the library and its version
    device: str


class Engine(Protocol):
    """One opened network. Used by one thread at a time; whoever opens closes.

    `run` returns arrays the caller owns: they are not overwritten by the next call.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    provenance: Provenance

    def run(self, **arrays: Array) -> dict[str, Array]: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exc_info: object) -> None: ...


def one_sample(specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """The same with every free dimension at 1, as engines of fixed sizes have it."""
    return tuple(
        TensorSpec(spec.name, tuple(1 if isinstance(size, str) else size for size in spec.shape), spec.dtype)
        for spec in specs
    )


def check_arrays(specs: Sequence[TensorSpec], arrays: Mapping[str, Array]) -> None:
    """Hold arrays against specs: TypeError for names and dtypes, ValueError for shapes."""
    expected = {spec.name for spec in specs}
    if set(arrays) != expected:
        raise TypeError(f"inputs are {sorted(arrays)}, expected {sorted(expected)}")
    free: dict[str, int] = {}
    for spec in specs:
        array = arrays[spec.name]
        if not isinstance(array, np.ndarray) or array.dtype != np.dtype(spec.dtype):
            found = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            raise TypeError(f"{spec.name} is {found}, expected an array of {spec.dtype}")
        fits = array.ndim == len(spec.shape) and all(
            size == (free.setdefault(wanted, size) if isinstance(wanted, str) else wanted)
            for size, wanted in zip(array.shape, spec.shape, strict=False)
        )
        if not fits:
            raise ValueError(f"{spec.name} has shape {array.shape}, expected {spec.shape}")
