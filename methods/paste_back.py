# SPDX-License-Identifier: MIT
"""The generated head back into its photo: the background is filled in once, the photo's own person is bent
over it so that hair, neck and shoulders follow the head, and the generated crop takes the place of the face.
Knows no network: it is given the generated crop and the person's matte in it.

The crop is placed where the head of the portrait, turned by the driver, would be aligned: a generator that
was trained on aligned faces draws every head in the middle of its picture, upright and of one size. The
photo's person goes along whole from the chin up, less and less below it, and not at all further down.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from face.alignment import crop_transform, ffhq_quad
from face.arrays import Floats, Image
from face.face_model import FACE_OVAL, face_model
from face.matte import background_plate, fill, foreground
from face.motion_vector import HEAD_CENTRE
from face.pose import euler_angles, rotation_matrix

CHIN = 152  # landmark
# In sides of the crop.
MARGIN = 0.3  # what a head cut out as a square needs around it, to move in
# The generated head's mask reaches below the chin and fades over the neck, and ends sooner beside it, where
# collar, shoulders and hair are. Below the chin: whole here, gone there; at the neck, and beside it.
FADE_BELOW = ((0.04, 0.20), (-0.08, 0.05))
NECK, BESIDE = 0.14, 0.26  # from the chin to either side
CROP_WHOLE, CROP_GONE = 0.80, 1.0  # of the way from the crop's middle to its rounded border: where it fades
# How far the person goes along: whole within so much of the chin to either side, above it and at the neck,
# and gone so far beyond.
WHOLE_ABOVE, WHOLE_AT_NECK, GOES_ALONG = 0.45, 0.16, 0.48
BODY_BEHIND = (-0.14, 0.02)  # from the chin: where neck and shoulders show behind what is drawn
# The photo's own hair beyond the crop shows where what is drawn reaches out of it: at so many places of a
# ring so far from the crop's middle, spread over so many on either side. From the chin on it always shows.
PLACES, RING, SPREAD, ALWAYS_FROM = 96, 0.93, 3, (-0.35, -0.10)
AROUND = (np.arange(PLACES)[:, None] + np.arange(-SPREAD, SPREAD + 1)) % PLACES  # (PLACES, 2 SPREAD + 1)
FACE_GROWN = (1.35, 1.08)  # across and down: of the photo's own face, which is taken out, ears and all
HIDE_GROWN = 0.05  # how far around the person's outline the photo is painted over
FAINT = 0.02  # share below which a pixel is not the person's
# Single hairs, which the matte does not hold: thinner than this, within this reach of the person, in sides of
# the crop, and at least by this share on the way from the background to the hair's colour; looked for where
# the background would not be taken for hair by more than that share of it.
HAIR_WIDTH, HAIR_REACH, LEAST_HAIR, LARGEST_HAIR_SHARE = 0.05, 0.35, 0.015, 0.12
MATCH_REACH = 0.09  # blur of the colour match
LARGEST_MATCH = 40.0  # grey levels a colour is corrected by
# A photo that cuts the hair lets the head move this much of the way only, or the cut would move into view.
CUT_ROOM, CUT_SHARE = 0.25, 0.02  # and how much of the canvas's border is cut hair before it counts

Bytes = NDArray[np.uint8]


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
        self._side, self._room = crop_size, 1.0
        to_crop, self._to_photo = crop_transform(self._quad(STILL), crop_size)
        at = to_crop @ np.array([*landmarks[CHIN, :2], 1.0], np.float32) / crop_size
        chin = (float(at[0]), float(at[1]))
        self._along = _goes_along(self.size, to_crop, self._to_photo, crop_size, chin)
        self._photo, self._person = self._taken_apart(photo, alpha, landmarks)
        self._box = _box(self._along[..., 0])
        mirrored = {"borderMode": cv2.BORDER_REFLECT_101}
        self._own = cv2.warpAffine(photo, to_crop, (crop_size, crop_size), **mirrored).astype(np.float32)
        self._own_alpha = cv2.warpAffine(alpha, to_crop, (crop_size, crop_size))
        self._room = _room(alpha, to_crop, crop_size, chin[1])
        self._mask = _inside(crop_size) * _below(crop_size, chin)
        self._drawn = np.zeros((crop_size, crop_size, 4), np.uint8)
        below = np.asarray((np.arange(crop_size) + 0.5) / crop_size - chin[1], np.float32)
        behind = np.broadcast_to(_rise(below, *BODY_BEHIND)[:, None], self._mask.shape)
        self._kept = np.asarray(np.dstack((self._mask, behind, behind, behind)) * 255 + 0.5, np.uint8)
        self._ring = _ring(crop_size)
        self._reached = self._reaches(self._own_alpha)
        self._hangs = _hangs(self._person[..., 3], to_crop, crop_size, chin)
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
        _prepare(crop, self._match, alpha, self._mask, self._drawn)
        to_crop, to_photo = crop_transform(self._quad(move), self._side)
        # Where in the still photo a pixel of the moved head comes from, as a way to go.
        back = _joined(self._to_photo, to_crop) - np.eye(2, 3, dtype=np.float32)
        out = self._photo.copy()
        box = self._box.copy()
        corners = np.array([(0, 0, 1), (self._side, 0, 1), (0, self._side, 1), (self._side,) * 2 + (1,)])
        places = corners @ to_photo.T
        box[:2] = np.minimum(box[:2], np.maximum(np.floor(places.min(0)).astype(int), 0))
        box[2:] = np.maximum(box[2:], np.minimum(np.ceil(places.max(0)).astype(int) + 1, self.size))
        shown = np.minimum((self._reaches(alpha) + 0.05) / (self._reached + 0.05), 1).astype(np.float32)
        _lay_over(
            out, self._person, self._along, back, self._hangs, shown, self._drawn, self._kept, to_crop, box
        )
        return out

    def _reaches(self, alpha: Floats) -> Floats:
        """(PLACES,) how much of the person there is where the crop passes into the photo."""
        line = alpha[self._ring[1], self._ring[0]]
        return np.asarray(line[AROUND].max(1)[AROUND].mean(1))

    def _quad(self, move: HeadMove) -> Floats:
        """(4, 2) the aligned square of the portrait's head, moved."""
        turned = rotation_matrix(*(self._rest + self._room * np.array(move.turn, np.float32)))
        zoom, shift = 1 + self._room * (move.zoom - 1), self._room * np.array(move.shift, np.float32)
        moved = (self._shape @ turned.T)[:, :2] * zoom + shift
        return ffhq_quad(np.asarray(self._scale * moved + self._centre[:2]))

    def _taken_apart(self, photo: Image, alpha: Floats, landmarks: Floats) -> tuple[Image, Bytes]:
        """The photo with background where its person can move, (H, W, 3), and that person without the face,
        (H, W, 4), colour premultiplied by alpha.
        """
        grow = max(3, round(HIDE_GROWN * self._side * float(np.hypot(*self._to_photo[:, 0])))) | 1
        # Fine hair reaches beyond its matte: neither what shows it nor what is filled from it may hold any.
        grown = cv2.dilate(alpha, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (grow, grow)))
        plate = background_plate(photo, np.asarray(grown, np.float32))
        moves = np.clip(4 * self._along[..., 0], 0, 1)
        bare, hairs = _single_hairs(
            photo,
            np.asarray(grown),
            self._along[..., 0] > 0.5,
            self._side * float(np.hypot(*self._to_photo[:, 0])),
        )
        covered = cv2.dilate(
            (grown > FAINT).astype(np.float32), np.ones((3, 3)), iterations=max(1, grow // 4)
        )
        share = (moves * cv2.GaussianBlur(covered, (0, 0), grow / 8))[..., None]
        share = np.maximum(share, (moves * (hairs > 0))[..., None])
        plate = np.where((grown > FAINT)[..., None], plate, bare)
        back = np.clip(photo + (plate.astype(np.float32) - photo) * share + 0.5, 0, 255).astype(np.uint8)
        solid = np.maximum(np.where(alpha < FAINT, 0, alpha), moves * hairs).astype(np.float32)
        person = foreground(photo, solid, back)
        # What lies around the face goes on behind it: neck, hair, or nothing.
        axes = self._to_photo[:, :2] / float(np.hypot(*self._to_photo[:, 0]))  # across and down the head
        oval = landmarks[list(FACE_OVAL), :2]
        oval = oval.mean(0) + (oval - oval.mean(0)) @ axes * np.array(FACE_GROWN) @ axes.T
        around = np.ones(alpha.shape, np.float32)
        cv2.fillConvexPoly(around, cv2.convexHull(np.round(oval).astype(np.int32)), 0.0)
        colour, cover = fill(person[..., :3].astype(np.float32), around), fill(np.dstack([solid] * 3), around)
        faceless = np.dstack((np.minimum(colour, 255 * cover), 255 * cover[..., :1]))
        softly = cv2.GaussianBlur(around, (0, 0), grow / 4)[..., None]
        return back, np.clip(faceless + (person - faceless) * softly + 0.5, 0, 255).astype(np.uint8)


def _joined(second: Floats, first: Floats) -> Floats:
    """(2, 3) one affine map after another."""
    joined = second[:, :2] @ first
    joined[:, 2] += second[:, 2]
    return np.asarray(joined, np.float32)


def _box(field: Floats) -> NDArray[np.int64]:
    """(4,) left, top, right, bottom around what is not 0; empty where all is."""
    columns, rows = np.flatnonzero(field.any(0)), np.flatnonzero(field.any(1))
    if not len(columns):
        return np.array((*field.shape[::-1], 0, 0))
    return np.array((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))


@njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def _prepare(crop: Image, match: Floats, alpha: Floats, mask: Floats, drawn: Bytes) -> None:
    """The crop with its colours matched, times its matte and mask, into `drawn` (S, S, 4): colour, alpha."""
    for y in range(crop.shape[0]):
        for x in range(crop.shape[1]):
            share = alpha[y, x] * mask[y, x]
            for k in range(3):
                value = min(max(np.float32(crop[y, x, k]) + match[y, x, k], np.float32(0)), np.float32(255))
                drawn[y, x, k] = np.uint8(value * share + np.float32(0.5))
            drawn[y, x, 3] = np.uint8(share * np.float32(255) + np.float32(0.5))


@njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def _lay_over(
    out: Image,
    person: Bytes,
    along: Floats,
    back: Floats,
    hangs: Bytes,
    shown: Floats,
    drawn: Bytes,
    kept: Bytes,
    to_crop: Floats,
    box: NDArray[np.int64],
) -> None:
    """Bend `person` (H, W, 4) over `out` (H, W, 3), and where the mask lies, lay `drawn` (S, S, 4) over `out`
    instead. In place, within `box`.

    `along` (H, W, 3) holds a share and what it is of, see _goes_along; `back` is the affine way to go;
    `hangs` (H, W, 3) and `shown` (PLACES,) say how much of the person is seen, and where there is any; `kept`
    (S, S, 4): the mask, and how much of the person is seen behind what is drawn.
    """
    last_x, last_y = np.float32(along.shape[1] - 1.01), np.float32(along.shape[0] - 1.01)
    side = np.float32(drawn.shape[0] - 1.01)
    zero, half, whole, byte = np.float32(0), np.float32(0.5), np.float32(1), np.float32(1 / 255)
    for y in range(box[1], box[3]):
        row = np.float32(y)
        for x in range(box[0], box[2]):
            column = np.float32(x)
            u = to_crop[0, 0] * column + to_crop[0, 1] * row + to_crop[0, 2]
            v = to_crop[1, 0] * column + to_crop[1, 1] * row + to_crop[1, 2]
            red, green, blue, covered, rest = zero, zero, zero, zero, whole
            if u > zero and v > zero and u < side and v < side:
                red, green, blue, covered = _look_up(drawn, u, v)
                # Of the photo's own: beside the mask, and behind what was drawn.
                at_x, at_y = np.uintp(int(u + half)), np.uintp(int(v + half))
                mask = np.float32(kept[at_y, at_x, 0])
                if mask < np.float32(255):  # where it fades, as finely as what is drawn
                    mask = _look_up(kept, u, v)[0]
                behind = np.float32(kept[at_y, at_x, 1]) * byte
                rest = (np.float32(255) - mask + behind * max(mask - covered, zero)) * byte
            if rest > np.float32(0.004):
                share, of_x, of_y = along[y, x, 0], along[y, x, 1], along[y, x, 2]
                u = column + back[0, 0] * of_x + back[0, 1] * of_y + back[0, 2] * share
                v = row + back[1, 0] * of_x + back[1, 1] * of_y + back[1, 2] * share
                u, v = min(max(u, zero), last_x), min(max(v, zero), last_y)
                at_x, at_y = np.uintp(int(u + half)), np.uintp(int(v + half))
                if hangs[at_y, at_x, 2]:
                    own_red, own_green, own_blue, own = _look_up(person, u, v)
                    depends = np.float32(hangs[at_y, at_x, 1]) * byte
                    rest *= whole - depends * (whole - shown[hangs[at_y, at_x, 0]])
                    covered += rest * own
                    red += rest * own_red
                    green += rest * own_green
                    blue += rest * own_blue
            if covered < half:
                continue
            seen = max(whole - covered * byte, zero)  # of what lies behind
            out[y, x, 0] = np.uint8(min(red + seen * np.float32(out[y, x, 0]) + half, np.float32(255)))
            out[y, x, 1] = np.uint8(min(green + seen * np.float32(out[y, x, 1]) + half, np.float32(255)))
            out[y, x, 2] = np.uint8(min(blue + seen * np.float32(out[y, x, 2]) + half, np.float32(255)))


@njit(cache=True, nogil=True, fastmath=True, inline="always")  # type: ignore[untyped-decorator]
def _look_up(picture: Bytes, u: float, v: float) -> tuple[np.float32, ...]:
    """Four channels, bilinear; at least a pixel must lie to the right and below."""
    left, top = int(u), int(v)
    x0, y0 = np.uintp(left), np.uintp(top)  # no index from the end: so numba need not look for one
    x1, y1 = np.uintp(left + 1), np.uintp(top + 1)
    fx, fy = u - np.float32(left), v - np.float32(top)
    d = fx * fy
    b, c = fx - d, fy - d
    a = np.float32(1) - fx - c
    p, q, r, s = picture[y0, x0], picture[y0, x1], picture[y1, x0], picture[y1, x1]
    return (
        a * np.float32(p[0]) + b * np.float32(q[0]) + c * np.float32(r[0]) + d * np.float32(s[0]),
        a * np.float32(p[1]) + b * np.float32(q[1]) + c * np.float32(r[1]) + d * np.float32(s[1]),
        a * np.float32(p[2]) + b * np.float32(q[2]) + c * np.float32(r[2]) + d * np.float32(s[2]),
        a * np.float32(p[3]) + b * np.float32(q[3]) + c * np.float32(r[3]) + d * np.float32(s[3]),
    )


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


def _goes_along(
    size: tuple[int, int], to_crop: Floats, to_photo: Floats, side: int, chin: tuple[float, float]
) -> Floats:
    """(H, W, 3) share of the head's movement by which each pixel of the photo's person moves, and times that
    share the place, x and y, whose movement it is: its own on the head, else the nearest one on it.
    """
    x, y = np.meshgrid(np.arange(size[0], dtype=np.float32), np.arange(size[1], dtype=np.float32))
    across = (to_crop[0, 0] * x + to_crop[0, 1] * y + to_crop[0, 2]) / side - chin[0]
    down = (to_crop[1, 0] * x + to_crop[1, 1] * y + to_crop[1, 2]) / side - chin[1]
    whole = WHOLE_ABOVE + (WHOLE_AT_NECK - WHOLE_ABOVE) * _rise(down, -0.25, 0.05)
    away = np.hypot(np.maximum(np.abs(across) - whole, 0), np.maximum(down + 0.03, 0))
    share = 1 - _rise(away, 0.0, GOES_ALONG)
    column = (np.clip(across, -whole, whole) + chin[0]) * side
    row = (np.minimum(down, -0.03) + chin[1]) * side
    at_x, at_y = (to_photo[k, 0] * column + to_photo[k, 1] * row + to_photo[k, 2] for k in (0, 1))
    return np.dstack((share, share * at_x, share * at_y)).astype(np.float32)


def _single_hairs(
    photo: Image, person: Floats, on_head: NDArray[np.bool_], side: float
) -> tuple[Image, Floats]:
    """The photo without fine lines, (H, W, 3), and how much hair is in each pixel around the person, (H, W).

    `person` is (H, W), `on_head` (H, W) where hairs are looked for; `side` the crop's in pixels of the photo.
    """
    bare = np.asarray(cv2.medianBlur(photo, max(3, round(HAIR_WIDTH * side)) | 1), np.uint8)
    reach = max(3, round(2 * HAIR_REACH * side)) | 1
    near = cv2.dilate(person, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))) > FAINT
    near &= (person <= FAINT) & on_head
    inner = cv2.erode((person > 0.98).astype(np.float32), np.ones((3, 3)))
    to_hair = fill(photo.astype(np.float32), np.asarray(inner, np.float32)) - bare  # (H, W, 3)
    to_pixel = photo.astype(np.float32) - bare
    hair = (to_pixel * to_hair).sum(2) / np.maximum((to_hair**2).sum(2), 30.0**2)
    lines = (hair > LEAST_HAIR) & near
    if np.count_nonzero(lines) > LARGEST_HAIR_SHARE * np.count_nonzero(near):
        return bare, np.zeros(person.shape, np.float32)
    around = cv2.dilate(lines.astype(np.uint8), np.ones((3, 3))) * near
    return bare, np.asarray(np.clip(hair, 1e-3, 1) * around, np.float32)


