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
CREASE_SHADE = 0.6  # how dark the fold above a shut lid is at its deepest
LASH_ZONE = 0.13  # of the eye's width above the lid's margin that lashes and their shadow take
PAD = 0.55  # of the eye's width around it


@dataclass(frozen=True, slots=True)
class Eyeball:
    """One eye's picture in pieces, in a patch of the photo."""

    label: int  # of its triangles (face/rig.py)
    upper: tuple[int, ...]  # landmarks of the upper lid's margin, corner to corner
    frame: Floats  # (3, 3) both corners and a point below them, model's frame
    frame_in_patch: Floats  # (3, 2) where the patch shows them
    white: Floats  # (h, w, 3) without the iris, 0..255
    iris: Floats  # (h, w, 3) colour where iris_alpha > 0
    iris_alpha: Floats  # (h, w)
    tint: Floats  # (3,) what white looks like in this light
    lid: Floats  # (h, w, 3) skin that covers the eye when it shuts
    lash: Floats  # (3,) colour of the lash line
    width: float  # of the eye, pixels of the photo

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
        upper,
        frame,
        (rig.at_rest(frame)[:, :2] - low).astype(np.float32),
        white,
        iris,
        alpha,
        tint,
        *_lid(patch, opening, width),
        width,
    )


def _polygon(points: NDArray[np.floating], shape: tuple[int, ...]) -> Floats:
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return np.asarray(mask.astype(np.float32) / 255, np.float32)


def _shrink(mask: Floats, pixels: float) -> Floats:
    inside = cv2.distanceTransform((mask > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    return np.asarray(np.clip(inside - pixels, 0, 1).astype(np.float32), np.float32)


def _lid(patch: Floats, opening: Floats, width: float) -> tuple[Floats, Floats]:
    """Skin (h, w, 3) continued over the eye from around it, and the colour (3,) of its lashes."""
    reach = max(3, round(0.30 * width)) | 1
    around = 1 - cv2.dilate(opening, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    brightness = patch.mean(2)
    usual = (
        float(np.median(brightness[around > 0.5])) if (around > 0.5).any() else float(np.median(brightness))
    )
    skin = around * np.clip((brightness / max(usual, 1.0) - 0.42) / 0.15, 0, 1)  # neither brow nor lashes
    smooth = cv2.GaussianBlur(fill(patch, skin), (0, 0), max(1.0, 0.05 * width))
    detail = patch - cv2.GaussianBlur(patch, (0, 0), 2.0)
    grain = float(np.median(np.abs(detail[skin > 0.5]))) if (skin > 0.5).any() else 0.0
    noise = np.random.default_rng(0).normal(0, 0.6 * grain, patch.shape[:2])[..., None]
    ball = cv2.GaussianBlur(opening, (0, 0), 0.14 * width)[..., None]  # the eyeball's bulge catches light
    lid = np.clip(smooth * (0.97 + 0.07 * ball) + noise, 0, 255).astype(np.float32)
    dark = patch[(opening > 0.3) | (around < 0.5)]
    lash = np.percentile(dark, 6, axis=0) if len(dark) else smooth.mean((0, 1)) * 0.4
    return lid, np.asarray(lash, np.float32)


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


def paint_lid(
    out: Bytes, eyeball: Eyeball, to_out: Floats, open_margin: Floats, margin: Floats, closing: float
) -> None:
    """Draw the upper lid where it has come down, and its lashes.

    open_margin, margin (9, 2): pixels of the lid's edge when open and now, corner to corner; closing in [0,
    1].
    """
    if closing < 0.05:
        return
    scale = float(np.linalg.norm(margin[0] - margin[-1])) / eyeball.width
    soft = max(0.8, 0.055 * eyeball.width * scale)
    pad = 3 * soft + 2
    along = (margin[-1] - margin[0]) / max(float(np.linalg.norm(margin[-1] - margin[0])), 1e-3)
    upwards = np.array([along[1], -along[0]], np.float32) * np.sign(
        along[0]
    )  # the eye's own up in the picture
    arch = np.sin(np.linspace(0, np.pi, len(margin)))[:, None]
    # the open lid's lashes and shadow lie above its margin; they come down with it, so skin takes their place
    open_margin = open_margin + upwards * arch * (LASH_ZONE * eyeball.width * scale * min(1.0, 2 * closing))
    points = np.concatenate([open_margin, margin])
    low = np.maximum(np.floor(points.min(0) - pad).astype(int), 0)
    high = np.minimum(np.ceil(points.max(0) + pad).astype(int) + 1, [out.shape[1], out.shape[0]])
    if (high - low < 3).any():
        return
    size = (int(high[0] - low[0]), int(high[1] - low[1]))
    swept = _polygon(np.concatenate([open_margin, margin[-2:0:-1]]) - low, (size[1], size[0]))
    alpha = np.minimum(cv2.GaussianBlur(swept, (0, 0), soft) * 1.5, 1.0) * min(0.86, closing * 1.5)
    local = to_out.astype(np.float32).copy()
    local[:, 2] -= low
    skin = cv2.warpAffine(eyeball.lid, local, size, borderMode=cv2.BORDER_REPLICATE)
    target = out[low[1] : high[1], low[0] : high[0]]
    covered = target + (skin - target) * alpha[..., None]
    line = np.zeros((size[1], size[0]), np.uint8)
    thickness = max(1, round(0.038 * eyeball.width * scale))
    curve = np.round((margin - low) * 16).astype(np.int32)
    cv2.polylines(line, [curve], False, 255, thickness, cv2.LINE_AA, 4)
    lashes = cv2.GaussianBlur(line.astype(np.float32) / 255, (0, 0), max(0.5, 0.3 * soft)) * (0.9 * closing)
    fold = np.zeros_like(line)
    cv2.polylines(
        fold, [np.round((open_margin - low) * 16).astype(np.int32)], False, 255, thickness, cv2.LINE_AA, 4
    )
    crease = cv2.GaussianBlur(fold.astype(np.float32) / 255, (0, 0), max(0.6, 0.5 * soft)) * (0.35 * closing)
    covered = covered * (1 - crease[..., None] * CREASE_SHADE)
    target[:] = np.clip(covered + (eyeball.lash - covered) * lashes[..., None] + 0.5, 0, 255).astype(np.uint8)
