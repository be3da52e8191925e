# SPDX-License-Identifier: MIT
"""The real landmarker and the whole tracker on real pictures."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from scripted_faces import on_canvas

from engines.package_models import LANDMARKER, landmarker_model
from face.errors import ModelUnavailable
from face.frame import Frame
from face.motion import Motion
from methods.crop_reader import driver_crop
from realtime.sources import open_source
from realtime.tracker.face_tracker import FaceTracker
from realtime.tracker.landmarker import Face, FaceLandmarker

SHIMMER_LEFT = 0.35  # share of the steps smoothing may leave on a still; 0.17 was measured


@pytest.fixture(scope="module")
def landmarker() -> Iterator[FaceLandmarker]:
    with FaceLandmarker() as detect:
        detect.clock = iter(range(0, 10**9, 40))  # type: ignore[attr-defined]
        yield detect


def faces_in(landmarker: FaceLandmarker, image: np.ndarray, times: int = 2) -> list[Face]:
    """What is found after the picture stood for a while; earlier tests' pictures are forgotten."""
    for picture in [np.zeros_like(image)] + [image] * times:
        found = landmarker(picture, next(landmarker.clock))  # type: ignore[attr-defined]
    return found


def noisy(image: np.ndarray, frames: int) -> Iterator[np.ndarray]:
    random = np.random.default_rng(0)
    for _ in range(frames):
        yield np.clip(image + random.normal(0, 5, image.shape), 0, 255).astype(np.uint8)


def motions_of(pictures: Iterator[np.ndarray], **settings: object) -> list[Motion]:
    with FaceTracker(**settings) as tracker:
        return [tracker(Frame(picture, i / 30, i)) for i, picture in enumerate(pictures)]


def test_one_face_is_found_with_all_its_numbers(landmarker: FaceLandmarker, portrait: np.ndarray) -> None:
    (face,) = faces_in(landmarker, portrait)
    assert face.landmarks.shape == (478, 3) and face.blendshapes.shape == (52,)
    assert face.landmarks.dtype == face.blendshapes.dtype == np.float32
    assert (face.landmarks[:, :2] > 0).all() and (face.landmarks[:, :2] < 300).all()
    assert face.landmarks[1, 2] < face.landmarks[234, 2]  # the nose is nearer than an ear
    assert face.blendshapes[44] > 0.3 and face.blendshapes[45] > 0.3  # she smiles
    assert np.abs(face.rotation[:2]).max() < 25
    shift = face.landmarks[263] - face.landmarks[33]  # her left eye is on the picture's right
    tilt = np.rad2deg(np.arctan2(shift[1], shift[0]))
    assert shift[0] > 0 and face.rotation[2] == pytest.approx(tilt, abs=4)


def test_rows_with_padding_between_them_are_read_as_the_picture_they_are(
    landmarker: FaceLandmarker, portrait: np.ndarray
) -> None:
    padded = np.zeros((300, 320, 3), np.uint8)[:, :300]
    padded[:] = portrait
    assert not padded.flags["C_CONTIGUOUS"]
    (face,) = faces_in(landmarker, padded)
    (plain,) = faces_in(landmarker, portrait)
    assert np.allclose(face.landmarks, plain.landmarks, atol=0.5)


def test_a_tilted_head_has_the_roll_it_was_tilted_by(
    landmarker: FaceLandmarker, portrait: np.ndarray
) -> None:
    (upright,) = faces_in(landmarker, portrait)
    turn = cv2.getRotationMatrix2D((150, 130), -15, 1.0)  # clockwise: the left eye, on the right, sinks
    (tilted,) = faces_in(
        landmarker, cv2.warpAffine(portrait, turn, (300, 300), borderMode=cv2.BORDER_REFLECT)
    )
    assert tilted.rotation[2] - upright.rotation[2] == pytest.approx(15, abs=2.5)


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (480, 640), (20, 20)])
def test_a_picture_without_a_face_gives_none(landmarker: FaceLandmarker, shape: tuple[int, int]) -> None:
    assert faces_in(landmarker, np.full((*shape, 3), 127, np.uint8)) == []


def test_a_face_of_twenty_pixels_neither_crashes_nor_counts(
    landmarker: FaceLandmarker, portrait: np.ndarray
) -> None:
    tiny = on_canvas([(portrait, 44, (300, 200))])  # the face takes up not quite half of it
    for face in faces_in(landmarker, tiny):
        assert np.isfinite(face.landmarks).all()
    assert all(0 <= m.confidence <= 1 for m in motions_of(iter([tiny] * 3)))


