# SPDX-License-Identifier: MIT
"""The FFHQ-aligned square around a face: where it lies, how it is cut out and put back. Knows no tracker.

FFHQ aligns by the middles of both eyes and of the mouth, taken from 68 landmarks. The same points are read
off the 478: six lid points an eye, both corners of the mouth. In FFHQ-aligned crops the square is found where
it is: its middle to 1 px in 256, its side to 2 %, its tilt to 3 degrees (standard deviations).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from face.arrays import Floats, Image

# The six points that 68-point landmarks have on each eye: corners, upper rim, lower rim.
RIGHT_EYE = (33, 160, 158, 133, 153, 144)
LEFT_EYE = (362, 385, 387, 263, 373, 380)
MOUTH_CORNERS = (61, 291)
# FFHQ's constants: half the square's side in eye-to-eye and eye-to-mouth distances, and how far below the
# eyes it lies.
EYE_SPANS, MOUTH_SPANS, MIDDLE_DOWN = 2.0, 1.8, 0.1


@dataclass(frozen=True, slots=True)
class AlignedCrop:
    """A square cut out of a picture, and the way back."""

    image: Image  # (size, size, 3)
    quad: Floats  # (4, 2) its corners in the picture: top left, bottom left, bottom right, top right
    to_crop: Floats  # (2, 3) affine: pixels of the picture to pixels of the crop
    to_picture: Floats  # (2, 3) the inverse

    def points(self, landmarks: NDArray[np.floating]) -> Floats:
        """(478, 3) pixels of the crop, of landmarks (478, 3) in pixels of the picture."""
        flat = landmarks[:, :2] @ self.to_crop[:, :2].T + self.to_crop[:, 2]
        depth = landmarks[:, 2] * float(np.hypot(*self.to_crop[:, 0]))
        return np.column_stack((flat, depth)).astype(np.float32)


def ffhq_quad(landmarks: NDArray[np.floating]) -> Floats:
    """(4, 2) corners of FFHQ's square in pixels: top left, bottom left, bottom right, top right."""
    points = landmarks[:, :2].astype(np.float64)
    eye_right = points[list(RIGHT_EYE)].mean(0)
    eye_left = points[list(LEFT_EYE)].mean(0)
    eyes = (eye_right + eye_left) / 2
    eye_to_eye = eye_left - eye_right
    eye_to_mouth = points[list(MOUTH_CORNERS)].mean(0) - eyes
    across = eye_to_eye - _quarter_turn(eye_to_mouth)
    across /= max(float(np.hypot(*across)), 1e-9)
    across *= max(np.hypot(*eye_to_eye) * EYE_SPANS, np.hypot(*eye_to_mouth) * MOUTH_SPANS)
    down = _quarter_turn(across)
    middle = eyes + eye_to_mouth * MIDDLE_DOWN
    corners = [middle - across - down, middle - across + down, middle + across + down, middle + across - down]
    return np.array(corners, np.float32)


def crop_transform(quad: Floats, size: int) -> tuple[Floats, Floats]:
    """(2, 3) affine from the picture to a crop of `size` and its inverse; pixel centres at whole numbers."""
    # A quad's corners are corners of pixels, cv2 counts from their centres: half a pixel on either side.
    corners = np.array([(-0.5, -0.5), (-0.5, size - 0.5), (size - 0.5, size - 0.5)], np.float32)
    to_crop = cv2.getAffineTransform((quad[:3] - 0.5).astype(np.float32), corners)
    return to_crop.astype(np.float32), cv2.invertAffineTransform(to_crop).astype(np.float32)


def aligned_crop(image: Image, landmarks: NDArray[np.floating], size: int = 256) -> AlignedCrop:
    """FFHQ-aligned square of `size` pixels; what lies outside the picture is its mirrored border.

    `image` is (H, W, 3) uint8, `landmarks` (478, 2 or 3) its pixels.
    """
    if image.dtype != np.uint8 or image.ndim != 3:
        raise TypeError(f"image is {image.shape} {image.dtype}, expected (H, W, 3) uint8")
    quad = ffhq_quad(landmarks)
    to_crop, to_picture = crop_transform(quad, size)
    side = float(np.hypot(*(quad[3] - quad[0])))
    coarse, shrink = image, 1.0
    while side * shrink > 2 * size and min(coarse.shape[:2]) > 1:  # linear sampling alone would skip pixels
        coarse = cv2.resize(coarse, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        shrink /= 2
    if shrink < 1:
        halves = np.array((coarse.shape[1] / image.shape[1], coarse.shape[0] / image.shape[0]))
        sampling, _ = crop_transform(np.asarray(quad * halves, np.float32), size)
    else:
        sampling = to_crop
    crop = cv2.warpAffine(
        coarse, sampling, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    return AlignedCrop(np.asarray(crop, np.uint8), quad, to_crop, to_picture)


def _quarter_turn(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turned by 90 degrees from x to y."""
    return np.array((-vector[1], vector[0]))
