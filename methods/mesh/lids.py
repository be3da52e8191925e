# SPDX-License-Identifier: MIT
"""Upper lids: each eye drawn shut once from the photo's own skin, and shown through the mesh as far as the
eye is shut.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from face.arrays import Floats, Image
from face.face_model import LEFT_EYE_LOWER, LEFT_EYE_UPPER, RIGHT_EYE_LOWER, RIGHT_EYE_UPPER
from face.matte import fill, nearest_known
from face.raster import EMPTY, rasterise
from methods.mesh.motion import LEFT_LID_FOLD, RIGHT_LID_FOLD
from methods.mesh.rig import SKIN, HeadRig

# Landmarks below the lower lashes, outer corner first, and around the brow, its lower edge first.
RIGHT_BELOW = (130, 25, 110, 24, 23, 22, 26, 112, 243)
LEFT_BELOW = (359, 255, 339, 254, 253, 252, 256, 341, 463)
RIGHT_BROW = (46, 53, 52, 65, 55, 107, 66, 105, 63, 70)
LEFT_BROW = (276, 283, 282, 295, 285, 336, 296, 334, 293, 300)

PAD = 0.3  # of the eye's width around the landmarks that a drawing takes in
CORNER_SHARES = np.array(
    [[0.3], [0.5]], np.float32
)  # of the skin at the outer and the inner corner drawn anew
STRIP = (0.4, 1.0)  # part of the way from margin to fold where an open eye shows the skin of its lid
OWN_SHARE, DARKEST = 0.6, 0.7  # of that skin's light, and how dark it may make a lid
BELOW_SHARE = 0.3  # weight of the skin below an eye for a lid's colour against that above it
THIN = 0.16  # of the eye's width, what a lash or a hair is thinner than
HAIR_CONTRAST = 0.12  # by which hair is darker than the skin around it
LARGEST_GRAIN = 3.0  # against the usual: what is more is a wrinkle
LASH_BAND = 0.1  # of the eye's width above the margin in which the photo's lashes are looked for
FOLD_DEPTH = 0.07  # how much darker the softened fold above a shut lid is than its skin
BULGE = 0.05  # how much brighter the middle of a shut lid is
SEEN_FROM, SEEN_ALL = 0.12, 0.5  # closing at which the drawing begins to show, and shows alone
LASH_WIDTH = (0.012, 0.036)  # of the eye's width, of the lash line above and below the margin
LASHES = 15  # strokes below the lash line
LASH_LENGTH = 0.13  # of the eye's width


@dataclass(frozen=True, slots=True)
class Lid:
    """One upper lid; the drawing has its own pixels, as large as the photo's."""

    upper: tuple[int, ...]  # landmarks of the margin, outer corner first
    outline: tuple[int, ...]  # landmarks around everything that the drawing changes
    corner: Floats  # (2,) x, y of `place`'s first pixel in the photo
    place: Floats  # (h, w, 3) of a pixel of the photo: x, y in the drawing, and the share that it covers
    shut: Floats  # (h, w, 3) 0..255 the lid when shut
    lash: Floats  # (3,) colour of the lash line
    lash_share: float  # of that colour where the line is darkest
    width: float  # of the eye, pixels of the photo


def build_lids(image: Image, rig: HeadRig, shut: Floats) -> list[Lid]:
    """Right and left lid of the photo (H, W, 3) uint8 RGB the rig was built for; shut (V, 3) are the rig's
    vertices with both eyes shut, pixels of the photo.
    """
    right = (RIGHT_EYE_UPPER, RIGHT_EYE_LOWER, RIGHT_LID_FOLD, RIGHT_BELOW, RIGHT_BROW)
    left = (LEFT_EYE_UPPER, LEFT_EYE_LOWER, LEFT_LID_FOLD, LEFT_BELOW, LEFT_BROW)
    return [_build(image, rig, shut, *rings) for rings in (right, left)]


@dataclass(frozen=True, slots=True)
class _Axes:
    """An eye's own axes in a drawing: along from its outer to its inner corner, and up."""

    origin: Floats
    along: Floats
    up: Floats
    width: float

    def __call__(self, points: Floats) -> Floats:
        """(..., 2) x, y to along, up."""
        away = points - self.origin
        return np.stack([away @ self.along, away @ self.up], axis=-1).astype(np.float32)

    def height(self, curve: Floats, at: Floats) -> Floats:
        """Of a curve (N, 2) x, y, corner to corner, above each `at` along."""
        points = self(curve)
        return np.interp(at, points[:, 0], points[:, 1]).astype(np.float32)


