# SPDX-License-Identifier: MIT
"""Where this program keeps things of the user's; folders are made by whoever writes into them."""

from pathlib import Path

from platformdirs import user_cache_path, user_config_path

NAME = "facepuppet"


def cache_folder() -> Path:
    """What can be made again: model folders, identities, engines."""
    return user_cache_path(NAME, appauthor=False, opinion=False)


def config_folder() -> Path:
    """Settings and kept rests."""
    return user_config_path(NAME, appauthor=False, roaming=True)
