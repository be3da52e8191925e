# SPDX-License-Identifier: MIT
"""A model folder as it is read: model.json and the files it vouches for. Knows no network."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from face.errors import ModelUnavailable

FORMAT = "facepuppet-model-1"
INDEX = "model.json"
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of the folder."""

    name: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """What model.json says. `graphs` are opened with open_engine(folder / role)."""

    path: Path
    origin: str
    licence: str
    notes: tuple[str, ...]
    graphs: tuple[str, ...]  # roles: generator, mapping, encoder, ...
    files: tuple[ModelFile, ...]
    index: dict[str, Any]  # the whole of model.json, for showing


def read_model(path: Path) -> ModelFolder:
    """Read a folder's model.json; ModelUnavailable says what is wrong with it."""
    index_path = path / INDEX
    try:
        index = json.loads(index_path.read_text(encoding="utf-8"))
        if index["format"] != FORMAT:
            raise ModelUnavailable(
                f"{index_path} is {index['format']!r}, expected {FORMAT}; export the model again"
            )
        files = tuple(ModelFile(f["name"], f["sha256"], f["bytes"]) for f in index["files"])
        graphs, notes = tuple(index["graphs"]), tuple(index["notes"])
        return ModelFolder(path, index["origin"], index["licence"], notes, graphs, files, index)
    except OSError as error:
        raise ModelUnavailable(
            f"no model in {path} ({error.strerror}); make one with: facepuppet export"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ModelUnavailable(f"{index_path} cannot be read ({error}); export the model again") from error


def verify_model(model: ModelFolder) -> None:
    """Hold every file against its size and sha256; ModelUnavailable names the first that differs."""
    for file in model.files:
        path = model.path / Path(file.name).name
        if not path.is_file():
            raise ModelUnavailable(f"{path} is missing; export the model again")
        if path.stat().st_size != file.bytes or sha256_of(path) != file.sha256:
            raise ModelUnavailable(f"{path} was altered since it was exported; export the model again")


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