def _axes(margin: Floats) -> _Axes:
    across = margin[-1] - margin[0]
    width = float(np.linalg.norm(across))
    along = (across / max(width, 1e-3)).astype(np.float32)
    up = np.array([along[1], -along[0]], np.float32) * np.sign(along[0])
    return _Axes(margin[0].astype(np.float32), along, up, width)


def _build(
    image: Image,
    rig: HeadRig,
    shut: Floats,
    upper: tuple[int, ...],
    lower: tuple[int, ...],
    folds: tuple[tuple[int, ...], ...],
    below: tuple[int, ...],
    brow: tuple[int, ...],
) -> Lid:
    fold, above = folds
    ring = [*upper, *fold, *above, *below, *brow[:5]]
    width = float(np.linalg.norm(rig.rest[upper[0], :2] - rig.rest[upper[-1], :2]))
    low = np.floor(rig.rest[ring, :2].min(0) - PAD * width).astype(int)
    high = np.ceil(rig.rest[ring, :2].max(0) + PAD * width).astype(int) + 1
    low, high = np.maximum(low, 0), np.minimum(high, [image.shape[1], image.shape[0]])
    photo = image[low[1] : high[1], low[0] : high[0]].astype(np.float32)
    size = photo.shape[:2]
    rest, drawn = (points - np.append(low, 0).astype(np.float32) for points in (rig.rest, shut))
    level = np.zeros((len(rest), 2), np.float32)
    level[[*upper, *fold]] = 1
    level[[upper[0], upper[-1]]] = CORNER_SHARES
    level[:, 1] = 0
    level[list(fold), 1] = 1
    level[list(above), 1] = 2
    skin = rig.triangles[rig.labels == SKIN]

    to_shut, on_skin = _carried(rest, drawn[:, :2], skin, size)
    cover, _ = _carried(rest, level, skin, size)
    to_photo, in_drawing = _carried(drawn, rest[:, :2], skin, size)

    opening = rest[[*upper, *lower[-2:0:-1]], :2]
    lashes = np.concatenate([rest[list(lower), :2], rest[list(below[::-1]), :2]])
    strip = (cover[..., 1] > STRIP[0]) & (cover[..., 1] < STRIP[1])
    brightness = photo.mean(2)
    bright = strip & (brightness >= (np.median(brightness[strip]) if strip.any() else 0))
    known = (cover[..., 0] < 0.85) * (1 - _polygon(opening, size)) * (1 - _polygon(lashes, size))
    known *= 1 - _polygon(rest[list(brow), :2], size)
    known *= _like_skin(photo, width)
    carried = _looked_up(photo, to_photo)
    clean = _looked_up(known, to_photo) * in_drawing
    own = _looked_up(bright.astype(np.float32), to_photo) * in_drawing
    axes = _axes(drawn[list(upper), :2])
    curves = [drawn[list(lower), :2], *(drawn[[upper[0], *of, upper[-1]], :2] for of in (fold, brow[:5]))]
    picture = _shut(carried, clean, own, axes, curves)
    lash, lash_share = _lash_of(photo, rest[list(upper), :2], picture)
    place = np.concatenate([to_shut, _smoothstep(cover[..., :1])], axis=2)
    return Lid(
        upper=upper,
        outline=tuple(ring),
        corner=low.astype(np.float32),
        place=nearest_known(place, on_skin),
        shut=picture,
        lash=lash,
        lash_share=lash_share,
        width=width,
    )


def _carried(
    points: Floats, values: Floats, triangles: NDArray[np.int32], size: tuple[int, ...]
) -> tuple[Floats, NDArray[np.bool_]]:
    """(h, w, 2) of values (V, 2) of vertices at points (V, 3), between them and where they are not nearest,
    and where they are shown.
    """
    u, v, depth = (np.zeros(size, np.float32) for _ in range(3))
    labels = np.zeros(size, np.uint8)
    shown = np.full(len(triangles), SKIN, np.uint8)
    rasterise(points.astype(np.float32), np.ascontiguousarray(values), triangles, shown, u, v, depth, labels)
    return np.stack([u, v], axis=-1), labels != EMPTY


