# SPDX-License-Identifier: MIT
"""Drivers' neutrals, kept from run to run: one small file a source. Knows no tracker, no camera."""

import hashlib
import io
import logging
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engines.folders import config_folder
from face.arrays import Floats
from face.calibration import why_no_rest
from face.files import replace_file
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
        unique = hashlib.sha256(source_name.encode(errors="backslashreplace")).hexdigest()[:8]
        return self._folder / f"{readable or 'source'}-{unique}.npz"

    def load(self, source_name: str) -> KeptNeutral | None:
        """What was kept for the source; None when there is nothing, or nothing readable."""
        path = self.path(source_name)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                version, chosen = int(stored["version"]), bool(stored["chosen"])
                vector = stored["vector"].astype(np.float32)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Exception as error:  # what a damaged archive raises is an open list, down to tokenize's errors
            log.warning("%s is ignored: it cannot be read (%s)", path, error)
            return None
        if version != VERSION or vector.shape != (SIZE,) or not np.isfinite(vector).all():
            log.warning("%s is ignored: it was written by another version", path)
            return None
        if reason := why_no_rest(vector):
            log.warning("%s is ignored: it is no rest (%s)", path, reason)
            return None
        return KeptNeutral(vector, chosen)

    def save(self, source_name: str, neutral: KeptNeutral) -> None:
        """Keeps the neutral for the next run, in place of the one before; waits for the disk."""
        path, archive = self.path(source_name), io.BytesIO()
        np.savez_compressed(archive, version=VERSION, chosen=neutral.chosen, vector=neutral.vector)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, archive.getvalue())
        except OSError as error:
            log.warning("the neutral is not kept: %s cannot be written (%s)", path, error)