def _ring(side: int) -> NDArray[np.int64]:
    """(2, PLACES) pixels of the crop, x and y, around its middle."""
    angles = (np.arange(PLACES) + 0.5) * (2 * np.pi / PLACES) - np.pi
    ways = np.array((np.cos(angles), np.sin(angles)))
    ways *= RING / (np.abs(ways) ** 3).sum(0) ** (1 / 3)
    return np.clip((ways + 1) / 2 * side, 0, side - 1).astype(int)


def _hangs(person: Bytes, to_crop: Floats, side: int, chin: tuple[float, float]) -> Bytes:
    """(H, W, 3) the ring's place in whose direction a pixel of the photo lies, by how much of 255 it depends
    on it, and whether there is any of the person (H, W).
    """
    height, width = person.shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    there = cv2.dilate(np.asarray(person > 0, np.uint8), np.ones((3, 3), np.uint8))
    across, down = ((to_crop[k, 0] * x + to_crop[k, 1] * y + to_crop[k, 2]) / side for k in (0, 1))
    place = (np.arctan2(down - 0.5, across - 0.5) + np.pi) * (PLACES / (2 * np.pi))
    depends = 1 - _rise(down - chin[1], *ALWAYS_FROM)
    return np.asarray(np.dstack((np.minimum(place, PLACES - 1), 255 * depends, there)), np.uint8)


