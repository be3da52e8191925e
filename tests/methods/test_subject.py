# SPDX-License-Identifier: MIT
"""Folders give the portraits in them, whatever else lies there; what may not be seen is said in a line."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from face.errors import BadImage, WrongUse
from face.photo import SUFFIXES
from methods.identity import INDEX
from methods.subject import check_named, find_portraits, resolve

NOBODY = 65534


@pytest.fixture
def closed() -> Iterator[Path]:
    """A folder with a photo.jpg in it, which this process may not look into, also as administrator."""
    if not hasattr(os, "geteuid"):
        pytest.skip("file permissions of this kind are not known here")
    administrator = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        folder = Path(place) / "closed"
        folder.mkdir()
        (folder / "photo.jpg").touch()
        folder.chmod(0)
        if administrator:
            os.seteuid(NOBODY)
        yield folder
        if administrator:
            os.seteuid(0)
        folder.chmod(0o700)


def identity(path: Path) -> Path:
    path.mkdir()
    (path / INDEX).touch()
    return path


def test_a_folder_gives_every_kind_of_picture_and_identities(tmp_path: Path) -> None:
    wanted = [tmp_path / f"me{suffix}" for suffix in SUFFIXES] + [tmp_path / "LOUD.JPG"]
    for path in wanted:
        path.touch()
    wanted.append(identity(tmp_path / "enrolled"))
    assert list(find_portraits([tmp_path])) == sorted(wanted)


def test_what_is_hidden_or_no_file_does_not_count(tmp_path: Path) -> None:
    for name in ("me.jpg", "._me.jpg", ".hidden.png", "notes.txt", "jpg"):
        (tmp_path / name).touch()
    (tmp_path / "album.jpg").mkdir()
    identity(tmp_path / ".unfinished")
    assert find_portraits([tmp_path]) == (tmp_path / "me.jpg",)


def test_what_is_named_counts_whatever_it_is(tmp_path: Path) -> None:
    named = (tmp_path / "._me.jpg", tmp_path / "me.dat", Path("seed:7"), identity(tmp_path / "enrolled"))
    assert find_portraits(named) == named


def test_a_folder_without_portraits_is_wrong_use(tmp_path: Path) -> None:
    (tmp_path / "._me.jpg").touch()
    with pytest.raises(WrongUse, match="holds no picture .*and no identity; name a portrait photo"):
        find_portraits([tmp_path])


def test_what_may_not_be_seen_is_told_in_a_line(closed: Path) -> None:
    with pytest.raises(BadImage, match="closed may not be read by this user; change its permissions"):
        find_portraits([closed])
    photo = closed / "photo.jpg"
    check_named(photo, "a portrait photo")
    assert find_portraits([photo]) == (photo,)
    with pytest.raises(BadImage, match="photo.jpg may not be read by this user"):
        resolve(photo)
