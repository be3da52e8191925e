# SPDX-License-Identifier: MIT
"""What directions are trained for: motion reached, identity and surroundings kept.

The paper's losses (Bounareli et al. 2022, section 3.1.5 and appendix A.2) with this project's tracker in the
place of the 3DMM network: shape, eyes and mouth through landmarks, the motion vector itself, identity. Pixels
outside the face stand in for the paper's perceptual term, which holds the same background.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from engines.networks.tracker_stand_in import Tracks
from face.alignment import crop_transform, ffhq_quad
from face.arrays import Floats
from face.direction_parameters import INDEX, NAMES, RANGES, TABLE
from face.face_model import FACE_OVAL, SURFACE, face_model
from face.pose import rotation_matrix

# Points on upper and lower rims, the counterparts of the paper's pairs of 68 landmarks.
EYE_PAIRS = ((160, 144), (159, 145), (158, 153), (387, 373), (386, 374), (385, 380), (33, 133), (362, 263))
MOUTH_PAIRS = (
    (61, 291), (37, 84), (0, 17), (267, 314), (40, 91), (270, 321), (78, 308), (82, 87), (13, 14), (312, 317),
)  # fmt: skip
OUTER_EYES = (33, 263)
SURROUNDINGS_PX = 64  # the size at which pixels outside the face are compared
FACE_GROWTH = 1.25  # of the face's oval about its middle: hair line and chin move with the head
SCORES_OF = np.linalg.pinv(TABLE)[3:]  # (52, 15) scores for a change of p


@dataclass(frozen=True, slots=True)
class Weights:
    """Shares of the terms; the paper's 1, 10, 10 are for its own units."""

    motion: float = 15.0  # high enough that keeping the identity shortens no motion by more than a twentieth
    shape: float = 8.0
    eyes: float = 8.0
    mouth: float = 8.0
    identity: float = 12.0
    surroundings: float = 1.5


# How much a number of p counts: those a talking head lives by count more.
IMPORTANCE = np.ones(len(NAMES), np.float32)
for _name in ("yaw", "pitch", "jaw_open", "smile", "blink_left", "blink_right"):
    IMPORTANCE[INDEX[_name]] = 2.0
for _name in ("pucker", "press", "squint", "brow_down", "gaze_y"):  # the generator hardly shows them
    IMPORTANCE[INDEX[_name]] = 0.5


def target_shape(landmarks: Floats, p: Floats, target: Floats, size: int) -> Floats:
    """(478, 3) the source's face as it should look at `target`, in an FFHQ-aligned picture of `size`.

    The source's identity with the target's expression and pose (eq. 4): its own tracked shape, moved by the
    face model's expression basis and turned by what the angles change.
    """
    model = face_model()
    shape, turn, scale, shift = model.unpose(landmarks)
    change = (SCORES_OF @ (target - p)).astype(np.float32)  # (52,)
    shape = shape + np.tensordot(change, model.basis, 1)
    yaw, pitch = INDEX["yaw"], INDEX["pitch"]
    own = rotation_matrix(p[yaw], p[pitch], 0.0)
    turned = rotation_matrix(target[yaw], target[pitch], 0.0) @ own.T @ turn
    posed = scale * shape @ turned.T + shift
    to_crop, _ = crop_transform(ffhq_quad(posed), size)
    aligned = posed @ np.diag([0, 0, float(np.hypot(*to_crop[0, :2]))])
    aligned[:, :2] = posed[:, :2] @ to_crop[:, :2].T + to_crop[:, 2]
    return np.asarray(aligned, np.float32)


def surroundings_mask(shapes: list[Floats], size: int) -> Floats:
    """(64, 64) 1 where none of the faces (478, 3), pixels of `size`, lies nor its near hair."""
    mask = np.ones((SURROUNDINGS_PX, SURROUNDINGS_PX), np.float32)
    for landmarks in shapes:
        oval = landmarks[list(FACE_OVAL), :2]
        grown = (oval.mean(0) + (oval - oval.mean(0)) * FACE_GROWTH) * SURROUNDINGS_PX / size
        cv2.fillConvexPoly(mask, cv2.convexHull(grown.astype(np.int32)), 0.0)
    return mask


def motion_loss(p: Tensor, target: Tensor) -> Tensor:
    """(N,) of the motion vector in its ranges: quadratic near, linear far."""
    miss = (p - target) / torch.from_numpy(RANGES)
    close = functional.huber_loss(miss, torch.zeros_like(miss), reduction="none", delta=0.3)
    return (close * torch.from_numpy(IMPORTANCE)).sum(1)


def shape_losses(tracks: Tracks, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(N,) shape, eyes, mouth in eye distances; target (N, 478, 3)."""
    span = (target[:, OUTER_EYES[0], :2] - target[:, OUTER_EYES[1], :2]).norm(dim=1).clamp(min=1.0)
    shape = (tracks.landmarks - target)[:, :SURFACE, :2].abs().mean((1, 2)) / span
    eyes = (_gaps(tracks.landmarks, EYE_PAIRS) - _gaps(target, EYE_PAIRS)).abs().mean(1) / span
    mouth = (_gaps(tracks.landmarks, MOUTH_PAIRS) - _gaps(target, MOUTH_PAIRS)).abs().mean(1) / span
    return shape, eyes, mouth


def _gaps(landmarks: Tensor, pairs: tuple[tuple[int, int], ...]) -> Tensor:
    """(N, P) distances of pairs of landmarks."""
    first, second = ([pair[side] for pair in pairs] for side in (0, 1))
    return (landmarks[:, first, :2] - landmarks[:, second, :2]).norm(dim=2)


def small(images: Tensor) -> Tensor:
    """(N, 3, 64, 64) of larger images."""
    return functional.interpolate(images, size=(SURROUNDINGS_PX, SURROUNDINGS_PX), mode="area")


def surroundings_loss(images: Tensor, source_small: Tensor, masks: Tensor) -> Tensor:
    """(N,) mean change outside the face, 1 = half of black to white."""
    change = (small(images) - source_small).abs().mean(1) * masks
    return change.sum((1, 2)) / masks.sum((1, 2)).clamp(min=1.0)
