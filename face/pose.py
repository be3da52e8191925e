# SPDX-License-Identifier: MIT
"""Head rotation as angles and matrices, and the rigid fit of one point set on another. Knows no landmark
indices.

Frame of reference everywhere: x right in the picture, y down, z away from the camera (right-handed). A head
that faces the camera upright has rotation identity.
"""

import numpy as np
from numpy.typing import NDArray

from face.arrays import Floats


def rotation_matrix(yaw: float, pitch: float, roll: float) -> Floats:
    """(3, 3) matrix of the angles in degrees; + = subject's own left, up, towards own left shoulder."""
    y, p, r = np.deg2rad([-yaw, -pitch, roll])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    matrix: Floats = (about_z @ about_y @ about_x).astype(np.float32)
    return matrix


def euler_angles(rotation: NDArray[np.floating]) -> Floats:
    """(3,) yaw, pitch, roll in degrees of a (3, 3) rotation; inverse of `rotation_matrix` for |yaw| < 90."""
    yaw = np.arcsin(np.clip(rotation[2, 0], -1.0, 1.0))  # R[2,0] = -sin(about_y) = sin(yaw)
    pitch = -np.arctan2(rotation[2, 1], rotation[2, 2])
    roll = np.arctan2(rotation[1, 0], rotation[0, 0])
    angles: Floats = np.rad2deg(np.array([yaw, pitch, roll])).astype(np.float32)
    return angles


def similarity_fit(
    source: NDArray[np.floating], target: NDArray[np.floating], weights: NDArray[np.floating]
) -> tuple[Floats, float, Floats]:
    """Rotation (3, 3), scale and translation (3,) with target ~ scale * source @ rotation.T + translation.

    Weighted least squares over (N, 3) points (Umeyama 1991); weights (N,) are not negative and not all zero.
    """
    w = weights / weights.sum()
    source_mean, target_mean = w @ source, w @ target
    a, b = source - source_mean, target - target_mean
    u, singular, vt = np.linalg.svd((b * w[:, None]).T @ a)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * sign) @ vt
    scale = float((singular * sign).sum() / (w @ (a**2).sum(1)))
    translation = target_mean - scale * rotation @ source_mean
    return rotation.astype(np.float32), scale, translation.astype(np.float32)


def rotation_of(matrix: NDArray[np.floating]) -> Floats:
    """(3,) yaw, pitch, roll in degrees, signs as Motion.rotation, of MediaPipe's (4, 4) face matrix."""
    turn = np.asarray(matrix, np.float64)[:3, :3]
    turn = turn / np.cbrt(np.linalg.det(turn))  # the matrix carries a scale
    flip = np.array((1.0, -1.0, -1.0))
    return euler_angles(flip[:, None] * turn * flip)
