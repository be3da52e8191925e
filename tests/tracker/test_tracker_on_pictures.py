# SPDX-License-Identifier: MIT
"""The whole tracker on real pictures."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from scripted_faces import on_canvas

from engines.mediapipe_reader import FaceFinder, VideoReader
from face.frame import Frame
from face.motion import Motion
from methods.crop_reader import driver_crop
from realtime.sources import open_source
from realtime.tracker.face_tracker import FaceTracker

SHIMMER_LEFT = 0.35  # share of the steps smoothing may leave on a still; 0.17 was measured


def noisy(image: np.ndarray, frames: int) -> Iterator[np.ndarray]:
    random = np.random.default_rng(0)
    for _ in range(frames):
        yield np.clip(image + random.normal(0, 5, image.shape), 0, 255).astype(np.uint8)


def motions_of(pictures: Iterator[np.ndarray], **settings: object) -> list[Motion]:
    with FaceTracker(**settings) as tracker:
        return [tracker(Frame(picture, i / 30, i)) for i, picture in enumerate(pictures)]


def test_a_face_of_twenty_pixels_neither_crashes_nor_counts(portrait: np.ndarray) -> None:
    tiny = on_canvas([(portrait, 44, (300, 200))])  # the face takes up not quite half of it
    for motion in motions_of(iter([tiny] * 3)):
        assert 0 <= motion.confidence <= 1 and np.isfinite(motion.landmarks).all()


def test_of_two_faces_in_view_the_nearer_one_drives(portrait: np.ndarray) -> None:
    scene = on_canvas([(portrait, 260, (5, 210)), (portrait, 350, (280, 60))])
    with FaceFinder() as find:
        assert len(find(scene)) == 2
    for motion in motions_of(iter([scene] * 5)):
        assert 280 < motion.landmarks[:, 0].mean() < 620
    mirrored = motions_of(iter([scene] * 3), mirror=True)
    assert mirrored[-1].landmarks[:, 0].mean() < 360


def cropped(motion: Motion, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found = driver_crop(motion, Frame(image, 0.0, 0))
    assert found is not None
    return found


def test_mirroring_swaps_the_sides_of_the_face(portrait: np.ndarray) -> None:
    turn = cv2.getRotationMatrix2D((150, 130), -12, 1.0)
    tilted = cv2.warpAffine(portrait, turn, (300, 300), borderMode=cv2.BORDER_REFLECT)
    flipped = np.ascontiguousarray(tilted[:, ::-1])
    plain = motions_of(iter([tilted] * 3), smoothing=0)[-1]
    mirrored = motions_of(iter([tilted] * 3), smoothing=0, mirror=True)[-1]
    of_mirror_image = motions_of(iter([flipped] * 3), smoothing=0)[-1]
    assert np.abs(mirrored.landmarks[:, :2] - of_mirror_image.landmarks[:, :2]).mean() < 2
    assert np.allclose(mirrored.rotation, of_mirror_image.rotation, atol=3)
    assert np.allclose(mirrored.translation, of_mirror_image.translation, atol=0.02)
    (cut, _), (wanted, _) = cropped(mirrored, tilted), cropped(of_mirror_image, flipped)
    wanted = wanted.astype(int)
    assert np.abs(cut - wanted).mean() < 0.4 * np.abs(cut[:, ::-1] - wanted).mean()
    assert mirrored.rotation[0] == pytest.approx(-plain.rotation[0])
    assert mirrored.rotation[2] == pytest.approx(-plain.rotation[2])
    assert plain.rotation[2] > 8
    assert mirrored.landmarks[263, 0] == pytest.approx(300 - plain.landmarks[33, 0], abs=0.1)


def test_the_aligned_crop_shows_the_face_upright_in_its_middle(portrait: np.ndarray) -> None:
    motion = motions_of(iter([portrait] * 3))[-1]
    crop, points = cropped(motion, portrait)
    assert crop.shape == (256, 256, 3) and crop.dtype == np.uint8
    with VideoReader() as detect:
        face = detect(crop)
    assert face is not None
    eyes = (face.landmarks[33, :2] + face.landmarks[263, :2]) / 2
    assert eyes == pytest.approx([128, 118], abs=8)
    assert abs(face.landmarks[263, 1] - face.landmarks[33, 1]) < 8


def test_a_still_head_does_not_shimmer(portrait: np.ndarray) -> None:
    scene = on_canvas([(portrait, 400, (120, 40))])

    def steps(strength: float) -> float:
        points = np.array([m.landmarks[:, :2] for m in motions_of(noisy(scene, 40), smoothing=strength)])
        return float(np.sqrt(np.square(np.diff(points[15:], axis=0)).sum(-1).mean()))

    assert steps(1.0) < SHIMMER_LEFT * steps(0.0)


def test_blinks_of_a_real_driver_keep_nine_tenths_of_their_depth(shared: Path) -> None:
    with open_source(str(shared / "driving" / "d18.mp4"), live=False) as source:
        frames = [frame for frame, _ in zip(source, range(110), strict=False)]
    scores = []
    for strength in (0.0, 1.0):
        with FaceTracker(smoothing=strength) as tracker:
            scores.append(np.array([tracker(frame).blendshape("eyeBlinkLeft") for frame in frames]))
    raw, smooth = scores
    usual = np.median(raw)
    peaks = [i for i in range(6, 104) if raw[i] == raw[i - 5 : i + 6].max() and raw[i] > usual + 0.25]
    assert peaks, "the clip is known to hold a blink in its first four seconds"
    for peak in peaks:
        assert smooth[peak - 1 : peak + 4].max() - usual > 0.9 * (raw[peak] - usual)