def _looked_up(picture: Floats, at: Floats) -> Floats:
    looked_up = cv2.remap(
        picture.astype(np.float32), at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(looked_up, np.float32)


def _polygon(points: NDArray[np.floating], size: tuple[int, ...]) -> Floats:
    mask = np.zeros(size, np.uint8)
    cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return np.asarray(mask.astype(np.float32) / 255, np.float32)


def _smoothstep(x: NDArray[np.floating]) -> Floats:
    t = np.clip(x, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def _like_skin(photo: Floats, width: float) -> Floats:
    """(h, w) 0 where a photo has something thin and dark, as lashes and hairs of a brow, else 1."""
    brightness = photo.mean(2)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (max(3, round(THIN * width) | 1),) * 2)
    closed = cv2.morphologyEx(brightness, cv2.MORPH_CLOSE, kernel)
    darker = 1 - brightness / np.maximum(closed, 1)
    return np.asarray(np.clip(2 - darker / HAIR_CONTRAST, 0, 1), np.float32)


def _shut(carried: Floats, clean: Floats, own: Floats, axes: _Axes, curves: list[Floats]) -> Floats:
    """(h, w, 3) shut lid from a photo carried by the mesh to where it is with the eye shut, of which `clean`
    (h, w) is known as skin; curves of margin, fold and brow, corner to corner.
    """
    size = clean.shape
    grid = np.stack(np.meshgrid(np.arange(size[1]), np.arange(size[0])), axis=-1).astype(np.float32)
    along, height = np.moveaxis(axes(grid), -1, 0)
    margin, fold, brow = (axes.height(curve, along) for curve in curves)
    lid = np.maximum(fold - margin, 0.02 * axes.width)
    under_brow = np.where(height < margin, BELOW_SHARE, 1.0)
    colour = fill(carried, (clean * under_brow).astype(np.float32))
    lit = fill(carried, np.maximum(clean * under_brow, own).astype(np.float32))
    ratio = cv2.GaussianBlur(lit.mean(2) / np.maximum(colour.mean(2), 1), (0, 0), max(1.0, 0.1 * axes.width))
    colour = colour * np.clip(1 + OWN_SHARE * (ratio - 1), DARKEST, 1.1)[..., None]
    colour = cv2.GaussianBlur(colour, (0, 0), max(1.0, 0.07 * axes.width))
    # its grain is that of the skin above the fold, mirrored at the fold
    reach = max(1.0, 0.05 * axes.width)
    weight = cv2.GaussianBlur(clean, (0, 0), reach)
    smooth = cv2.GaussianBlur(carried * clean[..., None], (0, 0), reach) / np.maximum(weight, 1e-3)[..., None]
    grain = (carried - smooth) * clean[..., None]
    usual = float(np.median(np.abs(grain[clean > 0.5]))) if (clean > 0.5).any() else 0.0
    grain = np.clip(grain, -LARGEST_GRAIN * usual, LARGEST_GRAIN * usual)
    share = np.clip(0.8 * (brow - fold) / lid, 0, 1)
    mirrored = np.where(height < fold, fold + (fold - height) * share, height) - height
    grain = _looked_up(grain, grid + mirrored[..., None] * axes.up)
    down = np.clip((height - margin) / lid, 0, 2)  # 0 at the margin, 1 at the fold
    arch = np.sin(np.pi * np.clip(along / axes.width, 0, 1))
    crease = FOLD_DEPTH * np.exp(-(((down - 0.9) / 0.14) ** 2))
    bulge = BULGE * np.exp(-(((down - 0.45) / 0.3) ** 2))
    light = 1 + (bulge - crease) * arch
    return np.asarray(np.clip((colour + grain) * light[..., None], 0, 255), np.float32)


def _lash_of(photo: Floats, margin: Floats, lid: Floats) -> tuple[Floats, float]:
    """Colour (3,) of the lash line, and its share where it is darkest, as the photo's own open eye shows."""
    axes = _axes(margin)
    grid = np.stack(np.meshgrid(np.arange(photo.shape[1]), np.arange(photo.shape[0])), axis=-1)
    along, height = np.moveaxis(axes(grid.astype(np.float32)), -1, 0)
    over = (height - axes.height(margin, along)) / axes.width
    band = photo[(over > 0) & (over < LASH_BAND) & (along > 0.1 * axes.width) & (along < 0.9 * axes.width)]
    skin = float(np.median(lid.mean(2)))
    if len(band) < 4:
        return lid.mean((0, 1)) * np.float32(0.4), 0.6
    dark = band[band.mean(1) <= np.percentile(band.mean(1), 25)].mean(0)
    contrast = 1 - float(dark.mean()) / max(skin, 1.0)
    return (0.75 * dark).astype(np.float32), float(np.clip(1.3 * contrast, 0.4, 0.9))


def paint_lid(
    out: Image, labels: Image, map_u: Floats, map_v: Floats, lid: Lid, points: Floats, closing: float
) -> None:
    """Show the lid's drawing over what the mesh shows of the photo, and the lashes on its margin.

    labels, map_u, map_v (H, W): what the rasteriser left for `points` (V, 3); closing in [0, 1].
    """
    seen = float(_smoothstep(np.array((closing - SEEN_FROM) / (SEEN_ALL - SEEN_FROM), np.float32)))
    if seen <= 0:
        return
    margin = points[list(lid.upper), :2]
    around = points[list(lid.outline), :2]
    left, top = np.maximum(np.floor(around.min(0)).astype(int) - 2, 0)
    right, bottom = np.minimum(np.ceil(around.max(0)).astype(int) + 3, [out.shape[1], out.shape[0]])
    if right - left < 3 or bottom - top < 3:
        return
    region = np.s_[top:bottom, left:right]
    u, v = map_u[region] - lid.corner[0], map_v[region] - lid.corner[1]
    place = cv2.remap(lid.place, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    share = cv2.blur(place[..., 2] * (labels[region] == SKIN), (3, 3)) * seen
    skin = _looked_up(lid.shut, place)
    target = out[region]
    covered = target + (skin - target) * share[..., None]
    lashes = _lashes(margin - (left, top), lid, closing, share.shape) * min(1.0, 2 * seen)
    target[:] = np.clip(covered + (lid.lash - covered) * lashes[..., None] + 0.5, 0, 255).astype(np.uint8)


def _lashes(margin: Floats, lid: Lid, closing: float, size: tuple[int, ...]) -> Floats:
    """(h, w) share of the lash colour for a lid whose margin (9, 2) is there."""
    axes = _axes(margin)
    at = np.linspace(0, 1, 17)  # from the outer corner to the inner
    knots = np.linspace(0, 1, len(margin))
    line = np.stack([np.interp(at, knots, margin[:, k]) for k in range(2)], axis=1)
    profile = (np.sin(np.pi * np.clip(0.08 + 0.92 * at, 0, 1)) ** 0.6 * (1 - 0.35 * at))[:, None]
    shadow = np.zeros(size, np.uint8)
    upper = line + axes.up * (LASH_WIDTH[0] * axes.width * profile)
    lower = line - axes.up * (LASH_WIDTH[1] * axes.width * profile)
    deep = line - axes.up * (3 * LASH_WIDTH[1] * axes.width * profile)
    cv2.fillPoly(
        shadow, [np.round(np.concatenate([line, deep[::-1]]) * 16).astype(np.int32)], 60, cv2.LINE_AA, 4
    )
    shadow = cv2.GaussianBlur(shadow, (0, 0), max(0.8, 0.04 * axes.width))
    dark = np.zeros(size, np.uint8)
    roots = np.linspace(0.04, 0.86, LASHES)
    length = LASH_LENGTH * axes.width * closing * np.sin(np.pi * (0.2 + 0.75 * roots)) * (1 - 0.4 * roots)
    fan = (0.45 - roots)[:, None] * -axes.along * 1.1 - axes.up
    start = np.stack([np.interp(roots, knots, margin[:, k]) for k in range(2)], axis=1)
    end = start + fan * length[:, None]
    strokes = np.round(np.stack([start, end], axis=1) * 16).astype(np.int32)
    cv2.polylines(dark, list(strokes), False, 130, 1, cv2.LINE_AA, 4)
    cv2.fillPoly(
        dark, [np.round(np.concatenate([upper, lower[::-1]]) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4
    )
    dark = cv2.GaussianBlur(dark, (0, 0), max(0.5, 0.014 * axes.width))
    return np.asarray(np.maximum(dark, shadow) * np.float32(lid.lash_share / 255), np.float32)
