# SPDX-License-Identifier: MIT
"""Writes a model folder so that it is there whole or not at all. Knows no network."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engines.model_folder import FORMAT, INDEX, sha256_of
from face.errors import SinkUnavailable


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A scratch folder beside `out`; its files move into `out` when the block ends well, and vanish when not.

    An existing folder keeps its other files; those of the same name are replaced, its index last.
    """
    if out.exists() and not out.is_dir():
        raise SinkUnavailable(f"{out} is a file, expected a folder or a new name; choose another --out")
    made = next((p for p in [*reversed(out.parents)] if not p.exists()), None)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise SinkUnavailable(f"cannot write {out} ({error.strerror}); choose another --out") from error
    try:
        yield scratch
        _publish(scratch, out)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        if made is not None:
            _remove_empty(out.parent, made)
        raise
    shutil.rmtree(scratch, ignore_errors=True)


def _publish(scratch: Path, out: Path) -> None:
    try:
        if not out.exists():
            scratch.chmod(0o755)
            os.replace(scratch, out)
            return
        for path in sorted(scratch.iterdir(), key=lambda p: p.suffix == ".json"):
            if path.is_dir() and (out / path.name).is_dir():
                shutil.rmtree(out / path.name)
            os.replace(path, out / path.name)
    except OSError as error:
        raise SinkUnavailable(f"cannot write {out} ({error.strerror}); choose another --out") from error


def _remove_empty(folder: Path, top: Path) -> None:
    """Take away the parent folders that were made, where nothing came to lie in them."""
    while folder.is_relative_to(top) and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def write_index(folder: Path, index: dict[str, Any]) -> None:
    """model.json over everything that lies in the folder."""
    paths = sorted(path for path in folder.iterdir() if path.name != INDEX)
    files = [{"name": p.name, "bytes": p.stat().st_size, "sha256": sha256_of(p)} for p in paths]
    text = json.dumps({"format": FORMAT, **index, "files": files}, indent=2, ensure_ascii=False)
    (folder / INDEX).write_text(text + "\n", encoding="utf-8")
