# SPDX-License-Identifier: MIT
"""Copies of folders, and what may happen to a file in them."""

import shutil
from pathlib import Path

FAULTS = ("cut short", "altered", "missing")


def copied(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    return target


def damage(path: Path, fault: str) -> None:
    content = path.read_bytes()
    if fault == "missing":
        path.unlink()
    elif fault == "cut short":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.write_bytes(content[:-4] + bytes(255 - byte for byte in content[-4:]))
