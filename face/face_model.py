# SPDX-License-Identifier: MIT
"""The 3D face model fitted by training/face_model.py: mean, triangles, expression basis, compact modes.
Knows no picture.

The model's frame: origin between the outer eye corners, their distance 1, x right in a frontal picture, y
down, z away from the camera.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face.arrays import Floats
from face.motion import BLENDSHAPE_INDEX, LANDMARKS
from face.pose import similarity_fit

# Rings of landmark indices, each once around. Right and left are the subject's.
RIGHT_EYE_UPPER = (33, 246, 161, 160, 159, 158, 157, 173, 133)
RIGHT_EYE_LOWER = (33, 7, 163, 144, 145, 153, 154, 155, 133)
LEFT_EYE_UPPER = (263, 466, 388, 387, 386, 385, 384, 398, 362)
LEFT_EYE_LOWER = (263, 249, 390, 373, 374, 380, 381, 382, 362)
LIPS_INNER_UPPER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LIPS_INNER_LOWER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
LIPS_OUTER_UPPER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
LIPS_OUTER_LOWER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
FACE_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176,
    149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
RIGHT_IRIS = (468, 469, 470, 471, 472)  # centre first
LEFT_IRIS = (473, 474, 475, 476, 477)
SURFACE = 468  # landmarks below this index are skin, those from it on are irises


@dataclass(frozen=True, slots=True)
class FaceModel:
    """Numbers of the model; arrays are read-only."""

    mean: Floats  # (478, 3)
    triangles: NDArray[np.int32]  # (898, 3) indices below 468, clockwise on screen when facing the camera
    rigid_weights: Floats  # (478,) weights of the pose fit; 0 where jaw, lips or lids move
    basis: Floats  # (52, 478, 3) offset of the whole face at a blendshape score of 1
    modes: Floats  # (64, 478, 3) orthonormal principal motions
    probes: Floats  # (80, 64) expressions people make, as amounts of modes

    def unpose(self, landmarks: NDArray[np.floating]) -> tuple[Floats, Floats, float, Floats]:
        """Shape (478, 3) in the model's frame, and rotation (3, 3), scale, translation (3,) that pose it
        again: landmarks = scale * shape @ rotation.T + translation.
        """
        if landmarks.shape != (LANDMARKS, 3):
            raise ValueError(f"landmarks are {landmarks.shape}, expected ({LANDMARKS}, 3)")
        rotation, scale, translation = similarity_fit(self.mean, landmarks, self.rigid_weights)
        shape = (landmarks - translation) @ rotation / scale
        return shape.astype(np.float32), rotation, scale, translation

    def expression(self, scores: dict[str, float]) -> Floats:
        """(478, 3) offset of named blendshape scores; KeyError names a stranger."""
        weights = np.zeros(len(BLENDSHAPE_INDEX), np.float32)
        for name, score in scores.items():
            weights[BLENDSHAPE_INDEX[name]] = score
        return np.tensordot(weights, self.basis, 1)


@cache
def face_model() -> FaceModel:
    """The model that ships with the package, read once."""
    with np.load(Path(__file__).parent / "face_model.npz", allow_pickle=False) as stored:
        arrays = {
            "mean": stored["mean"].astype(np.float32),
            "triangles": stored["triangles"].astype(np.int32),
            "rigid_weights": stored["rigid_weights"].astype(np.float32),
            "basis": stored["basis"].astype(np.float32),
            "modes": stored["modes"].astype(np.float32),
            "probes": stored["probes"].astype(np.float32),
        }
    for array in arrays.values():
        array.setflags(write=False)
    return FaceModel(**arrays)