@pytest.mark.parametrize(
    "image", [np.zeros((20, 20), np.uint8), np.zeros((20, 20, 4), np.uint8), np.zeros((20, 20, 3))]
)
def test_what_is_no_rgb_picture_is_refused(landmarker: FaceLandmarker, image: np.ndarray) -> None:
    with pytest.raises(TypeError, match="expected"):
        landmarker(image, next(landmarker.clock))  # type: ignore[attr-defined]


def test_of_two_faces_in_view_the_nearer_one_drives(portrait: np.ndarray) -> None:
    scene = on_canvas([(portrait, 260, (5, 210)), (portrait, 350, (280, 60))])
    with FaceLandmarker() as detect:
        found = [detect(scene, at) for at in (0, 40, 80)][-1]
    assert len(found) == 2
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
    with FaceLandmarker() as detect:
        (face,) = detect(crop, 0)
    eyes = (face.landmarks[33, :2] + face.landmarks[263, :2]) / 2
    assert eyes == pytest.approx([128, 118], abs=8)
    assert abs(face.landmarks[263, 1] - face.landmarks[33, 1]) < 8


def test_a_still_head_does_not_shimmer(portrait: np.ndarray) -> None:
    scene = on_canvas([(portrait, 400, (120, 40))])

    def steps(strength: float) -> float:
        points = np.array([m.landmarks[:, :2] for m in motions_of(noisy(scene, 40), smoothing=strength)])
        return float(np.sqrt(np.square(np.diff(points[15:], axis=0)).sum(-1).mean()))

    assert steps(1.0) < SHIMMER_LEFT * steps(0.0)


def test_an_altered_model_is_refused(tmp_path: Path) -> None:
    altered = tmp_path / "face_landmarker.task"
    altered.write_bytes(landmarker_model().read_bytes()[:-1] + b"x")
    with pytest.raises(ModelUnavailable, match="sha256"), FaceTracker(FaceLandmarker(altered)):
        pass


def test_a_model_that_is_not_there_is_told_by_name(tmp_path: Path) -> None:
    with (
        pytest.raises(ModelUnavailable, match="nowhere.task is missing"),
        FaceLandmarker(tmp_path / "nowhere.task"),
    ):
        pass


def test_a_file_with_the_right_hash_but_no_model_in_it_gives_one_line(tmp_path: Path) -> None:
    import hashlib

    text = tmp_path / "model.task"
    text.write_bytes(b"not a model")
    sha256 = hashlib.sha256(b"not a model").hexdigest()
    with (
        pytest.raises(ModelUnavailable, match="model.task cannot be opened") as told,
        FaceLandmarker(text, sha256=sha256),
    ):
        pass
    assert "\n" not in str(told.value)


def test_the_models_own_copy_elsewhere_is_accepted(tmp_path: Path, portrait: np.ndarray) -> None:
    copy = shutil.copy(landmarker_model(), tmp_path / "mödel.task")
    with FaceLandmarker(Path(copy), sha256=LANDMARKER[2]) as detect:
        assert len(detect(portrait, 0)) == 1


def test_a_closed_landmarker_says_so(portrait: np.ndarray) -> None:
    with pytest.raises(ValueError, match="not open"):
        FaceLandmarker()(portrait, 0)


def test_angles_have_the_signs_and_sizes_of_labelled_stills(landmarker: FaceLandmarker, shared: Path) -> None:
    labels = json.loads((shared / "faces256" / "labels.json").read_text())
    measured, expected = [], []
    extremes = []
    for angle in ("yaw", "pitch"):
        turned = sorted(labels, key=lambda name: labels[name][angle])  # noqa: B023
        extremes += [*turned[3:60:10], *turned[-60:-3:10]]
    for name in extremes:
        picture = cv2.cvtColor(cv2.imread(str(shared / "faces256" / f"{name}.jpg")), cv2.COLOR_BGR2RGB)
        for face in faces_in(landmarker, picture, times=1):
            measured.append(face.rotation[:2])
            expected.append((labels[name]["yaw"], -labels[name]["pitch"]))  # the labels count pitch downwards
            nose = face.landmarks[1, 0] - (face.landmarks[234, 0] + face.landmarks[454, 0]) / 2
            assert (
                nose * face.rotation[0] > 0 or abs(face.rotation[0]) < 5
            )  # the subject's left is the picture's right
    yaw, pitch = np.array(measured).T
    labelled_yaw, labelled_pitch = np.array(expected).T
    assert len(yaw) >= 10
    assert np.abs(yaw - labelled_yaw).mean() < 4 and np.corrcoef(yaw, labelled_yaw)[0, 1] > 0.98
    assert np.corrcoef(pitch, labelled_pitch)[0, 1] > 0.85


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