def _below(side: int, chin: tuple[float, float]) -> Floats:
    """(side, side) 1 above the fade over the neck, 0 below; `chin` in sides of the crop."""
    at = ((np.arange(side) + 0.5) / side).astype(np.float32)
    masks = []
    for start, end in FADE_BELOW:
        last = min(chin[1] + end, 0.99)
        masks.append(1 - _rise(at, min(chin[1] + start, last - 0.06), last))
    aside = _rise(np.abs(at - chin[0]), NECK, BESIDE)[None]
    return np.asarray(masks[0][:, None] * (1 - aside) + masks[1][:, None] * aside, np.float32)


def _inside(side: int) -> Floats:
    """(side, side) 1 in the middle of the crop, 0 at its border, round at the corners; its lower half is left
    to `_below`.
    """
    at = ((np.arange(side) + 0.5) / side * 2 - 1).astype(np.float32)
    away = (np.abs(at[None]) ** 3 + np.abs(np.minimum(at, 0)[:, None]) ** 3) ** (1 / 3)
    return 1 - _rise(np.asarray(away, np.float32), CROP_WHOLE, CROP_GONE)


def _rise(at: Floats, start: float, end: float) -> Floats:
    """A smooth step from 0 at `start` to 1 at `end`."""
    part = np.clip((at - start) / (end - start), 0, 1)
    return np.asarray(part * part * (3 - 2 * part), np.float32)
