# SPDX-License-Identifier: MIT
"""A photo's head as a mesh that can be posed: tracked face, hair, neck and surroundings. Knows no pixel
values.

Every vertex has a rest position in the photo (pixels, with depth in the same unit), a head weight (1 moves
with the head, 0 stays) and a carrier landmark whose expression it follows softly.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from face.arrays import Floats
from face.face_model import (
    FACE_OVAL,
    LEFT_EYE_LOWER,
    LEFT_EYE_UPPER,
    LIPS_INNER_LOWER,
    LIPS_INNER_UPPER,
    RIGHT_EYE_LOWER,
    RIGHT_EYE_UPPER,
    SURFACE,
    FaceModel,
)
from face.matte import drawn_inside

# Labels of triangles; odd ones are culled when they turn their back (face/raster.py).
SKIN, SURROUND, RIGHT_EYE, LEFT_EYE, MOUTH = 1, 2, 3, 5, 7

# In the model's frame (unit: outer eye distance; y down, z away from the camera).
PIVOT = np.array([0.0, 0.62, 0.62], np.float32)  # where skull and neck turn
SILHOUETTE_Z = (
    0.62  # depth of hair and ears at the outline: near the pivot, so that turning hardly moves them
)
NECK_Z = 0.45
VIEW_DISTANCE = 6.5  # camera to pivot; a webcam at arm's length
RINGS = (1.07, 1.16, 1.3, 1.5, 1.8, 2.2)  # circles of vertices around the face oval, in oval sizes
SPACING = 0.42  # of the grid beyond them
MARGIN = 0.35  # the mesh reaches beyond the photo by this share of its side, with the border's colours


@dataclass(frozen=True, slots=True)
class HeadRig:
    """The rest pose; all arrays read-only, V = 468 face vertices first, then the surroundings."""

    rest: Floats  # (V, 3) pixels of the photo
    shape: Floats  # (V, 3) the same in the model's frame
    triangles: NDArray[np.int32]  # (T, 3)
    labels: NDArray[np.uint8]  # (T,)
    head_weight: Floats  # (V,) 1 = turns with the head, 0 = stays
    shift_weight: Floats  # (V,) as head_weight, for shifts: shoulders sway along a little
    carrier: NDArray[np.int32]  # (V,) landmark whose expression offset a vertex follows
    carry: Floats  # (V,) by how much, 1 for the landmarks themselves
    rotation: Floats  # (3, 3) head rotation in the photo
    scale: float  # pixels per outer eye distance
    translation: Floats  # (3,)
    landmarks: Floats  # (478, 3) pixels
    face_shape: Floats  # (478, 3) model's frame, irises included

    def pose(self, offsets: Floats, turn: Floats, shift: NDArray[np.floating], zoom: float) -> Floats:
        """Vertices (V, 3) in pixels for a motion away from rest.

        offsets (468, 3) expression, model's frame; turn (3, 3) rotation on top of the photo's own; shift
        (2,) of the pivot in outer eye distances; zoom factor of the head's size.
        """
        moved = self.shape + offsets[self.carrier] * self.carry[:, None]
        weights = (self.head_weight, self.shift_weight)
        return self._place(moved, self.shape, weights, turn, shift, zoom)

    def place(self, points: Floats, turn: Floats, shift: NDArray[np.floating], zoom: float) -> Floats:
        """(N, 3) pixels of points (N, 3) fixed to the skull, model's frame, for the same motion."""
        ones = np.ones(len(points), np.float32)
        return self._place(points, points, (ones, ones), turn, shift, zoom)

    def at_rest(self, points: Floats) -> Floats:
        """(N, 3) pixels of points (N, 3) fixed to the skull, as the photo shows them."""
        return self.place(points, np.eye(3, dtype=np.float32), np.zeros(2, np.float32), 1.0)

    def _place(
        self,
        moved: Floats,
        rest: Floats,
        weights: tuple[Floats, Floats],
        turn: Floats,
        shift: NDArray[np.floating],
        zoom: float,
    ) -> Floats:
        about_pivot = (moved - PIVOT) @ (turn @ self.rotation).T
        at_rest = (rest - PIVOT) @ self.rotation.T
        # what comes nearer to the camera grows; 1 at rest, whatever perspective the photo has
        perspective = (VIEW_DISTANCE + at_rest[:, 2]) / (VIEW_DISTANCE + about_pivot[:, 2])
        turned = about_pivot * (zoom * perspective)[:, None]
        placed = at_rest + (turned - at_rest) * weights[0][:, None]
        placed[:, :2] += shift * weights[1][:, None]
        pivot_px = self.scale * self.rotation @ PIVOT + self.translation
        return np.asarray(placed * self.scale + pivot_px, np.float32)


def build_rig(landmarks: Floats, alpha: Floats, model: FaceModel) -> HeadRig:
    """Rig of a photo with matte alpha (H, W), whose face has `landmarks` (478, 3) in its pixels."""
    face_shape, rotation, scale, translation = model.unpose(landmarks)
    size = (alpha.shape[1], alpha.shape[0])
    outer, carrier, carry = _surroundings(landmarks, face_shape, rotation, scale, translation, size)
    rest = np.concatenate([landmarks[:SURFACE], outer]).astype(np.float32)
    rest[:SURFACE, :2] = drawn_inside(rest[:SURFACE, :2], alpha)
    shape = ((rest - translation) @ rotation / scale).astype(np.float32)
    triangles, labels = _triangles(rest, model)
    head_weight, shift_weight = _weights(shape)
    head_weight[:SURFACE] = 1.0
    shift_weight[:SURFACE] = 1.0
    return HeadRig(
        rest=rest,
        shape=shape,
        triangles=triangles,
        labels=labels,
        head_weight=head_weight,
        shift_weight=shift_weight,
        carrier=np.concatenate([np.arange(SURFACE), carrier]).astype(np.int32),
        carry=np.concatenate([np.ones(SURFACE), carry]).astype(np.float32),
        rotation=rotation,
        scale=scale,
        translation=translation,
        landmarks=landmarks,
        face_shape=face_shape,
    )


