# SPDX-License-Identifier: MIT
"""The inside of a mouth: the photo's own teeth where it shows some, painted teeth, tongue and cavity
elsewhere.

Knows no tracker. Upper teeth are fixed to the skull, lower teeth and tongue to the jaw, so opening the mouth
uncovers them instead of stretching them; their light is taken from the photo.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from face.arrays import Floats
from face.face_model import LIPS_INNER_LOWER, LIPS_INNER_UPPER, LIPS_OUTER_LOWER, LIPS_OUTER_UPPER
from methods.mesh.rig import MOUTH, HeadRig

Bytes = NDArray[np.uint8]

# Sizes in outer eye distances (about 90 mm), tooth by tooth from the middle outwards.
UPPER_WIDTHS = (0.092, 0.072, 0.078, 0.066, 0.058, 0.05)
UPPER_HEIGHTS = (0.112, 0.098, 0.106, 0.09, 0.08, 0.07)
LOWER_WIDTHS = (0.056, 0.06, 0.068, 0.066, 0.058, 0.05)
LOWER_HEIGHTS = (0.085, 0.087, 0.092, 0.08, 0.07, 0.06)
HALF_WIDTH, HALF_HEIGHT = 0.42, 0.34  # of the painted pictures
BEHIND_LIPS = 0.07  # depth of the teeth
CHEEKS = (50, 280, 205, 425, 101, 330, 117, 346)  # landmarks
IVORY = np.array([1.05, 1.0, 0.93], np.float32)
OPEN_AT_REST = 0.02  # a photo whose lips are this far apart shows its own teeth
FRAME = np.array([[0, 0, 0], [0.2, 0, 0], [0, 0.2, 0]], np.float32)  # a corner and two axes
UPPER_SHOWN = 0.03  # of the upper teeth below the lip line when the upper lip is at rest
LOWER_FRAME = np.array(
    [0, 0.012, 0.02], np.float32
)  # lower teeth at rest against the upper: behind their edge
JAW_SHARE = 0.9  # of the chin's sideways shift that the lower teeth follow
GRIN = 0.06  # of a chin's drop that is skin, not jaw


@dataclass(frozen=True, slots=True)
class Mouth:
    """Pictures of the inside, premultiplied (h, w, 4) float32 0..255, centred on the closed lip line."""

    upper: Floats  # teeth and gum, fixed to the skull
    lower: Floats  # tongue, teeth and gum, fixed to the jaw
    pixels_per_unit: float  # of both
    centre: Floats  # (3,) the lip line's middle behind the lips, model's frame
    cavity: Floats  # (3,) darkest colour
    photo: Floats | None  # (h, w, 4) what the photo shows between its lips, premultiplied
    teeth_only: Floats | None  # (h, w, 4) the same without the rims of the lips
    photo_frame: Floats  # (3, 2) where FRAME around the centre lies in that picture


def build_mouth(image: Bytes, rig: HeadRig, white: Floats) -> Mouth:
    """Mouth of the photo (H, W, 3); `white` (3,) is what white looks like in its light (the eye's white)."""
    upper, lower = rig.face_shape[list(LIPS_INNER_UPPER)], rig.face_shape[list(LIPS_INNER_LOWER)]
    gap = float((lower[:, 1] - upper[:, 1])[3:8].mean())
    # biting edge of the upper teeth: just below closed lips; parted lips hide it behind the lower one
    edge = upper[5, 1] + UPPER_SHOWN if gap < OPEN_AT_REST else min(lower[5, 1] + 0.015, upper[5, 1] + 0.11)
    centre = np.array([(upper[0, 0] + upper[-1, 0]) / 2, edge, upper[5, 2] + BEHIND_LIPS], np.float32)
    photo, origin = _photo_teeth(image, rig, gap)
    teeth_only = None if photo is None else _without_lips(photo)
    photo_frame = (rig.at_rest(centre + FRAME)[:, :2] - origin).astype(np.float32)
    lips = _lip_colour(image, rig)
    tooth = _tooth_colour(photo, white, _cheek_colour(image, rig))
    resolution = float(np.clip(rig.scale, 60, 600))
    light = float(white.mean()) / 255
    gum = lips * np.array([0.92, 0.72, 0.72], np.float32)
    tongue = np.clip(lips * np.array([0.95, 0.72, 0.70], np.float32), 20, 215)
    upper_picture = _teeth(UPPER_WIDTHS, UPPER_HEIGHTS, tooth, gum, resolution, pointing_down=True)
    lower_picture = _over(
        _teeth(LOWER_WIDTHS, LOWER_HEIGHTS, tooth * 0.86, gum * 0.8, resolution, pointing_down=False),
        _tongue(tongue, resolution),
    )
    cavity = np.array([46, 18, 16], np.float32) * (0.35 + 0.65 * light)
    return Mouth(upper_picture, lower_picture, resolution, centre, cavity, photo, teeth_only, photo_frame)


def paint_mouth(
    out: Bytes,
    label_map: Bytes,
    mouth: Mouth,
    rig: HeadRig,
    turn: Floats,
    shift: Floats,
    zoom: float,
    jaw: Floats,
    parted: float,
) -> None:
    """Fill where `label_map` shows the gap between the lips; jaw (2,) is the chin's offset and `parted` how
    much farther than at rest the lips are apart, both in the model's frame.
    """
    seen = label_map == MOUTH
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    if len(rows) == 0:
        return
    top, bottom = max(rows[0] - 3, 0), min(rows[-1] + 4, out.shape[0])
    left, right = max(columns[0] - 3, 0), min(columns[-1] + 4, out.shape[1])
    size = (right - left, bottom - top)
    mask = seen[top:bottom, left:right].astype(np.float32)

    skull = rig.place(mouth.centre + FRAME, turn, shift, zoom)[:, :2] - (left, top)
    # a grin pulls the chin's skin down before the jaw opens
    dropped = max(jaw[1] - GRIN, 0.25 * jaw[1])
    drop = np.array([jaw[0] * JAW_SHARE, dropped, 0], np.float32) + LOWER_FRAME
    jawbone = rig.place(mouth.centre + FRAME + drop, turn, shift, zoom)[:, :2] - (left, top)
    upper = _warp(mouth.upper, mouth.pixels_per_unit, skull, size)
    lower = _warp(mouth.lower, mouth.pixels_per_unit, jawbone, size)
    inside = _over(upper, _over(lower, _solid(mouth.cavity, mask.shape)))[..., :3]

    reach = max(1.0, 0.05 * rig.scale * zoom)
    openness = cv2.GaussianBlur(mask, (0, 0), reach, borderType=cv2.BORDER_CONSTANT)
    inside *= (0.55 + 0.45 * np.clip((openness - 0.25) / 0.5, 0, 1))[..., None]
    if mouth.photo is not None and mouth.teeth_only is not None:
        share = float(np.clip(parted / 0.04, 0, 1))  # the rims belong to the lips as soon as those move away
        shown = mouth.photo * (1 - share) + mouth.teeth_only * share
        inside = _over(_carry(shown, mouth, skull, size), inside)
    alpha = cv2.blur(mask, (3, 3), borderType=cv2.BORDER_CONSTANT)[..., None]
    target = out[top:bottom, left:right]
    target[:] = np.clip(target + (inside - target) * alpha + 0.5, 0, 255).astype(np.uint8)


def _carry(photo: Floats, mouth: Mouth, skull: Floats, size: tuple[int, int]) -> Floats:
    """The photo's own teeth moved as the skull moves, (h, w, 4) in a region of `size` where `skull` holds."""
    affine = cv2.getAffineTransform(mouth.photo_frame, skull.astype(np.float32))
    return np.asarray(cv2.warpAffine(photo, affine, size), np.float32)


def _warp(picture: Floats, pixels_per_unit: float, frame: Floats, size: tuple[int, int]) -> Floats:
    """`picture` drawn so that its centre and axes (0.2 units each) fall on the three points `frame` (3,
    2).
    """
    middle = np.array([picture.shape[1] / 2 - 0.5, picture.shape[0] / 2 - 0.5], np.float32)
    step = 0.2 * pixels_per_unit
    corners = middle + np.array([[0, 0], [step, 0], [0, step]], np.float32)
    affine = cv2.getAffineTransform(corners.astype(np.float32), frame.astype(np.float32))
    return np.asarray(cv2.warpAffine(picture, affine, size, flags=cv2.INTER_LINEAR), np.float32)


def _over(front: Floats, back: Floats) -> Floats:
    """Premultiplied (h, w, 4) over (h, w, 3 or 4)."""
    clear = 1 - front[..., 3:] / 255
    return np.asarray(front[..., : back.shape[2]] + back * clear, np.float32)


def _solid(colour: Floats, shape: tuple[int, ...]) -> Floats:
    return np.broadcast_to(np.append(colour, 255).astype(np.float32), (*shape, 4)).copy()


def _canvas(resolution: float) -> tuple[Floats, Floats]:
    """x, y (h, w) of pixel centres in units around the middle."""
    width, height = int(2 * HALF_WIDTH * resolution), int(2 * HALF_HEIGHT * resolution)
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    return (xs - width / 2 + 0.5) / resolution, (ys - height / 2 + 0.5) / resolution


def _teeth(
    widths: tuple[float, ...],
    heights: tuple[float, ...],
    colour: Floats,
    gum: Floats,
    resolution: float,
    *,
    pointing_down: bool,
) -> Floats:
    """A row of teeth whose biting edge lies on the middle line, premultiplied (h, w, 4)."""
    x, y = _canvas(resolution)
    if not pointing_down:
        y = -y
    blur = 1.2 / resolution
    picture = np.zeros((*x.shape, 4), np.float32)
    edge = 0
    at = 0.0
    fade = np.clip(1.06 - 1.15 * np.abs(x / 0.4) ** 1.7, 0.12, 1)  # the row curves back into the dark
    gum_alpha = np.clip((-0.075 - 0.25 * x**2 - y) / 0.03, 0, 1) * (np.abs(x) < 0.4) * (y > -HALF_HEIGHT)
    picture = _layer(picture, gum * 0.85, gum_alpha * 0.9, fade)
    for width, height in zip(widths, heights, strict=True):
        narrow = width * np.sqrt(max(1 - (at / 0.42) ** 2, 0.25))
        for side in (-1, 1):
            middle = side * (at + narrow / 2)
            rise = 0.10 * middle * middle / 0.16 + (0.006 if edge == 1 else 0.0)  # the arch, shorter laterals
            across = np.abs(x - middle) / (narrow / 2)
            along = (-(y + rise)) / height  # 0 at the biting edge, 1 at the gum
            corner = 0.16 * np.clip((across - 0.55) / 0.45, 0, 1) ** 2 * height
            inside_x = np.clip((1 - across) * narrow / 2 / blur + 0.35, 0, 1)
            inside_y = np.clip((-(y + rise) - corner) / blur + 0.5, 0, 1) * np.clip(
                (1 - along) * height / blur, 0, 1
            )
            tone = (1 - 0.16 * across**2.2) * (0.9 + 0.12 * np.sin(np.clip(along, 0, 1) * np.pi))
            picture = _layer(picture, colour, inside_x * inside_y, tone * fade)
        at += narrow
        edge += 1
    return picture


def _tongue(colour: Floats, resolution: float) -> Floats:
    """A tongue lying behind the lower teeth, premultiplied (h, w, 4)."""
    x, y = _canvas(resolution)
    level = (x / 0.24) ** 2 + ((y - 0.085) / 0.15) ** 2
    alpha = np.clip((1 - level) * 4, 0, 1)
    groove = 1 - 0.18 * np.exp(-((x / 0.02) ** 2))
    tone = np.clip(0.45 + 0.65 * np.clip(1 - level, 0, 1) ** 0.7, 0, 1) * groove
    return _layer(np.zeros((*x.shape, 4), np.float32), colour, alpha, tone)


def _layer(below: Floats, colour: Floats, alpha: NDArray[np.floating], tone: NDArray[np.floating]) -> Floats:
    front = np.concatenate([colour * (tone * alpha)[..., None], 255 * alpha[..., None]], axis=2)
    return _over(np.asarray(front, np.float32), below)


def _photo_teeth(image: Bytes, rig: HeadRig, gap: float) -> tuple[Floats | None, Floats]:
    """What shows between parted lips, feathered, and its place; None for closed lips."""
    ring = rig.landmarks[[*LIPS_INNER_UPPER, *LIPS_INNER_LOWER[-2:0:-1]], :2]
    if gap < OPEN_AT_REST:
        return None, np.zeros(2, np.float32)
    low = np.maximum(np.floor(ring.min(0)).astype(int) - 6, 0)
    high = np.minimum(np.ceil(ring.max(0)).astype(int) + 7, [image.shape[1], image.shape[0]])
    mask = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
    cv2.fillPoly(mask, [np.round((ring - low) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    inside = cv2.distanceTransform((mask > 127).astype(np.uint8), cv2.DIST_L2, 3)
    outside = cv2.distanceTransform((mask <= 127).astype(np.uint8), cv2.DIST_L2, 3)
    alpha = np.clip((inside - outside + 1.5) / 2, 0, 1)[..., None]
    colour = image[low[1] : high[1], low[0] : high[0]].astype(np.float32)
    return np.concatenate([colour * alpha, 255 * alpha], axis=2).astype(np.float32), low.astype(np.float32)


def _without_lips(photo: Floats) -> Floats:
    """The picture (h, w, 4) less what is coloured like lips or gums."""
    brightest, darkest = photo[..., :3].max(2), photo[..., :3].min(2)
    saturation = (brightest - darkest) / np.maximum(brightest, 1)
    red = np.clip((saturation - 0.28) / 0.12, 0, 1) * np.clip((brightest - 60) / 30, 0, 1)
    keep = 1 - cv2.GaussianBlur(red.astype(np.float32), (3, 3), 0)
    return np.asarray(photo * keep[..., None], np.float32)


def _tooth_colour(photo: Floats | None, white: Floats, cheek: Floats) -> Floats:
    """(3,) colour of teeth: the photo's own if it shows enough of them, else a warm white of its light."""
    # lids shade the eye's white, not teeth; in light skin the cheek tells the light better
    guess = IVORY * np.clip(max(1.35 * float(white.mean()), 0.92 * float(cheek.mean())), 80, 232)
    if photo is None:
        return np.asarray(guess, np.float32)
    shown = photo[photo[..., 3] > 250][:, :3]
    pale = shown[(shown.min(1) > 0.72 * shown.max(1)) & (shown.mean(1) > 0.6 * guess.mean())]
    if len(pale) < 12:
        return np.asarray(guess, np.float32)
    own = pale[pale.mean(1) >= np.percentile(pale.mean(1), 60)].mean(0)
    return np.asarray((own + IVORY * own.mean()) / 2, np.float32)  # wet gums redden what is read as teeth


def _cheek_colour(image: Bytes, rig: HeadRig) -> Floats:
    points = np.round(rig.landmarks[list(CHEEKS), :2]).astype(int)
    xs = np.clip(points[:, 0], 0, image.shape[1] - 1)
    ys = np.clip(points[:, 1], 0, image.shape[0] - 1)
    return np.asarray(np.percentile(image[ys, xs].astype(np.float32), 70, axis=0), np.float32)


def _lip_colour(image: Bytes, rig: HeadRig) -> Floats:
    between = (
        rig.landmarks[list(LIPS_OUTER_LOWER[3:8]), :2] + rig.landmarks[list(LIPS_INNER_LOWER[3:8]), :2]
    ) / 2
    above = (
        rig.landmarks[list(LIPS_OUTER_UPPER[3:8]), :2] + rig.landmarks[list(LIPS_INNER_UPPER[3:8]), :2]
    ) / 2
    points = np.round(np.concatenate([between, above])).astype(int)
    xs = np.clip(points[:, 0], 0, image.shape[1] - 1)
    ys = np.clip(points[:, 1], 0, image.shape[0] - 1)
    return np.asarray(np.median(image[ys, xs].astype(np.float32), axis=0), np.float32)
