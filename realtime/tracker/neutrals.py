# SPDX-License-Identifier: MIT
"""Drivers' neutrals, kept from run to run: one small file a source. Knows no tracker, no camera."""

import hashlib
import logging
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from engines.folders import config_folder
from face.arrays import Floats
from face.motion_vector import SIZE

log = logging.getLogger(__name__)

VERSION = 1  # of the file; rises when the layout of the motion vector changes


@dataclass(frozen=True, slots=True)
class KeptNeutral:
    """A rest that was measured in an earlier run."""

    vector: Floats  # (SIZE,) motion vector
    chosen: bool  # the user asked for it; False: it was measured at a start


class NeutralStore:
    """Files of neutrals in `folder`, by default beside the configuration file.

    Nothing here is worth ending a live run for: what cannot be read is ignored, what cannot be written is not
    kept, and a line in the log says so.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or config_folder() / "neutrals"

    def path(self, source_name: str) -> Path:
        """The file for a source: readable, and unique although characters are replaced."""
        readable = re.sub(r"[^A-Za-z0-9]+", "-", source_name).strip("-")[:40]
        unique = hashlib.sha256(source_name.encode()).hexdigest()[:8]
        return self._folder / f"{readable or 'source'}-{unique}.npz"

    def load(self, source_name: str) -> KeptNeutral | None:
        """What was kept for the source; None when there is nothing, or nothing readable."""
        path = self.path(source_name)
        if not path.exists():
            return None
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                version, chosen = int(stored["version"]), bool(stored["chosen"])
                vector = stored["vector"].astype(np.float32)
        except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
            log.warning("%s is ignored: it cannot be read (%s)", path, error)
            return None
        if version != VERSION or vector.shape != (SIZE,) or not np.isfinite(vector).all():
            log.warning("%s is ignored: it was written by another version", path)
            return None
        return KeptNeutral(vector, chosen)

    def save(self, source_name: str, neutral: KeptNeutral) -> None:
        """Keeps the neutral for the next run, in place of the one before."""
        path = self.path(source_name)
        half = path.with_suffix(f".{os.getpid()}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with half.open("wb") as file:
                np.savez_compressed(file, version=VERSION, chosen=neutral.chosen, vector=neutral.vector)
            half.replace(path)
        except OSError as error:
            log.warning("the neutral is not kept: %s cannot be written (%s)", path, error)
            with suppress(OSError):
                half.unlink()