def _smoothstep(x: NDArray[np.floating]) -> Floats:
    t = np.clip(x, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def _surroundings(
    landmarks: Floats,
    face_shape: Floats,
    rotation: Floats,
    scale: float,
    translation: Floats,
    size: tuple[int, int],
) -> tuple[Floats, NDArray[np.int32], Floats]:
    """(N, 3) vertices outside the face oval, and which landmark each follows (N,), and how far (N,)."""
    oval = np.array(FACE_OVAL)
    centre = landmarks[oval, :2].mean(0)
    spokes = landmarks[oval, :2] - centre
    rings = np.concatenate([centre + spokes * ring for ring in RINGS])
    step = SPACING * scale
    width, height = size
    xs = np.arange(-MARGIN * width, (1 + MARGIN) * width + step, step)
    ys = np.arange(-MARGIN * height, (1 + MARGIN) * height + step, step)
    grid = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    border = (centre + spokes * (RINGS[-1] + 0.12)).astype(np.float32)
    beyond = [cv2.pointPolygonTest(border, (float(x), float(y)), False) < 0 for x, y in grid]
    points = np.concatenate([rings, grid[np.array(beyond)]])

    distance = np.linalg.norm(points[:, None] - landmarks[None, oval, :2], axis=2) / scale  # (N, 36)
    nearest = distance.argmin(1)
    carry = np.exp(-((distance.min(1) / 0.28) ** 2))
    # depth: from the oval's own to the outline's within a third of a face, to the neck's below the chin
    upright = ((points - translation[:2]) / scale) @ rotation[:2, :2]  # close enough for a depth profile
    below = _smoothstep((upright[:, 1] - 0.95) / 0.35)
    target = SILHOUETTE_Z + (NECK_Z - SILHOUETTE_Z) * below
    reach = 0.4 - 0.15 * below
    away = _smoothstep(distance.min(1) / reach)
    depth = face_shape[oval[nearest], 2] * (1 - away) + target * away
    # pixel depth so that unposing gives that model depth, with x and y kept: solve the third row for z
    xy = (points - translation[:2]) / scale
    z = (depth - xy @ rotation[:2, 2]) / rotation[2, 2]
    outer = np.column_stack([points, z * scale + translation[2]])
    return outer.astype(np.float32), oval[nearest].astype(np.int32), carry.astype(np.float32)


def _triangles(rest: Floats, model: FaceModel) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Face triangles with labels, joined to a Delaunay triangulation of everything outside the oval."""
    face = (
        model.triangles[:, [0, 2, 1]]
        if _signed_area(model.mean, model.triangles).mean() < 0
        else model.triangles
    )
    labels = np.full(len(face), SKIN, np.uint8)
    for ring, label in (
        ({*RIGHT_EYE_UPPER, *RIGHT_EYE_LOWER}, RIGHT_EYE),
        ({*LEFT_EYE_UPPER, *LEFT_EYE_LOWER}, LEFT_EYE),
        ({*LIPS_INNER_UPPER, *LIPS_INNER_LOWER}, MOUTH),
    ):
        labels[np.isin(face, list(ring)).all(1)] = label
    members = np.concatenate([np.array(FACE_OVAL), np.arange(SURFACE, len(rest))])
    points = rest[members, :2]
    low, high = np.floor(points.min(0)) - 1, np.ceil(points.max(0)) + 1
    subdivision = cv2.Subdiv2D(
        (int(low[0]), int(low[1]), int(high[0] - low[0]) + 1, int(high[1] - low[1]) + 1)
    )
    where: dict[tuple[float, float], int] = {}
    for member, (x, y) in zip(members, points.astype(np.float32), strict=True):
        subdivision.insert((float(x), float(y)))
        where[float(x), float(y)] = int(member)
    oval = rest[list(FACE_OVAL), :2].astype(np.float32)
    outer = []
    for corners in np.asarray(subdivision.getTriangleList()).reshape(-1, 3, 2):
        indices = [where.get((float(x), float(y))) for x, y in corners]
        middle = corners.mean(0)
        if None in indices or cv2.pointPolygonTest(oval, (float(middle[0]), float(middle[1])), False) > 0:
            continue
        outer.append(indices)
    surround = np.array(outer, np.int32)
    triangles = np.concatenate([face, surround]).astype(np.int32)
    return triangles, np.concatenate([labels, np.full(len(surround), SURROUND, np.uint8)])


def _signed_area(points: Floats, triangles: NDArray[np.int32]) -> Floats:
    a, b, c = (points[triangles[:, k], :2] for k in range(3))
    return np.asarray((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0])


def _weights(shape: Floats) -> tuple[Floats, Floats]:
    """Head weight and shift weight (V,): the neck twists from the chin down, the shoulders stay but sway a
    little.
    """
    below_chin = shape[:, 1] - 1.2 + 0.5 * np.maximum(np.abs(shape[:, 0]) - 0.75, 0)
    head = 1 - _smoothstep(below_chin / 0.85)
    return head, np.maximum(head, 0.3)
