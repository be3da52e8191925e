# SPDX-License-Identifier: MIT
"""Eyeballs behind the lids: a whole white and a whole iris, made once from the photo, moved by gaze. Knows
no tracker.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from face.arrays import Floats
from face.face_model import (
    LEFT_EYE_LOWER,
    LEFT_EYE_UPPER,
    LEFT_IRIS,
    RIGHT_EYE_LOWER,
    RIGHT_EYE_UPPER,
    RIGHT_IRIS,
)
from face.matte import fill
from methods.mesh.rig import LEFT_EYE, RIGHT_EYE, HeadRig

Bytes = NDArray[np.uint8]

LID_SHADE = 0.42  # how much darker the white gets right under a lid that has moved
PAD = 0.55  # of the eye's width around it


@dataclass(frozen=True, slots=True)
class Eyeball:
    """One eye's picture in pieces, in a patch of the photo."""

    label: int  # of its triangles (rig.py)
    frame: Floats  # (3, 3) both corners and a point below them, model's frame
    frame_in_patch: Floats  # (3, 2) where the patch shows them
    white: Floats  # (h, w, 3) without the iris, 0..255
    iris: Floats  # (h, w, 3) colour where iris_alpha > 0
    iris_alpha: Floats  # (h, w)
    tint: Floats  # (3,) what white looks like in this light

    def patch(self, gaze_px: Floats) -> Floats:
        """(h, w, 3) the eyeball looking aside by `gaze_px` (2,) pixels."""
        move = np.array([[1, 0, gaze_px[0]], [0, 1, gaze_px[1]]], np.float32)
        size = (self.white.shape[1], self.white.shape[0])
        alpha = cv2.warpAffine(self.iris_alpha, move, size)[..., None]
        iris = cv2.warpAffine(self.iris, move, size, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(self.white + (iris - self.white) * alpha, np.float32)


def build_eyeballs(image: Bytes, rig: HeadRig) -> list[Eyeball]:
    """Right and left eyeball of the photo (H, W, 3) uint8 RGB the rig was built for."""
    return [
        _build(image, rig, RIGHT_EYE_UPPER, RIGHT_EYE_LOWER, RIGHT_IRIS, RIGHT_EYE),
        _build(image, rig, LEFT_EYE_UPPER, LEFT_EYE_LOWER, LEFT_IRIS, LEFT_EYE),
    ]


def _build(
    image: Bytes,
    rig: HeadRig,
    upper: tuple[int, ...],
    lower: tuple[int, ...],
    iris_ring: tuple[int, ...],
    label: int,
) -> Eyeball:
    landmarks = rig.landmarks
    ring = landmarks[[*upper, *lower[-2:0:-1]], :2]
    width = float(np.linalg.norm(ring[0] - ring[8]))
    low = np.floor(ring.min(0) - PAD * width).astype(int)
    high = np.ceil(ring.max(0) + PAD * width).astype(int) + 1
    low, high = np.maximum(low, 0), np.minimum(high, [image.shape[1], image.shape[0]])
    patch = image[low[1] : high[1], low[0] : high[0]].astype(np.float32)
    opening = _polygon(ring - low, patch.shape[:2])
    centre = landmarks[iris_ring[0], :2] - low
    radius = float(np.linalg.norm(landmarks[list(iris_ring[1:]), :2] - low - centre, axis=1).mean())
    ys, xs = np.mgrid[0 : patch.shape[0], 0 : patch.shape[1]].astype(np.float32)
    distance = np.hypot(xs - centre[0], ys - centre[1])

    lash = max(1.0, 0.035 * width)  # lashes and the lid's edge are no eyeball
    inner = cv2.erode(opening, np.ones((3, 3), np.uint8)) if lash < 2 else _shrink(opening, lash)
    clean_white = inner * (distance > 1.18 * radius)
    tint = _white_of(patch, clean_white, opening)
    known = clean_white * np.clip((patch.mean(2) / max(float(tint.mean()), 1.0) - 0.45) / 0.3, 0, 1)
    anchor = np.full_like(
        known, 0.02
    )  # a little of the typical white everywhere, or a lash would tint the fill
    white = fill(
        (patch * known[..., None] + tint * anchor[..., None]) / (known + anchor)[..., None], known + anchor
    )
    roundness = (
        1 - 0.28 * np.clip(np.abs(xs - (ring[0] + ring[8])[0] / 2 + low[0]) / (0.5 * width), 0, 1.3) ** 2
    )
    white = white * roundness[..., None]
    keep = cv2.GaussianBlur(opening * (distance > 1.12 * radius), (0, 0), max(0.6, 0.02 * width))
    keep = keep * opening
    white = white + (patch - white) * keep[..., None]

    iris = _whole_iris(patch, inner * (distance < 1.05 * radius), distance, radius)
    alpha = np.clip((1.08 * radius - distance) / max(1.2, 0.14 * radius) + 0.3, 0, 1).astype(np.float32)
    corners = rig.face_shape[[upper[0], upper[-1]]]
    frame = np.stack([corners[0], corners[1], corners.mean(0) + [0, 0.1, 0]]).astype(np.float32)
    return Eyeball(
        label,
        frame,
        (rig.at_rest(frame)[:, :2] - low).astype(np.float32),
        white,
        iris,
        alpha,
        tint,
    )


def _polygon(points: NDArray[np.floating], shape: tuple[int, ...]) -> Floats:
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return np.asarray(mask.astype(np.float32) / 255, np.float32)


def _shrink(mask: Floats, pixels: float) -> Floats:
    inside = cv2.distanceTransform((mask > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    return np.asarray(np.clip(inside - pixels, 0, 1).astype(np.float32), np.float32)


def _white_of(patch: Floats, clean: Floats, opening: Floats) -> Floats:
    """(3,) colour of the eye's white: the brighter half of what is surely white, or a light grey of this
    light.
    """
    sure = patch[clean > 0.5]
    if len(sure) >= 6:
        brightness = sure.mean(1)
        return np.asarray(sure[brightness >= np.median(brightness)].mean(0), np.float32)
    around = patch[opening < 0.5]
    level = float(np.percentile(around.mean(1), 75)) if len(around) else 150.0
    return np.asarray(np.clip(np.array([1.18, 1.16, 1.14], np.float32) * level, 60, 225), np.float32)


def _whole_iris(patch: Floats, seen: Floats, distance: Floats, radius: float) -> Floats:
    """The iris with what the lids hide filled in from its other parts at the same distance from the pupil."""
    bins = np.minimum((distance / max(radius, 1e-3) * 8).astype(int), 11)
    profile = np.zeros((12, 3), np.float32)
    weights = np.bincount(bins.ravel(), seen.ravel(), 12)
    for k in range(3):
        profile[:, k] = np.bincount(bins.ravel(), (seen * patch[..., k]).ravel(), 12) / np.maximum(
            weights, 1e-6
        )
    present = np.flatnonzero(weights > 0.5)
    if len(present) == 0:
        profile[:] = (52, 38, 30)  # a dark brown iris, when nothing of it can be seen
    else:
        for k in range(3):
            profile[:, k] = np.interp(np.arange(12), present, profile[present, k])
    symmetric = profile[bins]
    trust = cv2.GaussianBlur(seen, (0, 0), max(0.6, 0.06 * radius)) * seen
    return np.asarray(symmetric + (patch - symmetric) * trust[..., None], np.float32)


def paint_eye(
    out: Bytes, label_map: Bytes, eyeball: Eyeball, patch: Floats, to_out: Floats, shade: float
) -> None:
    """Put the eyeball where `label_map` shows its triangles, with soft edges.

    to_out (2, 3): affine map from patch pixels to `out` pixels; shade 0..1: how far the lid has come down.
    """
    seen = label_map == eyeball.label
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    if len(rows) == 0:
        return
    top, bottom = max(rows[0] - 2, 0), min(rows[-1] + 3, out.shape[0])
    left, right = max(columns[0] - 2, 0), min(columns[-1] + 3, out.shape[1])
    mask = seen[top:bottom, left:right].astype(np.float32)
    local = to_out.astype(np.float32).copy()
    local[:, 2] -= (left, top)
    ball = cv2.warpAffine(patch, local, (right - left, bottom - top), borderMode=cv2.BORDER_REPLICATE)
    if shade > 0:
        reach = max(1.0, 0.10 * (right - left))
        lid = cv2.GaussianBlur(mask, (0, 0), reach, borderType=cv2.BORDER_CONSTANT)
        lid = cv2.warpAffine(
            lid, np.array([[1, 0, 0], [0, 1, reach * 0.8]], np.float32), (right - left, bottom - top)
        )
        ball = ball * (1 - LID_SHADE * shade * np.clip(1 - lid, 0, 1))[..., None]
    alpha = cv2.blur(mask, (3, 3), borderType=cv2.BORDER_CONSTANT)[..., None]
    target = out[top:bottom, left:right]
    target[:] = np.clip(target + (ball - target) * alpha + 0.5, 0, 255).astype(np.uint8)
