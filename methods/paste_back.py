# SPDX-License-Identifier: MIT
"""The generated head back into its photo: the photo's own background and body stay, the head is laid over.
Knows no network: it is given the generated crop and the person's matte in it.

The crop is placed where the head of the portrait, turned by the driver, would be aligned: a generator that
was trained on aligned faces draws every head in the middle of its picture, upright and of one size. Hair
that reaches beyond the crop is the photo's own and moves along.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from face.alignment import crop_transform, ffhq_quad
from face.arrays import Floats, Image
from face.face_model import face_model
from face.matte import background_plate
from face.motion_vector import HEAD_CENTRE
from face.pose import euler_angles, rotation_matrix

CHIN = 152  # landmark
# In sides of the crop.
MARGIN = 0.3  # of the canvas around the crop, on the left, the top and the right
SEAM = 0.07  # over which the crop passes into the photo's own hair
# The head's mask reaches below the chin and fades over the neck, and ends sooner beside it, where collar and
# shoulders are; what the photo shows of the head itself is painted over less far down, so that its neck stays
# under the fade. Below the chin: whole here, gone there.
Fade = tuple[tuple[float, float], tuple[float, float]]  # at the neck, and beside it
FADE_BELOW: Fade = ((0.04, 0.20), (-0.08, 0.05))
HIDE_BELOW: Fade = ((-0.10, 0.02), (-0.14, 0.00))
NECK, BESIDE = 0.14, 0.26  # from the chin to either side
HIDE_GROWN = 0.05  # how far around the person's outline the photo's head is painted over
MATCH_REACH = 0.09  # blur of the colour match
LARGEST_MATCH = 40.0  # grey levels a colour is corrected by
# A photo that cuts the hair lets the head move this much of the way only, or the cut would move into view.
CUT_ROOM, CUT_SHARE = 0.25, 0.02  # and how much of the canvas's border is cut hair before it counts


@dataclass(frozen=True, slots=True)
class HeadMove:
    """How the driver's head moved against its rest; angles as Motion.rotation."""

    turn: tuple[float, float, float]  # degrees of yaw, pitch, roll
    shift: tuple[float, float]  # of the head's centre, in outer-eye distances, right and down
    zoom: float  # 1 = as near as at rest


STILL = HeadMove((0.0, 0.0, 0.0), (0.0, 0.0), 1.0)


