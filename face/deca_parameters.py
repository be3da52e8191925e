# SPDX-License-Identifier: MIT
"""The numbers that StelaBou's directions are moved by, which are DECA's, and what of them our tracker tells.

Knows no network. Yaw, pitch and roll are the same angles with the other sign: DECA's frame has y up and z
towards the camera, ours y down and z away, and both take the angles in one order. The jaw is an angle too,
told from jawOpen. DECA's expression coefficients are of a basis of its own: only DECA itself reads them.
"""

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from face.arrays import Floats, Image
from face.face_model import face_model
from face.motion import Motion

POSE = ("deca:yaw", "deca:pitch", "deca:roll", "deca:jaw")  # degrees, degrees, degrees, radians
JAW = POSE.index("deca:jaw")
HINGES, CHIN = (127, 356), 152  # landmarks before the ears, about which the jaw turns
# Jaw line from ear to ear and brows: the 68 landmarks' outermost points among ours.
CONTOUR = (
    127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323,
    454, 356, 70, 63, 105, 66, 107, 336, 296, 334, 293, 300,
)  # fmt: skip
DECA_PX = 224
DECA_REACH = 1.1 * 1.25  # of the box around 68 landmarks, before it is a square
VOX_PX = 256


def deca_names(count: int) -> tuple[str, ...]:
    """The names of `count` numbers in StelaBou's order: pose, then expression coefficients."""
    return (*POSE, *(f"deca:expression_{index}" for index in range(count - len(POSE))))[:count]


def is_deca(names: tuple[str, ...]) -> bool:
    """Whether a model is moved by these numbers."""
    return len(names) >= len(POSE) and names == deca_names(len(names))


@cache
def jaw_of_full_score() -> float:
    """Radians by which a jawOpen of 1 turns the chin about the hinges, in our own face model: .175."""
    model = face_model()
    hinge = model.mean[list(HINGES)].mean(0)
    shut = model.mean[CHIN] - hinge
    open_ = shut + model.expression({"jawOpen": 1.0})[CHIN]
    return float(np.arctan2(open_[1], -open_[2]) - np.arctan2(shut[1], -shut[2]))


def pose_of(motion: Motion) -> Floats:
    """(4,) yaw, pitch, roll in degrees and jaw in radians, as DECA counts them; absolute."""
    jaw = motion.blendshape("jawOpen") * jaw_of_full_score()
    return np.array([*(-motion.rotation), jaw], np.float32)


def deca_picture(image: Image, landmarks: NDArray[np.floating]) -> Floats:
    """(1, 3, 224, 224) in [0, 1]: DECA's square around a face; `landmarks` (478, 2 or 3) its pixels."""
    low, high = _box(landmarks)
    side = int(float((high - low).sum()) / 2 * DECA_REACH)
    corner = (low + high) / 2 - side / 2
    scale = (DECA_PX - 1) / max(side, 1)  # the square's corners become the middles of the outermost pixels
    to_square = np.array([[scale, 0, -scale * corner[0]], [0, scale, -scale * corner[1]]])
    picture = cv2.warpAffine(image, to_square, (DECA_PX, DECA_PX), flags=cv2.INTER_LINEAR)
    return np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32) / np.float32(255)


def vox_crop(image: Image, landmarks: NDArray[np.floating]) -> tuple[Image, Floats]:
    """StelaBou's upright square of 256 pixels around a face, and the landmarks (478, 3) in it.

    Beyond the picture lies its mirrored border, which the authors blur as well.
    """
    low, high = _box(landmarks)
    middle = np.round((low + high) / 2).astype(int)
    reach = int((high - low).max())
    left, top = middle[0] - reach, middle[1] - reach // 6 - reach
    scale = VOX_PX / (2 * reach)
    to_crop = np.array([[scale, 0, -scale * left], [0, scale, -scale * top]])
    to_crop[:, 2] += (scale - 1) / 2  # cv2 counts from the middles of pixels
    shrunk, points = image, to_crop
    while scale < 0.5 and min(shrunk.shape[:2]) > 1:  # cubic sampling alone would skip pixels
        halved = cv2.resize(shrunk, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        back = np.array((shrunk.shape[1] / halved.shape[1], shrunk.shape[0] / halved.shape[0]))
        points = np.column_stack((points[:, :2] * back, points[:, 2] + points[:, :2] @ ((back - 1) / 2)))
        shrunk, scale = halved, scale * 2
    crop = cv2.warpAffine(
        shrunk, points, (VOX_PX, VOX_PX), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )
    flat = landmarks[:, :2] @ to_crop[:, :2].T + to_crop[:, 2]
    depth = landmarks[:, 2] * to_crop[0, 0]
    return np.asarray(crop, np.uint8), np.column_stack((flat, depth)).astype(np.float32)


def _box(landmarks: NDArray[np.floating]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """(2,) and (2,): top left and bottom right of the contour."""
    points = landmarks[list(CONTOUR), :2]
    return points.min(0), points.max(0)
