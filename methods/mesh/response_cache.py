# SPDX-License-Identifier: MIT
"""Keeps what was measured of a portrait in the user's cache: the same photo opens at once the next time.

Numbers only, under a digest of the picture and of all code and data that a measurement goes through.
"""

import hashlib
import io
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, fields
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

import engines
import face
from engines.folders import cache_folder
from methods.mesh.response import Response
from methods.portrait import Portrait

MEASURED_BY = (  # patterns of files, and the folder they lie in
    (Path(__file__).parent, "*.py"),
    (Path(face.__file__).parent, "*.py"),
    (Path(face.__file__).parent, "*.npz"),
    (Path(engines.__file__).parent, "mediapipe_reader.py"),
    (Path(engines.__file__).parent, "package_models.py"),
)


def kept_response(portrait: Portrait, measure: Callable[[], Response | None]) -> Response | None:
    """The response kept of this portrait; measured, and kept for the next time, where there is none."""
    path = cache_folder() / "responses" / f"{_digest(portrait)}.npz"
    with (
        suppress(OSError, ValueError, KeyError, EOFError, BadZipFile),
        np.load(io.BytesIO(path.read_bytes())) as kept,
    ):
        return Response(**{each.name: kept[each.name] for each in fields(Response)})
    response = measure()
    if response is not None:
        with suppress(OSError):  # a full or locked disk: it is measured again
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_name(f"{path.stem}.{os.getpid()}.unfinished")
            with unfinished.open("wb") as file:
                np.savez(file, **asdict(response))
            unfinished.replace(path)
    return response


def _digest(portrait: Portrait) -> str:
    """64 hexadecimal digits of the portrait's arrays and what measures them."""
    digest = hashlib.sha256(_measuring_code())
    for array in (portrait.image, portrait.alpha, portrait.landmarks, portrait.blendshapes):
        digest.update(f"{array.shape} {array.dtype}".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


@lru_cache(maxsize=1)
def _measuring_code() -> bytes:
    digest = hashlib.sha256(version("mediapipe").encode())
    for folder, pattern in MEASURED_BY:
        for path in sorted(folder.glob(pattern)):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.digest()