class PasteBack:
    """Composites a generated crop into one photo; not thread-safe, and its result is the caller's own."""

    def __init__(self, photo: Image, alpha: Floats, landmarks: Floats, crop_size: int) -> None:
        self.size = (photo.shape[1], photo.shape[0])
        shape, rotation, self._scale, translation = face_model().unpose(landmarks)
        self._shape = shape - HEAD_CENTRE
        self._rest = euler_angles(rotation)
        self._centre = (self._scale * rotation @ HEAD_CENTRE + translation).astype(np.float32)
        self._side, self._margin, self._room = crop_size, round(MARGIN * crop_size), 1.0
        quad = self._quad(STILL)
        to_crop, to_photo = crop_transform(quad, crop_size)
        at = to_crop @ np.array([*landmarks[CHIN, :2], 1.0], np.float32) / crop_size
        chin = (float(at[0]), float(at[1]))
        self._photo = self._without_head(photo, alpha, self._on_canvas(to_photo), chin)
        # What the canvas holds without a generated crop: the photo's own head.
        width, height = crop_size + 2 * self._margin, crop_size + self._margin
        to_canvas = to_crop.copy()
        to_canvas[:, 2] += self._margin
        own = cv2.warpAffine(photo, to_canvas, (width, height), borderMode=cv2.BORDER_REFLECT_101)
        own_alpha = cv2.warpAffine(alpha, to_canvas, (width, height), borderMode=cv2.BORDER_CONSTANT)
        self._room = _room(alpha, to_crop, crop_size, chin[1])
        head = _below(width, height, (self._margin, self._margin), crop_size, chin, FADE_BELOW)
        self._laid = np.dstack((own, np.clip(own_alpha * head * 255, 0, 255).astype(np.uint8)))
        top, left = self._margin, self._margin
        self._crop = np.s_[top : top + crop_size, left : left + crop_size]
        self._own, self._own_alpha = own[self._crop].astype(np.float32), own_alpha[self._crop]
        self._seam = _inside(crop_size)[..., None]
        # Half a level is added here, since what is blended is cut off to whole ones.
        self._outer = self._laid[self._crop].astype(np.float32) * (1 - self._seam) + 0.5
        self._head = 255 * head[self._crop]
        self._drawn = np.zeros((crop_size, crop_size, 4), np.float32)
        self._match = np.zeros((crop_size, crop_size, 3), np.float32)

    def match_colours(self, crop: Image, alpha: Floats) -> None:
        """Take the generated portrait at rest: what it differs by from the photo, smoothed, is added from now
        on, so that neck and hair meet without an edge.
        """
        weight = np.minimum(alpha, self._own_alpha)  # where both show the person
        reach = MATCH_REACH * self._side
        difference = cv2.GaussianBlur((self._own - crop) * weight[..., None], (0, 0), reach)
        total = cv2.GaussianBlur(weight, (0, 0), reach)
        smooth = difference / np.maximum(total, 0.02)[..., None]
        self._match = np.clip(smooth, -LARGEST_MATCH, LARGEST_MATCH).astype(np.float32)

    def __call__(self, crop: Image, alpha: Floats, move: HeadMove) -> Image:
        """(H, W, 3) uint8: `crop` (S, S, 3) is what was generated, `alpha` (S, S) the person in it."""
        drawn = self._drawn
        np.add(crop, self._match, out=drawn[..., :3])
        np.multiply(alpha, self._head, out=drawn[..., 3])
        drawn *= self._seam
        drawn += self._outer
        np.clip(drawn, 0, 255, out=drawn)
        np.copyto(self._laid[self._crop], drawn, casting="unsafe")
        out = self._photo.copy()
        _, to_photo = crop_transform(self._quad(move), self._side)
        lay_over(out, self._laid, self._on_canvas(to_photo))
        return out

    def _on_canvas(self, to_photo: Floats) -> Floats:
        """(2, 3) from pixels of the canvas, given the way from those of the crop."""
        shifted = to_photo.copy()
        shifted[:, 2] -= to_photo[:, :2] @ np.array((self._margin, self._margin), np.float32)
        return shifted

    def _quad(self, move: HeadMove) -> Floats:
        """(4, 2) the aligned square of the portrait's head, moved."""
        turned = rotation_matrix(*(self._rest + self._room * np.array(move.turn, np.float32)))
        zoom, shift = 1 + self._room * (move.zoom - 1), self._room * np.array(move.shift, np.float32)
        moved = (self._shape @ turned.T)[:, :2] * zoom + shift
        return ffhq_quad(np.asarray(self._scale * moved + self._centre[:2]))

    def _without_head(
        self, photo: Image, alpha: Floats, to_photo: Floats, chin: tuple[float, float]
    ) -> Image:
        """The photo with its background where the head was, down to the chin."""
        side, margin = self._side, self._margin
        # Far beyond the canvas, so that nothing of the head stays above or beside it.
        far = 2 * side
        window = _below(side + 2 * far, side + far, (far, far), side, chin, HIDE_BELOW)
        moved = to_photo.copy()
        moved[:, 2] -= to_photo[:, :2] @ np.array((far - margin, far - margin), np.float32)
        hidden = cv2.warpAffine(window, moved, self.size)
        grow = max(3, round(HIDE_GROWN * side * float(np.hypot(*to_photo[:, 0])))) | 1
        # Fine hair reaches beyond its matte: neither what shows it nor what is filled from it may hold any.
        person = cv2.dilate(alpha, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (grow, grow)))
        plate = background_plate(photo, np.asarray(person, np.float32))
        share = (hidden * cv2.GaussianBlur(person, (0, 0), grow / 8))[..., None]
        painted = photo + (plate.astype(np.float32) - photo) * share
        return np.asarray(np.clip(painted + 0.5, 0, 255), np.uint8)


