# SPDX-License-Identifier: MIT
"""The model folder a latent method plays: its live graph, checked, and its numbers' names."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engines import model_folder
from face.errors import ModelUnavailable

LIVE = "live"  # role of the graph: identity (1, rows, w_dim), delta (1, d) -> image (1, H, W, 3) uint8
MAPPING = "mapping"  # z (N, z_dim), psi () -> w (N, rows, w_dim)
ENCODER = "encoder"  # image (N, 3, 256, 256) -> w (N, rows, w_dim)
DECA = "tracker"  # image (N, 3, 224, 224) -> DECA's parameters


@dataclass(frozen=True, slots=True)
class LiveModel:
    """A model that can be played."""

    folder: Path
    name: str
    key: str  # what identities made with it are bound to: of the weights, not of the graph's file
    licence: str
    size: int  # side of the picture
    rows: int
    parameters: tuple[str, ...]  # names of delta's numbers, in order
    # Of each number, where the folder tells: lowest and highest raw value, and what a raw unit is in delta.
    ranges: tuple[tuple[float, float], ...] = ()
    scales: tuple[float, ...] = ()
    psi: float = 1.0  # by which the graph itself truncates

    def holds(self, role: str) -> bool:
        """Whether the folder has this graph as well."""
        return (self.folder / f"{role}.onnx").is_file()

    @property
    def graph(self) -> Path:
        """Without suffix, as open_engine takes it."""
        return self.folder / LIVE


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
    if LIVE not in model.graphs:
        held = ", ".join(model.graphs) or "no graph"
        raise ModelUnavailable(
            f"{folder} has no live graph for --method {method}, only {held}; "
            "export a generator together with its directions"
        )
    model_folder.verify_model(model)
    live = _live(model)
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


def _live(model: model_folder.ModelFolder) -> LiveModel:
    """What model.json says of the live graph; a folder that is not whole says so here and not at a frame."""
    try:
        graph: dict[str, Any] = model.index["graphs"][LIVE]
        inputs = {spec["name"]: tuple(spec["shape"]) for spec in graph["inputs"]}
        (output,) = (tuple(spec["shape"]) for spec in graph["outputs"])
        _, rows, _ = inputs["identity"]
        count = inputs["delta"][1]
        parameters = tuple(str(name) for name in model.index.get("parameters", ()))
        ranges = tuple((float(low), float(high)) for low, high in model.index.get("ranges", ()))
        scales = tuple(float(scale) for scale in model.index.get("scales", ()))
        if len(output) != 4 or output[1] != output[2] or len(parameters) not in (0, count):
            raise ValueError(f"image {output}, {len(parameters)} names for {count} numbers")
        if not len(ranges) == len(scales) or len(scales) not in (0, count):
            raise ValueError(f"{len(ranges)} ranges and {len(scales)} scales for {count} numbers")
        return LiveModel(
            folder=model.path,
            name=str(model.index.get("name", model.origin)),
            key=key_of(model),
            licence=model.licence,
            size=int(output[1]),
            rows=int(rows),
            parameters=parameters,
            ranges=ranges,
            scales=scales,
            psi=float(graph.get("config", {}).get("psi", 1.0)),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise ModelUnavailable(
            f"the live graph in {model.path} is not described as expected ({error}); export the model again"
        ) from error


def key_of(model: model_folder.ModelFolder) -> str:
    """The weights' sha256: model.json's own key, or that of its files where it names none."""
    key = model.index.get("key")
    if isinstance(key, str) and key:
        return key
    whole = "".join(f"{file.name} {file.sha256}\n" for file in model.files)
    return hashlib.sha256(whole.encode()).hexdigest()
