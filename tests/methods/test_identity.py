# SPDX-License-Identifier: MIT
"""An identity folder gives back what was written, vouches for every file, and serves several generators."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from damage import FAULTS, copied, damage
from small_latent import KEY, ROWS, SIZE, W_DIM, astronaut, first_format, write_small_identity

from face.direction_parameters import parameters_of
from face.errors import ModelUnavailable
from methods import identity as identities
from methods.identity import (
    CODE,
    FACE,
    INDEX,
    Code,
    Identity,
    code_folder,
    earlier_index,
    read_identity,
    remove_strangers,
    write_identity,
)
from methods.portrait import Portrait
from realtime.cli import main

OWN = code_folder(KEY, SIZE)


@pytest.fixture(scope="module")
def portrait() -> Portrait:
    return astronaut()


@pytest.fixture(scope="module")
def folder(portrait: Portrait, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_identity(tmp_path_factory.mktemp("small") / "identity", portrait)


def change_index(folder: Path, **values: object) -> None:
    path = folder / INDEX
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def added(folder: Path, scratch: Path, code: Code, *, tuned: bytes = b"") -> Identity:
    """Write another code of the identity beside what it has, as an enrolment does."""
    own = scratch / code_folder(code.key, code.size)
    own.mkdir(parents=True)
    if tuned:
        (own / "generator_live.onnx").write_bytes(tuned)
        code = replace(code, graph=own / "generator_live")
    one = replace(read_identity(folder), codes=(code,))
    before = earlier_index(folder)
    write_identity(scratch, one, quad=np.zeros((4, 2)), portrait_sha256="", facts={}, beside=before)
    for path in (p for p in scratch.rglob("*") if p.is_file()):
        target = folder / path.relative_to(scratch)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())
    return read_identity(folder)


def test_what_was_written_is_read(folder: Path, portrait: Portrait) -> None:
    identity = read_identity(folder)
    assert np.array_equal(identity.portrait, portrait.image) and identity.name == "astronaut.png"
    assert np.abs(identity.alpha - portrait.alpha).max() <= 1 / 255
    assert np.array_equal(identity.landmarks, portrait.landmarks)
    code = identity.code(KEY, SIZE, "small")
    assert code.w.shape == (ROWS, W_DIM) and code.graph is None and code.feature is None is code.rest
    assert identity.motion.image_size == (256, 256) and identity.motion.neutral is None
    assert np.abs(identity.motion.landmarks[:, :2] - 128).max() < 128, "pixels of the aligned square"
    assert parameters_of(identity.motion).any(), "each method derives its numbers from it"


def test_a_second_generator_lies_beside_the_first(folder: Path, tmp_path: Path) -> None:
    copy = copied(folder, tmp_path / "identity")
    first = read_identity(copy).codes[0]
    code = Code(
        "small", KEY, 2 * SIZE, np.ones((ROWS + 2, W_DIM), np.float32),
        feature=np.full((3, 4, 4), 2, np.float32), rest=np.arange(5, dtype=np.float32),
    )  # fmt: skip
    found = added(copy, tmp_path / "scratch", code, tuned=b"a graph")
    assert [each.size for each in found.codes] == [SIZE, 2 * SIZE], "the one enrolled last at the end"
    assert np.array_equal(found.codes[0].w, first.w)
    again = found.code(KEY, 2 * SIZE, "small")
    for name in ("w", "feature", "rest"):
        assert np.array_equal(getattr(again, name), getattr(code, name))
    assert again.graph is not None and again.graph.with_suffix(".onnx").read_bytes() == b"a graph"
    other = added(copy, tmp_path / "third", replace(code, key="0ther" * 8))
    assert len(other.codes) == 3
    replaced = added(copy, tmp_path / "fourth", replace(first, w=first.w + 1))
    assert len(replaced.codes) == 3 and np.array_equal(replaced.codes[-1].w, first.w + 1)
    with pytest.raises(ModelUnavailable, match=r"made with model .*\(5ma115ma115m\), .*expected large"):
        found.code("1arge" * 8, SIZE, "large")


def test_each_file_is_read_and_hashed_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    plainly = Path.open

    def opening(self: Path, *given: object, **options: object) -> object:
        read.append(self)
        return plainly(self, *given, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", opening)
    read_identity(folder)
    names = [path.relative_to(folder).as_posix() for path in read if path.is_relative_to(folder)]
    wanted = {file["name"] for file in json.loads((folder / INDEX).read_text())["files"]}
    assert sorted(name for name in names if name != INDEX) == sorted(wanted)


@pytest.mark.parametrize("name", [FACE, f"{OWN}/{CODE}", "portrait.png", "mask.png", "thumbnail.jpg"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_identity_is_named(folder: Path, tmp_path: Path, name: str, fault: str) -> None:
    copy = copied(folder, tmp_path / "identity")
    damage(copy / name, fault)
    with pytest.raises(ModelUnavailable, match=f"{name} is missing, cut short or altered"):
        read_identity(copy)


def test_a_tuned_generator_is_held_against_its_hash(folder: Path, tmp_path: Path) -> None:
    copy = copied(folder, tmp_path / "identity")
    first = read_identity(copy).codes[0]
    added(copy, tmp_path / "scratch", first, tuned=b"a graph")
    (copy / OWN / "generator_live.onnx").write_bytes(b"A graph")
    with pytest.raises(ModelUnavailable, match="generator_live.onnx is missing, cut short or altered"):
        read_identity(copy)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"files": []}, "does not vouch for face.npz"),
        ({"files": [{"name": "../x", "bytes": 0, "sha256": ""}]}, "names ../x"),
        ({"files": [{"name": "/x", "bytes": 0, "sha256": ""}]}, "names /x"),
        ({"generators": []}, "do not fit together"),
        ({"generators": [{"folder": "elsewhere"}]}, "does not vouch for elsewhere/code.npz"),
        ({"portrait": {}}, "name"),
        ({"format": "facepuppet-identity-0"}, "facepuppet-identity-0.*enroll the portrait again"),
    ],
)
def test_an_index_that_cannot_be_is_refused(
    folder: Path, tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    copy = copied(folder, tmp_path / "identity")
    change_index(copy, **changes)
    with pytest.raises(ModelUnavailable, match=said) as raised:
        read_identity(copy)
    assert "\n" not in str(raised.value)


def test_the_first_format_is_refused_with_the_command_that_makes_the_second(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    old = first_format(tmp_path / "me")
    said = f"run: facepuppet enroll {old / 'portrait.png'} --out {old}"
    with pytest.raises(ModelUnavailable) as raised:
        read_identity(old)
    assert str(raised.value).endswith(said) and "\n" not in str(raised.value)
    clip = tmp_path / "driver.mp4"
    clip.write_bytes(b"never opened")
    for method in ("directions", "mesh"):
        assert main(["render", str(old), str(clip), str(tmp_path / "out.mp4"), "--method", method]) == 1
        lines = capfd.readouterr().err.splitlines()
        assert lines[-1].endswith(said) and all(line.startswith("preparing ") for line in lines[:-1])


def test_what_an_index_no_longer_names_is_taken_away_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    copy = copied(folder, tmp_path / "identity")
    (tmp_path / "mine.txt").write_text("kept")
    (copy / "mine.txt").write_text("kept")
    (copy / "old").mkdir()
    (copy / "old" / CODE).write_bytes(b"stale")
    before = earlier_index(copy)
    assert before is not None
    names = ["old/code.npz", "../mine.txt", str(tmp_path / "mine.txt")]
    before["files"] += [{"name": name, "sha256": ""} for name in names]
    remove_strangers(copy, before)
    assert not (copy / "old").exists()
    assert (copy / "mine.txt").exists() and (tmp_path / "mine.txt").exists()
    assert read_identity(copy).codes
    assert identities.earlier_index(tmp_path) is None
