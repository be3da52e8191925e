# SPDX-License-Identifier: MIT
"""Whether the files of an offline command are there and may be written, before anything is loaded for it."""

import os
from pathlib import Path

from face.errors import SinkUnavailable, WrongUse
from methods.subject import check_named
from realtime.sinks.mp4 import SUFFIXES


def check_places(portrait: Path, driving: Path, out: Path) -> None:
    """WrongUse for inputs that are not there, and for an output that would overwrite one of them."""
    check_named(portrait, "a portrait photo")
    check_named(driving, "a driving video")
    for path, what in ((portrait, "a portrait photo"), (driving, "a driving video")):
        if os.path.exists(out) and out.resolve() == path.resolve():
            raise WrongUse(f"the output {out} is {what} of this render; name another file")
    check_out(out)


def check_out(out: Path) -> None:
    """Fail before the work rather than after it: an output of a wrong kind, or in no writable folder."""
    if out.suffix.lower() not in SUFFIXES:
        kinds = ", ".join(SUFFIXES)
        raise WrongUse(f"the output is {str(out)!r}, expected a name that ends in {kinds}; rename it")
    if out.is_dir():
        raise SinkUnavailable(f"{out} is a folder, expected a file; name one, as {out / 'out.mp4'}")
    if not out.parent.is_dir():
        raise SinkUnavailable(f"there is no folder {out.parent} for {out.name}; make it first")
    if not os.access(out.parent, os.W_OK):
        raise SinkUnavailable(
            f"{out.parent} may not be written to, expected a folder of yours; choose another"
        )
