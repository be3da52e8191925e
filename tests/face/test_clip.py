# SPDX-License-Identifier: MIT
"""Motion clips: what is saved comes back, small, and nothing else is taken for one."""

import dataclasses

import numpy as np
import pytest

from face.clip import load_clip, save_clip
from face.errors import BadMotion
from face.face_model import face_model
from face.scripted import scripted_clip

BYTES_A_FRAME = 350
SCORE_ERROR = 1 / 255


LANDMARK_ERROR = 0.04  # outer eye distances: the largest deviation of any landmark seen on the test clips


@pytest.fixture(scope="module")
def motions():
    landmarks = (90 * face_model().mean + [320, 220, 0]).astype(np.float32)
    return list(scripted_clip(landmarks, (640, 480), seconds=8))


def test_clip_comes_back_within_its_named_errors(motions, tmp_path):
    save_clip(tmp_path / "clip.npz", motions)
    loaded = load_clip(tmp_path / "clip.npz")
    assert len(loaded) == len(motions)
    for before, after in zip(motions, loaded, strict=True):
        assert np.abs(before.landmarks - after.landmarks).max() < LANDMARK_ERROR * 90
        assert np.abs(before.blendshapes - after.blendshapes).max() <= SCORE_ERROR
        assert np.allclose(before.rotation, after.rotation, atol=1e-4)
        assert np.allclose(before.translation, after.translation, atol=1e-6)
        assert np.allclose(before.gaze, after.gaze, atol=1e-4)
        assert before.captured_s == after.captured_s
        assert before.image_size == after.image_size
    assert all(motion.neutral is loaded[0].neutral for motion in loaded)
    assert np.abs(loaded[0].neutral.landmarks - motions[-1].neutral.landmarks).max() < LANDMARK_ERROR * 90


def test_clip_takes_a_few_hundred_bytes_a_frame(motions, tmp_path):
    path = tmp_path / "clip.npz"
    save_clip(path, motions)
    overhead = 8000  # the mean face and the container, once
    assert (path.stat().st_size - overhead) / len(motions) < BYTES_A_FRAME


def test_absolute_motion_stays_absolute(motions, tmp_path):
    save_clip(tmp_path / "clip.npz", [dataclasses.replace(motion, neutral=None) for motion in motions[:3]])
    assert [motion.neutral for motion in load_clip(tmp_path / "clip.npz")] == [None] * 3


def test_loaded_motion_has_no_picture(motions, tmp_path):
    save_clip(tmp_path / "clip.npz", motions[:1])
    assert load_clip(tmp_path / "clip.npz")[0].seen is None


def text(path):
    path.write_text("not a clip")


def empty(path):
    path.write_bytes(b"")


def stranger(path):
    np.savez(path, landmarks=np.zeros(3))


def pickled(path):
    np.savez(path, format=np.array([{"a": 1}], dtype=object))


def cut(path):
    save_clip(path, CUT)
    path.write_bytes(path.read_bytes()[:-200])


def poisoned(path):
    save_clip(path, CUT)
    with np.load(path) as stored:
        arrays = dict(stored)
    arrays["frame"][0, 0] = np.nan
    np.savez(path, **arrays)


CUT = list(
    scripted_clip((90 * face_model().mean + [320, 220, 0]).astype(np.float32), (640, 480), seconds=0.2)
)


@pytest.mark.parametrize("make", [text, empty, stranger, pickled, cut, poisoned])
def test_other_files_are_refused_in_one_line(make, tmp_path):
    path = tmp_path / "odd.npz"
    make(path)
    with pytest.raises(BadMotion) as refused:
        load_clip(path)
    assert "\n" not in str(refused.value)
    assert "odd.npz" in str(refused.value)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(BadMotion, match="is not there"):
        load_clip(tmp_path / "none.npz")


def test_unwritable_place_is_refused_and_leaves_nothing(motions, tmp_path):
    with pytest.raises(BadMotion, match="cannot be written"):
        save_clip(tmp_path / "no" / "clip.npz", motions[:2])
    assert list(tmp_path.iterdir()) == []


def test_a_flipped_bit_is_said_in_one_line_whatever_numpy_raises(motions, tmp_path):
    path = tmp_path / "clip.npz"
    save_clip(path, motions[:3])
    whole, refused = path.read_bytes(), 0
    for bit in np.random.default_rng(1).integers(8 * len(whole), size=200):
        broken = bytearray(whole)
        broken[bit // 8] ^= 1 << bit % 8
        path.write_bytes(broken)
        try:
            load_clip(path)
        except BadMotion as error:
            refused += 1
            assert "clip.npz" in str(error) and "\n" not in str(error)
    assert refused > 100
