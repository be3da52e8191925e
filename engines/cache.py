# SPDX-License-Identifier: MIT
"""Built engines on disk, found again only where nothing they depend on has changed. Knows no runtime.

Loading an engine means running code from it. So there is one folder, of this user's own and closed to
others, nothing else is ever loaded from, and an entry counts only when its bytes have the sha256 that its
sidecar says and its sidecar the very key that was asked for. Every doubt is a miss: it is built anew.
"""

import hashlib
import json
import logging
import os
import platform
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engines.folders import cache_folder
from engines.model_folder import CHUNK
from face.errors import EngineUnavailable
from face.files import UNFINISHED, remove_abandoned, replace_file

logger = logging.getLogger(__name__)

FORMAT = "facepuppet-engine-1"
SUFFIX = ".engine"
LIMIT_BYTES = 4 << 30  # of all entries; those not used for longest go first
Progress = Callable[[str, float], bool]  # phase and its share done, 0 to 1; answers False to stop the build


@dataclass(frozen=True, slots=True)
class EngineKey:
    """Everything an engine depends on; equal keys, interchangeable engines."""

    graph: str  # graph_hash of the ONNX file
    backend: str
    runtime: str  # the backend's full version
    system: str  # system and processor of this_system()
    compute_capability: str  # "8.6"
    gpu: str = ""  # its name; empty where one engine serves every GPU of the capability
    cuda: str = ""  # version of its runtime; empty where the engine does without
    flags: tuple[str, ...] = ()
    shapes: tuple[str, ...] = ()  # of the inputs, as "identity 1x16x512"
    precision: str = "fp32"

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def default_folder() -> Path:
    """Where this user's engines are kept."""
    return cache_folder() / "engines"


def this_system() -> str:
    return f"{platform.system()} {platform.machine()}"


def graph_hash(path: Path) -> str:
    """sha256 of a graph and of the weights beside it, where it is too large for one file."""
    digest = hashlib.sha256()
    for part in (path, path.with_name(f"{path.name}.data")):
        if part.is_file():
            digest.update(f"{part.stat().st_size}:".encode())
            with part.open("rb") as file:
                while chunk := file.read(CHUNK):
                    digest.update(chunk)
    return digest.hexdigest()


class EngineCache:
    """One folder of engines, each with a sidecar. Several processes may share it; nothing stays open."""

    def __init__(self, folder: Path, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self.folder, self._limit = folder, limit_bytes
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise EngineUnavailable(
                f"engines cannot be kept in {folder} ({error.strerror}); make it a folder you can write to"
            ) from error
        _own(folder)

    def load(self, key: EngineKey) -> bytes | None:
        """The engine's bytes, verified; None where it has to be built."""
        engine, sidecar = self._paths(key)
        try:
            said: Any = json.loads(_read(sidecar))
            blob = _read(engine)
            if said["format"] != FORMAT or said["key"] != _plain(key):
                raise ValueError("made for something else")
            if hashlib.sha256(blob).hexdigest() != said["sha256"]:
                raise ValueError("altered since it was built")
        except FileNotFoundError:
            return None
        except Exception as error:  # whatever lies there, it is no reason not to start
            logger.warning("engine %s is built again: %s", engine.name, error)
            return None
        with suppress(OSError):  # another process takes it away in this moment
            os.utime(sidecar)  # used now
        return blob

    def store(self, key: EngineKey, blob: bytes, *, seconds: float = 0.0, driver: str = "") -> Path:
        """Keep an engine, whole or not at all, whoever else writes; `driver` is only noted.

        One that cannot be kept is built again next time, and a warning says so.
        """
        engine, sidecar = self._paths(key)
        said = {
            "format": FORMAT,
            "key": _plain(key),
            "sha256": hashlib.sha256(blob).hexdigest(),
            "bytes": len(blob),
            "seconds": round(seconds, 3),
            "driver": driver,
            "built": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        try:
            replace_file(engine, blob)
            replace_file(
                sidecar, json.dumps(said, indent=2).encode() + b"\n"
            )  # last: it vouches for the other
            self._prune(sidecar)
        except OSError as error:
            reason = error.strerror or error
            logger.warning(
                "engine %s cannot be kept in %s (%s); free space there", engine.name, self.folder, reason
            )
        return engine

    def load_or_build(self, key: EngineKey, build: Callable[[], bytes], *, driver: str = "") -> bytes:
        """The engine, built now where it is not there; runs as long as that takes."""
        blob = self.load(key)
        if blob is None:
            start = time.perf_counter()
            blob = build()
            self.store(key, blob, seconds=time.perf_counter() - start, driver=driver)
        return blob

    def path(self, key: EngineKey) -> Path:
        """Where the key's engine lies, or would."""
        return self._paths(key)[0]

    def _paths(self, key: EngineKey) -> tuple[Path, Path]:
        engine = self.folder / f"{key.backend}-{key.digest[:32]}{SUFFIX}"
        return engine, engine.with_suffix(".json")

    def _prune(self, newest: Path) -> None:
        """Take away what was not used for longest, until the rest is small enough; the newest stays.

        What killed writers left goes too: half-written files, and halves of an entry.
        """
        remove_abandoned(self.folder, f".*{UNFINISHED}")
        remove_abandoned(self.folder, f"*{SUFFIX}", without=".json")
        remove_abandoned(self.folder, "*.json", without=SUFFIX)
        entries = []
        for sidecar in self.folder.glob("*.json"):
            engine = sidecar.with_suffix(SUFFIX)
            try:
                entries.append((sidecar.stat().st_mtime, engine.stat().st_size, sidecar, engine))
            except OSError:  # another process took it away
                continue
        total = sum(size for _, size, _, _ in entries)
        for _, size, sidecar, engine in sorted(entries, key=lambda entry: entry[0]):
            if total <= self._limit:
                return
            if sidecar != newest:
                sidecar.unlink(missing_ok=True)
                engine.unlink(missing_ok=True)
                total -= size


def _own(folder: Path) -> None:
    """Refuse a folder that others can write to, on systems that tell."""
    if not hasattr(os, "geteuid"):
        return
    found = folder.stat()
    if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise EngineUnavailable(
            f"{folder} can be written by others, and loading an engine runs code; run: chmod 700 {folder}"
        )


def _read(path: Path) -> bytes:
    """A regular file's bytes: a link could lead out of the folder."""
    if not stat.S_ISREG(path.lstat().st_mode):
        raise ValueError(f"{path.name} is no regular file")
    return path.read_bytes()


def _plain(key: EngineKey) -> Any:
    """The key as JSON gives it back."""
    return json.loads(json.dumps(asdict(key)))
