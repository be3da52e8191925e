# SPDX-License-Identifier: MIT
"""An enrolled portrait as a folder: its latent code, its photo, its own generator. Knows no network.

identity.json    format, model it belongs to, portrait's name and sha256, size, quad, sha256 of each file
identity.npz     w_plus (rows, 512), p_source (d,), landmarks (478, 3) in pixels of portrait.png,
                 blendshapes (52,)
portrait.png     the photo, at most LONGEST_PX; mask.png its person; thumbnail.jpg
live.onnx        the generator tuned on this portrait; missing where the model's own is used
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import cv2
import numpy as np
from numpy.typing import NDArray

from engines import model_folder
from face.arrays import Floats, Image
from face.errors import ModelUnavailable

FORMAT = "facepuppet-identity-1"
INDEX = "identity.json"
NUMBERS = "identity.npz"
PORTRAIT = "portrait.png"
MASK = "mask.png"
THUMBNAIL = "thumbnail.jpg"
LIVE = "live.onnx"
LONGEST_PX = 2048  # of the photo that is kept
THUMBNAIL_PX = 160


@dataclass(frozen=True, slots=True)
class Identity:
    """One portrait a generator can draw; arrays are read-only by agreement."""

    name: str
    model: str  # key of the model it was made with, see LiveModel
    size: int  # side of the generated crop
    w_plus: Floats  # (rows, 512)
    p_source: Floats  # (d,) the face parameters of the portrait itself
    portrait: Image  # the photo the generated crop returns into
    alpha: Floats  # (H, W) 1 = person
    landmarks: Floats  # (478, 3) pixels of `portrait`
    blendshapes: Floats  # (52,) as the tracker reads the portrait
    live: Path | None  # its own tuned graph


def is_identity(path: Path) -> bool:
    """Whether a folder claims to be an identity; `read_identity` says whether it is."""
    return os.path.isfile(path / INDEX)  # False, too, for what this user may not see


def read_identity(path: Path) -> Identity:
    """Everything of an identity folder, each file held against its sha256; ModelUnavailable names a fault."""
    index = _index(path)
    _check_files(path, index)
    try:
        with np.load(path / NUMBERS, allow_pickle=False) as stored:
            w_plus, p_source, landmarks, blendshapes = (
                stored[name].astype(np.float32) for name in ("w_plus", "p_source", "landmarks", "blendshapes")
            )
        live = path / LIVE if index["tuned"] else None
        portrait = _picture(path / PORTRAIT, cv2.IMREAD_COLOR)
        alpha = _picture(path / MASK, cv2.IMREAD_GRAYSCALE)
        model, size, name = str(index["model"]["key"]), int(index["size"]), str(index["portrait"]["name"])
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        raise _damaged(path, str(error)) from error
    fits = w_plus.ndim == 2 and p_source.ndim == 1 and blendshapes.shape == (52,)
    fits = fits and landmarks.shape == (478, 3) and bool(np.isfinite(w_plus).all())
    if not fits or alpha.shape != portrait.shape[:2]:
        raise _damaged(path, "its arrays do not fit together")
    return Identity(
        name=name,
        model=model,
        size=size,
        w_plus=w_plus,
        p_source=p_source,
        portrait=np.ascontiguousarray(portrait[..., ::-1]),  # cv2 reads BGR
        alpha=(alpha / np.float32(255)).astype(np.float32),
        landmarks=landmarks,
        blendshapes=blendshapes,
        live=live,
    )


def write_identity(
    folder: Path,
    identity: Identity,
    *,
    quad: NDArray[np.floating],
    portrait_sha256: str,
    model: dict[str, Any],
    facts: dict[str, Any],
) -> None:
    """Fill `folder`, which is empty or holds the tuned live.onnx; the index comes last.

    quad: (4, 2) corners of the crop in `identity.portrait`; `model` names what it belongs to and has its key;
    `facts` (seconds, losses, versions) are for people.
    """
    np.savez(
        folder / NUMBERS,
        w_plus=identity.w_plus,
        p_source=identity.p_source,
        landmarks=identity.landmarks,
        blendshapes=identity.blendshapes,
    )
    height, width = identity.portrait.shape[:2]
    shrink = THUMBNAIL_PX / max(height, width)
    small = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    bgr = identity.portrait[..., ::-1]
    pictures = {
        PORTRAIT: np.ascontiguousarray(bgr),
        MASK: np.clip(identity.alpha * 255 + 0.5, 0, 255).astype(np.uint8),
        THUMBNAIL: cv2.resize(bgr, small, interpolation=cv2.INTER_AREA),
    }
    for name, picture in pictures.items():
        if not cv2.imwrite(str(folder / name), picture):
            raise OSError(f"{name} was not written")
    files = sorted(path for path in folder.iterdir() if path.name != INDEX)
    index = {
        "format": FORMAT,
        "method": "directions",
        "model": model,
        "portrait": {"name": identity.name, "sha256": portrait_sha256},
        "size": identity.size,
        "tuned": identity.live is not None,
        "quad": np.asarray(quad, np.float64).round(3).tolist(),
        "facts": facts,
        "files": [
            {"name": p.name, "bytes": p.stat().st_size, "sha256": model_folder.sha256_of(p)} for p in files
        ],
    }
    text = json.dumps(index, indent=2, ensure_ascii=False)
    (folder / INDEX).write_text(text + "\n", encoding="utf-8")


def check_model(identity: Identity, key: str, name: str, parameters: Sequence[str]) -> None:
    """ModelUnavailable for an identity that was made with another model, or another version of this one."""
    if identity.model != key or len(identity.p_source) != len(parameters):
        raise ModelUnavailable(
            f"identity {identity.name} was made with model {identity.model[:12]}, expected {key[:12]} "
            f"({name}); "
            "enroll the portrait again, or name its model with --model"
        )


def _index(path: Path) -> dict[str, Any]:
    try:
        index = json.loads((path / INDEX).read_text(encoding="utf-8"))
        found, method = index["format"], index["method"]
    except OSError as error:
        raise ModelUnavailable(
            f"no identity in {path} ({error.strerror}); make one with: facepuppet enroll"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path, str(error)) from error
    if found != FORMAT or method != "directions":
        raise ModelUnavailable(
            f"{path / INDEX} is {found!r} for {method!r}, expected {FORMAT!r} for 'directions'; "
            "enroll the portrait again"
        )
    assert isinstance(index, dict)
    return index


def _check_files(path: Path, index: dict[str, Any]) -> None:
    try:
        files = [(str(each["name"]), int(each["bytes"]), str(each["sha256"])) for each in index["files"]]
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, str(error)) from error
    wanted = {NUMBERS, PORTRAIT, MASK} | ({LIVE} if index.get("tuned") else set())
    missing = wanted - {name for name, _, _ in files}
    if missing:
        raise _damaged(path, f"{INDEX} does not vouch for {min(missing)}")
    for name, size, sha256 in files:
        file = path / Path(name).name
        if not file.is_file() or file.stat().st_size != size or model_folder.sha256_of(file) != sha256:
            raise _damaged(path, f"{file.name} is missing, cut short or altered")


def _picture(path: Path, flags: int) -> Image:
    picture = cv2.imread(str(path), flags)
    if picture is None:
        raise ValueError(f"{path.name} is no picture")
    return np.asarray(picture, np.uint8)


def _damaged(path: Path, reason: str) -> ModelUnavailable:
    return ModelUnavailable(f"identity {path} cannot be used: {reason}; enroll the portrait again")