def lay_over(under: Image, layer: Image, to_under: Floats) -> None:
    """Blend `layer` (h, w, 4), its last channel the share, into `under` (H, W, 3) in place."""
    height, width = layer.shape[:2]
    corners = np.array([(0, 0, 1), (width, 0, 1), (0, height, 1), (width, height, 1)], np.float32)
    places = corners @ to_under.T
    left, top = np.maximum(np.floor(places.min(0)).astype(int), 0)
    right, bottom = np.minimum(np.ceil(places.max(0)).astype(int) + 1, under.shape[1::-1])
    if right <= left or bottom <= top:
        return  # it lies outside the picture
    moved = to_under.copy()
    moved[:, 2] -= (left, top)
    size = (int(right - left), int(bottom - top))
    laid = cv2.warpAffine(layer, moved, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    region = under[top:bottom, left:right]
    share = cv2.merge([laid[..., 3]] * 3).astype(np.float32) * np.float32(1 / 255)
    blended = region + (laid[..., :3].astype(np.float32) - region) * share
    region[:] = np.clip(blended + 0.5, 0, 255).astype(np.uint8)


def _room(alpha: Floats, to_crop: Floats, side: int, chin: float) -> float:
    """How much of its way a head may go: 1, or CUT_ROOM where the photo's border cuts through its hair."""
    height, width = alpha.shape
    x, y = np.arange(width), np.arange(height)
    places = (
        (np.zeros(height), y),
        (np.full(height, width - 1), y),
        (x, np.zeros(width)),
    )
    cut = 0.0
    for column, row in places:
        at = np.column_stack((column, row, np.ones(len(row)))) @ to_crop.T / side  # in sides of the crop
        near = (at[:, 0] > -MARGIN) & (at[:, 0] < 1 + MARGIN) & (at[:, 1] > -MARGIN) & (at[:, 1] < chin)
        cut += float(alpha[row.astype(int), column.astype(int)][near].sum()) * float(np.hypot(*to_crop[:, 0]))
    return CUT_ROOM if cut / side > CUT_SHARE else 1.0


def _below(
    width: int, height: int, origin: tuple[int, int], side: int, chin: tuple[float, float], fade: Fade
) -> Floats:
    """(height, width) 1 above the fade, 0 below; `origin` is where the crop lies, `chin` in its sides."""
    y = ((np.arange(height) + 0.5 - origin[1]) / side).astype(np.float32)
    x = np.abs((np.arange(width) + 0.5 - origin[0]) / side - chin[0]).astype(np.float32)
    masks = []
    for start, end in fade:
        last = min(chin[1] + end, 0.99)
        masks.append(1 - _rise(y, min(chin[1] + start, last - 0.06), last))
    aside = _rise(x, NECK, BESIDE)[None]
    return np.asarray(masks[0][:, None] * (1 - aside) + masks[1][:, None] * aside, np.float32)


def _inside(side: int) -> Floats:
    """(side, side) 1 inside the crop, 0 at its left, top and right border."""
    at = ((np.arange(side) + 0.5) / side).astype(np.float32)
    rise = _rise(at, 0.0, SEAM)
    return np.asarray(rise[:, None] * (rise * rise[::-1])[None], np.float32)


def _rise(at: Floats, start: float, end: float) -> Floats:
    """A smooth step from 0 at `start` to 1 at `end`."""
    part = np.clip((at - start) / (end - start), 0, 1)
    return np.asarray(part * part * (3 - 2 * part), np.float32)
