# SPDX-License-Identifier: MIT
"""Where the player keeps what it can make again: model folders and identities. Knows not what is in them."""

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """The user's cache of this program; made by whoever writes into it."""
    if sys.platform == "win32":
        home = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        home = Path.home() / "Library" / "Caches"
    else:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "facepuppet"
