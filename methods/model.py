# SPDX-License-Identifier: MIT
"""The model folder a latent method plays: its generator and mover, checked, and its numbers' names."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engines import model_folder
from engines.graphs import GENERATOR, IDENTITY, IMAGE, MOVER, W
from face.errors import ModelUnavailable


@dataclass(frozen=True, slots=True)
class LiveModel:
    """A model that can be played."""

    folder: Path
    name: str
    key: str  # of the generator, which identities are bound to: of the weights, not of the graph's file
    licence: str
    size: int  # side of the picture
    rows: int
    mover: Path  # both without suffix, as open_engine takes them
    generator: Path
    reads: dict[str, tuple[int, ...]]  # what the mover reads beside the portrait's code, by name
    parameters: tuple[str, ...]  # names of the motion's numbers, in order
    # Of each number, where the folder tells: lowest and highest raw value, what a raw unit is in the mover.
    ranges: tuple[tuple[float, float], ...] = ()
    scales: tuple[float, ...] = ()
    psi: float = 1.0  # by which the mover itself truncates

    def holds(self, role: str) -> bool:
        """Whether the folder has this graph as well."""
        return (self.folder / f"{role}.onnx").is_file()


def open_model(
    folder: Path,
    *,
    method: str,
    names: tuple[str, ...],
    also: Callable[[tuple[str, ...]], bool] = lambda found: False,
) -> LiveModel:
    """Read and verify a folder for a method whose motion has these numbers, or others that `also` knows;
    ModelUnavailable says what is wrong.
    """
    model = model_folder.read_model(folder)
    mover = next((role for role in (f"{MOVER}_{method}", MOVER) if role in model.graphs), None)
    if mover is None or GENERATOR not in model.graphs:
        held = ", ".join(model.graphs) or "no graph"
        raise ModelUnavailable(
            f"{folder} has no live graphs for --method {method}, only {held}; "
            "export a generator together with its directions"
        )
    model_folder.verify_model(model)
    live = _live(model, mover)
    if live.parameters != names and not also(live.parameters):
        raise ModelUnavailable(
            f"{folder} is moved by {_some(live.parameters)}, expected {_some(names)}: "
            "its directions were learned for another tracker; use a model made for this one"
        )
    return live


def _some(names: tuple[str, ...]) -> str:
    if not names:
        return "numbers without names"
    return f"{len(names)} numbers ({', '.join(names[:4])}{', ...' if len(names) > 4 else ''})"


def _live(model: model_folder.ModelFolder, mover: str) -> LiveModel:
    """What model.json says of both graphs; a folder that is not whole says so here and not at a frame."""
    try:
        moves: dict[str, Any] = model.index["graphs"][mover]
        draws: dict[str, Any] = model.index["graphs"][GENERATOR]
        reads = _shapes(moves["inputs"])
        reads.pop(IDENTITY, None)
        _, rows, _ = _shapes(draws["inputs"])[W]
        picture = _shapes(draws["outputs"])[IMAGE]
        counts = [shape[1] for shape in reads.values() if len(shape) == 2]
        parameters = tuple(str(name) for name in model.index.get("parameters", ()))
        ranges = tuple((float(low), float(high)) for low, high in model.index.get("ranges", ()))
        scales = tuple(float(scale) for scale in model.index.get("scales", ()))
        if len(picture) != 4 or picture[1] != picture[2] or len(parameters) not in (0, *counts):
            raise ValueError(f"image {picture}, {len(parameters)} names for {counts} numbers")
        if not len(ranges) == len(scales) or len(scales) not in (0, *counts):
            raise ValueError(f"{len(ranges)} ranges and {len(scales)} scales for {counts} numbers")
        return LiveModel(
            folder=model.path,
            name=str(model.index.get("name", model.origin)),
            key=key_of(model),
            licence=model.licence,
            size=int(picture[1]),
            rows=int(rows),
            mover=model.path / mover,
            generator=model.path / GENERATOR,
            reads=reads,
            parameters=parameters,
            ranges=ranges,
            scales=scales,
            psi=float(moves.get("config", {}).get("psi", 1.0)),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise ModelUnavailable(
            f"the live graphs in {model.path} are not described as expected ({error}); export the model again"
        ) from error


def _shapes(specs: list[dict[str, Any]]) -> dict[str, tuple[int, ...]]:
    return {spec["name"]: tuple(int(size) for size in spec["shape"]) for spec in specs}


def key_of(model: model_folder.ModelFolder) -> str:
    """The generator's weights' sha256: model.json's own key, or that of the folder's files."""
    key = model.index.get("key")
    if isinstance(key, str) and key:
        return key
    whole = "".join(f"{file.name} {file.sha256}\n" for file in model.files)
    return hashlib.sha256(whole.encode()).hexdigest()
