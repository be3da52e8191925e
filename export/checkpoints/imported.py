# SPDX-License-Identifier: MIT
"""What an importer gives, and the strict reading of named tensors all importers share."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engines.networks.store import N, Network, build_network
from export.checkpoints.shown import ITEMS, shown, shown_names
from export.checkpoints.tensors import as_array, stored_array
from face.errors import BadCheckpoint

Arrays = dict[str, NDArray[Any]]
SHARED = 4  # times the memory of the tensors in a file that may be taken from it
SMALL_SHARED = 16 << 20  # bytes that may be taken again beside that


@dataclass(frozen=True, slots=True)
class Parameters:
    """What the numbers of a matrix of directions mean, one entry a number; a player needs it."""

    names: tuple[str, ...]
    ranges: tuple[tuple[float, float], ...]  # lowest and highest raw value
    scales: tuple[float, ...]  # what a raw unit is in the matrix's own


@dataclass(frozen=True, slots=True)
class Imported:
    """The networks a file gave, by the name of the graph each becomes."""

    origin: str
    licence: str  # of the weights, as far as the origin tells
    networks: dict[str, Network]  # the graphs are listed in export/onnx_export.py
    notes: tuple[str, ...] = ()  # what a user should know of how the file was read
    parameters: Parameters | None = None  # of directions, where their origin tells


@dataclass(slots=True)
class Tensors:
    """Named tensors of one network in a file. What nobody took is a stranger, and an error."""

    what: str  # for the error lines: "generator of ffhq.pkl"
    named: dict[str, Any]
    taken: set[str] = field(default_factory=set)
    budget: int = SMALL_SHARED  # bytes
    memories: set[int] = field(default_factory=set)  # that count towards the budget

    def __post_init__(self) -> None:
        odd = [name for name in self.named if not isinstance(name, str)]
        if odd:
            raise BadCheckpoint(f"its {self.what} has {shown_names(odd)} for names of tensors, expected text")

    def __contains__(self, name: str) -> bool:
        return name in self.named

    def matching(self, prefix: str, suffix: str = "") -> list[str]:
        """What stands between prefix and suffix in the names that have both, in the file's order."""
        size = len(prefix) + len(suffix)
        found = (n for n in self.named if n.startswith(prefix) and n.endswith(suffix) and len(n) >= size)
        return [n[len(prefix) : len(n) - len(suffix)] for n in found]

    def shape(self, name: str, dimensions: int) -> tuple[int, ...]:
        """Shape of a tensor that must be there, every size at least 1."""
        if name not in self.named:
            raise BadCheckpoint(f"its {self.what} has no {name}, which every one of that kind has")
        array = as_array(self.named[name])
        if array is None or array.ndim != dimensions or 0 in array.shape:
            found = shown(self.named[name]) if array is None else f"a tensor of shape {array.shape}"
            raise BadCheckpoint(
                f"{name} of its {self.what} is {found}, expected a tensor of {dimensions} dimensions"
            )
        return tuple(array.shape)

    def take(self, name: str, *, integer: bool = False) -> NDArray[Any]:
        """The tensor as float32 (or int64) of its own memory; an error when it is missing or not finite."""
        if name not in self.named:
            raise BadCheckpoint(f"its {self.what} has no {name}, which every one of that kind has")
        stored, array = stored_array(self.named[name]), as_array(self.named[name])
        if stored is None or array is None:
            found = shown(self.named[name])
            raise BadCheckpoint(f"{shown(name)} of its {self.what} is {found}, expected a tensor of numbers")
        self._charge(stored)
        self.taken.add(name)
        if integer:
            return np.array(array, dtype=np.int64)
        values = np.array(array, dtype=np.float32)
        if not np.isfinite(values).all():
            raise BadCheckpoint(
                f"{shown(name)} of its {self.what} holds values that are not finite; download it again"
            )
        return values

    def _charge(self, array: NDArray[Any]) -> None:
        """Fail when tensors that share their memory are taken to more than the file can mean."""
        memory: Any = array if array.base is None else array.base
        if id(memory) not in self.memories:
            self.memories.add(id(memory))
            self.budget += SHARED * memoryview(memory).nbytes
        self.budget -= array.nbytes
        if self.budget < 0:
            raise BadCheckpoint(
                f"its {self.what} has the same numbers under many names, which no checkpoint does"
            )

    def drop(self, names: Iterable[str]) -> None:
        """Name what is known and not needed."""
        self.taken.update(names)

    def finish(self) -> None:
        """Fail on strangers."""
        strangers = set(self.named) - self.taken
        if strangers:
            raise BadCheckpoint(
                f"its {self.what} has tensors that are not known: {shown_names(strangers)}; "
                "it was made by changed code, which this importer does not have"
            )


def built(what: str, network: type[N], config: Any, tensors: Mapping[str, NDArray[Any]]) -> N:
    """The network of these tensors, or the line that says what does not fit."""
    try:
        own = {name: torch.from_numpy(np.asarray(array, order="C")) for name, array in tensors.items()}
        return build_network(network, config, own)
    except ValueError as error:
        raise BadCheckpoint(f"its {what} does not fit together ({error})") from error


def one_value(what: str, values: Iterable[Any]) -> Any:
    """The value that all layers share."""
    distinct = {shown(value): value for value in values}
    if len(distinct) != 1:
        raise BadCheckpoint(f"its {what} differs from layer to layer ({', '.join(list(distinct)[:ITEMS])})")
    return next(iter(distinct.values()))


def only_known(root: Mapping[Any, Any], known: Iterable[str]) -> None:
    """Fail on what a file holds beside what its origin writes."""
    strangers = set(root) - set(known)
    if strangers:
        raise BadCheckpoint(
            f"beside what every one of that kind has it holds {shown_names(strangers)}; "
            "it was made by changed code, which this importer does not have"
        )
