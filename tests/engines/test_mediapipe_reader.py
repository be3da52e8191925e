# SPDX-License-Identifier: MIT
"""The real landmarker and segmenter: what they find, in pictures of any strides, and what they refuse."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from structure import FILES, ROOT, imports_of

import engines.mediapipe_reader as reader_module
from engines.mediapipe_reader import Face, FaceFinder, Segmenter, StillReader, VideoReader
from engines.package_models import check_model, landmarker_model
from face.errors import ModelUnavailable

SHARED = ROOT.parent / "shared" / "data"

needs_data = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared pictures are not beside the checkout")


@pytest.fixture(scope="module")
def portrait() -> NDArray[np.uint8]:
    """(300, 300, 3) head and shoulders of scikit-image's astronaut."""
    from skimage.data import astronaut

    return np.ascontiguousarray(astronaut()[:300, 70:370])


@pytest.fixture(scope="module")
def still() -> Iterator[StillReader]:
    with StillReader() as reader:
        yield reader


@pytest.fixture(scope="module")
def segmenter() -> Iterator[Segmenter]:
    with Segmenter() as opened:
        yield opened


def read(reader: StillReader, image: NDArray[np.uint8]) -> Face:
    face = reader.one(image)
    assert face is not None
    return face


def test_no_other_file_imports_mediapipe() -> None:
    files = [*FILES, *(ROOT / "tests").rglob("*.py")]
    importing = [path for path in files if any(n.partition(".")[0] == "mediapipe" for n in imports_of(path))]
    assert importing == [ROOT / "engines" / "mediapipe_reader.py"]


# Each makes a view of a copy of the picture that shows what the picture shows, and lies otherwise in memory.
VIEWS = {
    "flipped": lambda image: image[:, ::-1].copy()[:, ::-1],
    "BGR": lambda image: image[..., ::-1].copy()[..., ::-1],
    "columns of a wider one": lambda image: np.pad(image, ((0, 0), (0, 20), (0, 0)))[:, : image.shape[1]],
    "transposed": lambda image: image.transpose(1, 0, 2).copy().transpose(1, 0, 2),
    "every other row": lambda image: image.repeat(2, axis=0)[::2],
    "read-only": lambda image: np.broadcast_to(image[None], (1, *image.shape))[0],
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_a_view_is_read_as_the_picture_it_shows(
    still: StillReader, segmenter: Segmenter, portrait: NDArray[np.uint8], view
) -> None:
    seen = view(portrait)
    assert (seen == portrait).all() and (seen.strides != portrait.strides or not seen.flags["WRITEABLE"])
    found, wanted = read(still, seen), read(still, portrait)
    for name in ("landmarks", "rotation", "blendshapes"):
        assert np.array_equal(getattr(found, name), getattr(wanted, name))
    with VideoReader() as video:
        moving = video(seen)
    assert moving is not None and np.allclose(moving.landmarks, wanted.landmarks, atol=0.5)
    assert np.array_equal(segmenter(seen), segmenter(portrait))


def test_masks_stay_what_they_were(segmenter: Segmenter, portrait: NDArray[np.uint8]) -> None:
    for side in (16, 64, 256):  # MediaPipe's memory of small ones is used again at once
        small = cv2.resize(portrait, (side, side + 3), interpolation=cv2.INTER_AREA)
        mask = segmenter(small)
        before = mask.copy()
        assert mask.shape == (side + 3, side) and mask.dtype == np.float32
        assert mask.min() >= 0 and mask.max() <= 1
        for other in (255 - small, np.zeros_like(small), small[::-1]):
            segmenter(other)
        assert np.array_equal(mask, before)
    assert before.max() > 0.9 and before.min() < 0.1  # there is a person, and something else


def test_faces_stay_what_they_were(still: StillReader, portrait: NDArray[np.uint8]) -> None:
    face = read(still, portrait)
    before = [array.copy() for array in (face.landmarks, face.rotation, face.blendshapes)]
    for other in (portrait[:, ::-1], 255 - portrait, portrait[:200]):
        still(other)
    after = (face.landmarks, face.rotation, face.blendshapes)
    assert all(np.array_equal(old, new) for old, new in zip(before, after, strict=True))


def test_a_face_is_found_with_all_its_numbers(still: StillReader, portrait: NDArray[np.uint8]) -> None:
    face = read(still, portrait)
    assert face.landmarks.shape == (478, 3) and face.blendshapes.shape == (52,)
    assert face.landmarks.dtype == face.rotation.dtype == face.blendshapes.dtype == np.float32
    assert (face.landmarks[:, :2] > 0).all() and (face.landmarks[:, :2] < 300).all()
    assert face.landmarks[1, 2] < face.landmarks[234, 2]  # the nose is nearer than an ear
    assert face.blendshapes[44] > 0.3 and face.blendshapes[45] > 0.3  # she smiles
    assert np.abs(face.rotation[:2]).max() < 25
    shift = face.landmarks[263] - face.landmarks[33]  # her left eye is on the picture's right
    tilt = np.rad2deg(np.arctan2(shift[1], shift[0]))
    assert shift[0] > 0 and face.rotation[2] == pytest.approx(tilt, abs=4)


def test_landmarks_are_pixels_of_a_picture_that_is_not_square(
    still: StillReader, portrait: NDArray[np.uint8]
) -> None:
    wide = np.pad(portrait, ((0, 0), (150, 50), (0, 0)), mode="edge")
    found, plain = read(still, wide).landmarks, read(still, portrait).landmarks
    assert np.abs(found[:, :2] - plain[:, :2] - (150, 0)).mean() < 2
    assert np.ptp(found[:, 2]) == pytest.approx(np.ptp(plain[:, 2]), rel=0.1)  # z is in the unit of x


def test_a_tilted_head_has_the_roll_it_was_tilted_by(still: StillReader, portrait: NDArray[np.uint8]) -> None:
    turn = cv2.getRotationMatrix2D((150, 130), -15, 1.0)  # clockwise: the left eye, on the right, sinks
    tilted = cv2.warpAffine(portrait, turn, (300, 300), borderMode=cv2.BORDER_REFLECT)
    roll = read(still, np.asarray(tilted, np.uint8)).rotation[2] - read(still, portrait).rotation[2]
    assert roll == pytest.approx(15, abs=2.5)


def test_as_many_faces_are_found_as_are_asked_for(portrait: NDArray[np.uint8]) -> None:
    pair = np.hstack([portrait, portrait[:, ::-1]])
    with StillReader(1) as one, StillReader(4) as several, FaceFinder() as find:
        assert [len(one(pair)), len(several(pair)), len(find(pair))] == [1, 2, 2]
    with pytest.raises(ValueError, match="max_faces is 0"):
        StillReader(0)


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (480, 640), (20, 20)])
def test_a_picture_without_a_face_gives_none(
    still: StillReader, segmenter: Segmenter, shape: tuple[int, int]
) -> None:
    grey = np.full((*shape, 3), 127, np.uint8)
    assert still(grey) == [] and still.one(grey) is None
    assert segmenter(grey).shape == shape


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((20, 20), np.uint8),
        np.zeros((20, 20, 4), np.uint8),
        np.zeros((20, 20, 3)),
        np.zeros((3, 20, 20), np.uint8),
        np.zeros((0, 20, 3), np.uint8),
        [[[0, 0, 0]]],
    ],
    ids=["grey", "RGBA", "float", "channels first", "empty", "a list"],
)
def test_what_is_no_rgb_picture_is_refused(still: StillReader, segmenter: Segmenter, image) -> None:
    with VideoReader() as video, FaceFinder() as find:
        for call in (still, segmenter, video, find):
            with pytest.raises(TypeError, match="expected"):
                call(image)


