# SPDX-License-Identifier: MIT
"""An enrolled portrait as a folder: its photo, its face, and its code in one or several generators.

identity.json       format, portrait's name and sha256, quad, generators, size and sha256 of each file
portrait.png        the photo, at most LONGEST_PX; mask.png its person; thumbnail.jpg
face.npz            landmarks (478, 3) in pixels of portrait.png; motion, the vector of face/motion_vector.py:
                    what the tracker reads in the aligned square of READ_PX pixels
<key>-<size>/       for each generator and size:
  code.npz          w (rows, w_dim); where a method keeps them, feature (channels, S, S) and rest (n,)
  generator_live.onnx   the generator tuned on this portrait; missing where the model's own is used
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import BadZipFile

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.graphs import GENERATOR
from engines.model_folder import sha256_of
from face.arrays import Floats, Image
from face.errors import ModelUnavailable
from face.motion import LANDMARKS, Motion
from face.motion_vector import SIZE, motion_of, vector_of_motion

FORMAT = "facepuppet-identity-2"
FIRST_FORMAT = "facepuppet-identity-1"
INDEX = "identity.json"
FACE = "face.npz"
CODE = "code.npz"
PORTRAIT = "portrait.png"
MASK = "mask.png"
THUMBNAIL = "thumbnail.jpg"
LONGEST_PX = 2048  # of the photo that is kept
READ_PX = 256  # side of the aligned square in which the tracker reads every portrait
THUMBNAIL_PX = 160


@dataclass(frozen=True, slots=True)
class Code:
    """What stands for a portrait in one generator at one size; arrays are read-only by agreement."""

    model: str  # name of the model it was made with, for people
    key: str  # of the generator, see LiveModel
    size: int  # side of the generated crop
    w: Floats  # (rows, w_dim)
    feature: Floats | None = None  # (channels, S, S) offset of a feature map
    rest: Floats | None = None  # (n,) numbers a method keeps of the portrait at rest
    graph: Path | None = None  # its own tuned generator, without suffix, as open_engine takes it


@dataclass(frozen=True, slots=True)
class Identity:
    """One portrait that generators can draw; arrays are read-only by agreement."""

    name: str
    portrait: Image  # the photo the generated crop returns into
    alpha: Floats  # (H, W) 1 = person
    landmarks: Floats  # (478, 3) pixels of `portrait`
    motion: Motion  # its face as the tracker reads it in the aligned square, without neutral
    codes: tuple[Code, ...]  # the one enrolled last at the end

    def has(self, key: str, size: int) -> bool:
        """Whether it was enrolled for that generator at that size."""
        return any((code.key, code.size) == (key, size) for code in self.codes)

    def code(self, key: str, size: int, model: str) -> Code:
        """Its code in that generator; ModelUnavailable where it was enrolled for others alone."""
        for code in self.codes:
            if (code.key, code.size) == (key, size):
                return code
        made = ", ".join(f"{code.model} ({code.key[:12]})" for code in self.codes)
        raise ModelUnavailable(
            f"identity {self.name} was made with model {made}, expected {model} ({key[:12]}); "
            "enroll the portrait again, or name its model with --model"
        )


def is_identity(path: Path) -> bool:
    """Whether a folder claims to be an identity; `read_identity` says whether it is."""
    return os.path.isfile(path / INDEX)  # False, too, for what this user may not see


def read_identity(path: Path) -> Identity:
    """Everything of an identity folder, each file held against its sha256; ModelUnavailable names a fault."""
    index = read_index(path)
    files = _Files(path, index)
    try:
        with np.load(BytesIO(files.read(FACE)), allow_pickle=False) as stored:
            landmarks, vector = (stored[name].astype(np.float32) for name in ("landmarks", "motion"))
        portrait = _picture(files.read(PORTRAIT), cv2.IMREAD_COLOR)
        alpha = _picture(files.read(MASK), cv2.IMREAD_GRAYSCALE)
        codes = tuple(_code(files, entry) for entry in index["generators"])
        name = str(index["portrait"]["name"])
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        raise _damaged(path, str(error)) from error
    files.check_rest()
    fits = landmarks.shape == (LANDMARKS, 3) and vector.shape == (SIZE,) and bool(codes)
    fits = fits and all(code.w.ndim == 2 and bool(np.isfinite(code.w).all()) for code in codes)
    if not fits or alpha.shape != portrait.shape[:2]:
        raise _damaged(path, "its arrays do not fit together")
    return Identity(
        name=name,
        portrait=np.ascontiguousarray(portrait[..., ::-1]),  # cv2 reads BGR
        alpha=(alpha / np.float32(255)).astype(np.float32),
        landmarks=landmarks,
        motion=motion_of(vector, (READ_PX, READ_PX), captured_s=0.0),
        codes=codes,
    )


def read_index(path: Path) -> dict[str, Any]:
    """What identity.json says; ModelUnavailable for another format, with the command that makes this one."""
    try:
        index = json.loads((path / INDEX).read_text(encoding="utf-8"))
        found = index["format"]
    except OSError as error:
        raise ModelUnavailable(
            f"no identity in {path} ({error.strerror}); make one with: facepuppet enroll"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path, str(error)) from error
    if found == FIRST_FORMAT:
        raise ModelUnavailable(
            f"{path} is an identity of an earlier version ({found}), expected {FORMAT!r}; "
            f"run: facepuppet enroll {path / PORTRAIT} --out {path}"
        )
    if found != FORMAT:
        raise ModelUnavailable(f"{path / INDEX} is {found!r}, expected {FORMAT!r}; enroll the portrait again")
    assert isinstance(index, dict)
    return index


def earlier_index(path: Path) -> dict[str, Any] | None:
    """What the index of an identity of any format says; None where there is none that can be read."""
    try:
        index = json.loads((path / INDEX).read_text(encoding="utf-8"))
        named = [index["portrait"]["name"], index["portrait"]["sha256"]]
        named += [text for file in index["files"] for text in (file["name"], file["sha256"])]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return index if all(isinstance(text, str) for text in named) else None


def is_portrait_of(photo_sha256: str, index: Mapping[str, Any]) -> bool:
    """Whether a photo is the one an identity of any format was made of, or the copy in its folder."""
    kept = (file["sha256"] for file in index["files"] if file["name"] == PORTRAIT)
    return photo_sha256 in (index["portrait"]["sha256"], *kept)


def remove_strangers(path: Path, before: Mapping[str, Any]) -> None:
    """Take away what an earlier index vouched for and that of `path` no longer does."""
    now = {file["name"] for file in read_index(path)["files"]}
    for name in {file["name"] for file in before["files"]} - now:
        if _is_inside(name):
            (path / name).unlink(missing_ok=True)
            if (path / name).parent != path and not any((path / name).parent.glob("*")):
                (path / name).parent.rmdir()


def _is_inside(name: str) -> bool:
    """Whether an index's name of a file leads nowhere but into its folder or a sub-folder."""
    pure = PurePosixPath(name)
    return not pure.is_absolute() and ".." not in pure.parts and len(pure.parts) <= 2


