# SPDX-License-Identifier: MIT
"""A file is written whole or not at all, and what killed writers left goes."""

import os
from pathlib import Path

import pytest

from face.files import ABANDONED_S, replace_file


def test_what_replaces_a_file_is_on_the_disk_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, done = tmp_path / "rest", list[str]()
    path.write_bytes(b"old")
    sync, rename = os.fsync, os.replace

    def synced(number: int) -> None:
        done.append(f"sync of {os.fstat(number).st_size} bytes")
        sync(number)

    def renamed(source: Path, target: Path) -> None:
        done.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    replace_file(path, b"newer")
    assert done == ["sync of 5 bytes", "rename"] and path.read_bytes() == b"newer"


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rest"
    path.write_bytes(b"old")

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        replace_file(path, b"new")
    assert [each.name for each in tmp_path.iterdir()] == ["rest"] and path.read_bytes() == b"old"


def test_a_killed_writers_file_goes_with_the_next_write_and_a_running_writers_stays(
    tmp_path: Path,
) -> None:
    path = tmp_path / "rest [1].npz"
    orphan, fresh = (tmp_path / f".{path.name}.{number}.part" for number in (7, 8))
    strange = tmp_path / ".x.part"
    for each in (orphan, fresh, strange):
        each.write_bytes(b"half")
    for each in (orphan, strange):
        os.utime(each, (each.stat().st_mtime - 2 * ABANDONED_S,) * 2)
    replace_file(path, b"whole")
    assert {each.name for each in tmp_path.iterdir()} == {path.name, fresh.name, strange.name}