@pytest.mark.parametrize(
    "reader", [StillReader(), VideoReader(), FaceFinder(), Segmenter()], ids=lambda r: type(r).__name__
)
def test_a_closed_reader_says_so(reader, portrait: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match="not open"):
        reader(portrait)
    with reader:
        reader(portrait)
    with pytest.raises(ValueError, match="not open"):
        reader(portrait)
    reader.__exit__()  # once more does no harm


def test_an_altered_model_is_refused(tmp_path: Path) -> None:
    content = landmarker_model().read_bytes()
    altered = tmp_path / "face_landmarker.task"
    altered.write_bytes(content[:-1] + b"x")
    with pytest.raises(ModelUnavailable, match="sha256"):
        check_model(altered, hashlib.sha256(content).hexdigest())
    with pytest.raises(ModelUnavailable, match="nowhere.task is missing"):
        check_model(tmp_path / "nowhere.task", "")


@pytest.mark.parametrize("kind", [StillReader, VideoReader, FaceFinder, Segmenter])
def test_a_file_without_a_model_in_it_gives_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind
) -> None:
    text = tmp_path / "model.task"
    text.write_bytes(b"not a model")
    for name in ("landmarker_model", "segmenter_model"):
        monkeypatch.setattr(reader_module, name, lambda: text)
    with pytest.raises(ModelUnavailable, match="model.task cannot be opened") as told, kind():
        pass
    assert "\n" not in str(told.value)


def test_a_model_may_lie_under_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, portrait: NDArray[np.uint8]
) -> None:
    copy = Path(shutil.copy(landmarker_model(), tmp_path / "mödel.task"))
    monkeypatch.setattr(reader_module, "landmarker_model", lambda: copy)
    with StillReader() as reader:
        assert len(reader(portrait)) == 1


@needs_data
def test_angles_have_the_signs_and_sizes_of_labelled_stills(still: StillReader) -> None:
    labels = json.loads((SHARED / "faces256" / "labels.json").read_text())
    measured, expected = [], []
    extremes = []
    for angle in ("yaw", "pitch"):
        turned = sorted(labels, key=lambda name: labels[name][angle])  # noqa: B023
        extremes += [*turned[3:60:10], *turned[-60:-3:10]]
    for name in extremes:
        for face in still(cv2.imread(str(SHARED / "faces256" / f"{name}.jpg"))[..., ::-1]):
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
