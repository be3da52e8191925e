# SPDX-License-Identifier: MIT
"""How near a drawn face is to the real pixels of the same face at the same moment.

The face is what its oval encloses, the mouth the lips and a seam of skin around them, both where the truth
has them: an error of place counts as one of colour.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from evaluation.perceptual import psnr_db
from face.arrays import Floats, Image
from face.face_model import FACE_OVAL

LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
SEAM = 0.12  # outer eye distances around the lips that count as mouth
FACE_PX, MOUTH_PX = 256, 128  # sides of the squares that a network compares
FACE_SIDE, MOUTH_SIDE = 2.1, 1.1  # of what they show, outer eye distances


@dataclass(frozen=True, slots=True)
class Apart:
    """One frame against the truth."""

    face_db: float  # PSNR
    mouth_db: float
    sharpness: float  # of the mouth: mean absolute Laplacian over the truth's


def regions(landmarks: Floats, size: tuple[int, int]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(H, W) face and mouth of landmarks (478, 3) in a picture of `size` (width, height)."""
    face, mouth = (np.zeros((size[1], size[0]), np.uint8) for _ in range(2))
    for mask, ring in ((face, FACE_OVAL), (mouth, LIPS)):
        cv2.fillPoly(mask, [np.round(landmarks[list(ring), :2]).astype(np.int32)], 1)
    reach = max(1, round(SEAM * _unit(landmarks)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return face > 0, cv2.dilate(mouth, kernel) > 0


def apart(drawn: Image, truth: Image, landmarks: Floats) -> Apart:
    """Pictures (H, W, 3) uint8 of one size; landmarks (478, 3) of the truth, in its pixels."""
    if drawn.shape != truth.shape:
        raise ValueError(f"pictures are {drawn.shape} and {truth.shape}, expected one size")
    face, mouth = regions(landmarks, (truth.shape[1], truth.shape[0]))
    if not face.any() or not mouth.any():
        raise ValueError("the landmarks are outside of the picture, expected a face in it")
    edges = [float(np.abs(_laplacian(picture)[mouth]).mean()) for picture in (drawn, truth)]
    return Apart(
        psnr_db(drawn[face], truth[face]), psnr_db(drawn[mouth], truth[mouth]), edges[0] / max(edges[1], 1e-3)
    )


def squares(image: Image, landmarks: Floats) -> tuple[Image, Image]:
    """(256, 256, 3) face and (128, 128, 3) mouth of a picture, where the truth's landmarks (478, 3) are."""
    parts = []
    for ring, side, pixels in ((FACE_OVAL, FACE_SIDE, FACE_PX), (LIPS, MOUTH_SIDE, MOUTH_PX)):
        scale = pixels / (side * _unit(landmarks))
        affine = np.array([[scale, 0, 0], [0, scale, 0]], np.float32)
        affine[:, 2] = pixels / 2 - scale * landmarks[list(ring), :2].mean(0)
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        parts.append(
            cv2.warpAffine(image, affine, (pixels, pixels), flags=how, borderMode=cv2.BORDER_REPLICATE)
        )
    return parts[0], parts[1]


def _unit(landmarks: Floats) -> float:
    """Outer eye distance in pixels; depth counts, so that a turned head does not shrink."""
    return float(np.linalg.norm(landmarks[33] - landmarks[263]))


def _laplacian(image: Image) -> Floats:
    return np.asarray(cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_32F), np.float32)
