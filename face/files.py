# SPDX-License-Identifier: MIT
"""Files that are whole or not there: written beside, synced, renamed over."""

import os
import threading
import time
from contextlib import suppress
from glob import escape
from pathlib import Path

UNFINISHED = ".part"
ABANDONED_S = 86_400.0  # an unfinished file that nobody wrote to for this long had its writer killed


def replace_file(path: Path, content: bytes) -> None:
    """`content` in place of what is there: a reader, and whoever loses power, has the old or the new.

    Raises OSError, and then leaves what was there and nothing else.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}{UNFINISHED}")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # without it the new name may outlive a loss of power and the bytes not
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    remove_abandoned(path.parent, f".{escape(path.name)}.*{UNFINISHED}")


def remove_abandoned(folder: Path, pattern: str, *, without: str = "") -> None:
    """Take away files nobody wrote to for a day; `without`: only those that lack a partner of this suffix."""
    for path in folder.glob(pattern):
        with suppress(OSError):  # another process takes it away, or holds it
            alone = not without or not path.with_suffix(without).exists()
            if alone and time.time() - path.stat().st_mtime > ABANDONED_S:
                path.unlink()