def code_folder(key: str, size: int) -> str:
    """Name of the sub-folder of a generator at a size."""
    return f"{key[:16]}-{size}"


def write_identity(
    folder: Path,
    identity: Identity,
    *,
    quad: NDArray[np.floating],
    portrait_sha256: str,
    facts: Mapping[str, Any],
    beside: Mapping[str, Any] | None = None,
) -> None:
    """Fill `folder` with an identity of one code, whose tuned graphs lie in its sub-folder already; the index
    comes last.

    quad: (4, 2) corners of the aligned square in `identity.portrait`; `facts` (seconds, losses) are for
    people. beside: the index of an identity of the same portrait, whose other codes stay where they are.
    """
    (code,) = identity.codes
    own = folder / code_folder(code.key, code.size)
    own.mkdir(exist_ok=True)
    arrays: dict[str, Any] = {"w": code.w, "feature": code.feature, "rest": code.rest}
    np.savez(own / CODE, **{name: value for name, value in arrays.items() if value is not None})
    np.savez(folder / FACE, landmarks=identity.landmarks, motion=vector_of_motion(identity.motion))
    _write_pictures(folder, identity)
    entry = {
        "model": code.model,
        "key": code.key,
        "size": code.size,
        "folder": own.name,
        "tuned": code.graph is not None,
        "facts": facts,
    }
    others = [e for e in (beside or {}).get("generators", ()) if e["folder"] != own.name]
    kept = tuple(f"{other['folder']}/" for other in others)
    files = [file for file in (beside or {}).get("files", ()) if file["name"].startswith(kept)]
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != INDEX):
        name = path.relative_to(folder).as_posix()
        files.append({"name": name, "bytes": path.stat().st_size, "sha256": sha256_of(path)})
    index = {
        "format": FORMAT,
        "portrait": {"name": identity.name, "sha256": portrait_sha256},
        "quad": np.asarray(quad, np.float64).round(3).tolist(),
        "generators": [*others, entry],
        "files": files,
    }
    text = json.dumps(index, indent=2, ensure_ascii=False)
    (folder / INDEX).write_text(text + "\n", encoding="utf-8")


def _write_pictures(folder: Path, identity: Identity) -> None:
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


class _Files:
    """The files an index vouches for, each read and hashed once."""

    def __init__(self, path: Path, index: Mapping[str, Any]) -> None:
        self.path = path
        try:
            self._waiting = {str(f["name"]): (int(f["bytes"]), str(f["sha256"])) for f in index["files"]}
        except (KeyError, TypeError, ValueError) as error:
            raise _damaged(path, str(error)) from error
        for name in self._waiting:
            if not _is_inside(name):
                raise _damaged(path, f"{INDEX} names {name}")

    def read(self, name: str) -> bytes:
        """The file's content."""
        if name not in self._waiting:
            raise _damaged(self.path, f"{INDEX} does not vouch for {name}")
        size, sha256 = self._waiting.pop(name)
        file = self.path / name
        content = file.read_bytes() if file.is_file() and file.stat().st_size == size else b""
        if len(content) != size or hashlib.sha256(content).hexdigest() != sha256:
            raise _damaged(self.path, f"{name} is missing, cut short or altered")
        return content

    def check_rest(self) -> None:
        for name in list(self._waiting):
            self.read(name)


def _code(files: _Files, entry: Mapping[str, Any]) -> Code:
    place = str(entry["folder"])
    with np.load(BytesIO(files.read(f"{place}/{CODE}")), allow_pickle=False) as stored:
        arrays = {name: stored[name].astype(np.float32) for name in stored.files}
    if entry["tuned"]:
        files.read(f"{place}/{GENERATOR}.onnx")
    return Code(
        model=str(entry["model"]),
        key=str(entry["key"]),
        size=int(entry["size"]),
        w=arrays["w"],
        feature=arrays.get("feature"),
        rest=arrays.get("rest"),
        graph=files.path / place / GENERATOR if entry["tuned"] else None,
    )


def _picture(content: bytes, flags: int) -> Image:
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    if picture is None:
        raise ValueError("a picture cannot be read")
    return np.asarray(picture, np.uint8)


def _damaged(path: Path, reason: str) -> ModelUnavailable:
    return ModelUnavailable(f"identity {path} cannot be used: {reason}; enroll the portrait again")
