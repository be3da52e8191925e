# SPDX-License-Identifier: MIT
"""Slow twins of the rasteriser, in double precision over whole pictures."""

import numpy as np
from numpy.typing import NDArray

from face.arrays import Floats
from face.raster import EDGE_SLACK, EMPTY, FARTHEST, Bytes


def rasterise_reference(
    points: Floats,
    texture_points: Floats,
    triangles: NDArray[np.int32],
    labels: Bytes,
    map_u: Floats,
    map_v: Floats,
    depth: Floats,
    label_map: Bytes,
) -> None:
    """Slow twin of `rasterise`: whole-picture masks, one triangle after the other."""
    ys, xs = np.mgrid[0 : depth.shape[0], 0 : depth.shape[1]].astype(np.float64)
    depth[:] = FARTHEST
    label_map[:] = EMPTY
    for triangle, label in zip(triangles, labels, strict=True):
        (ax, ay, az), b, c = points[triangle].astype(np.float64)
        edges = np.array([[b[0] - ax, c[0] - ax], [b[1] - ay, c[1] - ay]])
        area = np.linalg.det(edges)
        if abs(area) < 1e-9 or (area < 0 and label % 2 == 1):
            continue
        weight_b, weight_c = np.tensordot(np.linalg.inv(edges), np.stack([xs - ax, ys - ay]), 1)
        z = az + weight_b * (b[2] - az) + weight_c * (c[2] - az)
        inside = (
            (weight_b >= -EDGE_SLACK) & (weight_c >= -EDGE_SLACK) & (weight_b + weight_c <= 1 + EDGE_SLACK)
        )
        seen = inside & (z < depth)
        uv = texture_points[triangle].astype(np.float64)
        depth[seen] = z[seen]
        label_map[seen] = label
        map_u[seen] = (uv[0, 0] + weight_b * (uv[1, 0] - uv[0, 0]) + weight_c * (uv[2, 0] - uv[0, 0]))[seen]
        map_v[seen] = (uv[0, 1] + weight_b * (uv[1, 1] - uv[0, 1]) + weight_c * (uv[2, 1] - uv[0, 1]))[seen]


def composite_reference(
    texture: Bytes, background: Bytes, map_u: Floats, map_v: Floats, label_map: Bytes, out: Bytes
) -> None:
    """Slow twin of `composite`."""
    u = np.clip(map_u.astype(np.float64), 0, texture.shape[1] - 1)
    v = np.clip(map_v.astype(np.float64), 0, texture.shape[0] - 1)
    x0, y0 = u.astype(int), v.astype(int)
    x1, y1 = np.minimum(x0 + 1, texture.shape[1] - 1), np.minimum(y0 + 1, texture.shape[0] - 1)
    fx, fy = (u - x0)[..., None], (v - y0)[..., None]
    t = texture.astype(np.float64)
    top = t[y0, x0] * (1 - fx) + t[y0, x1] * fx
    bottom = t[y1, x0] * (1 - fx) + t[y1, x1] * fx
    looked_up = top * (1 - fy) + bottom * fy
    mixed = looked_up[..., :3] + (1 - looked_up[..., 3:] / 255) * background
    covered = (label_map != EMPTY)[..., None]
    out[:] = np.where(covered, np.minimum(mixed + 0.5, 255), background).astype(np.uint8)
