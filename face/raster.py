# SPDX-License-Identifier: MIT
"""Triangles to pixels: a depth-tested rasteriser and the soft composite over a background. Knows nothing of
faces.

Pixel (x, y) is sampled at its centre, whose coordinate is (x, y) itself, so that a mesh at rest gives every
pixel back.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from face.arrays import Floats

Bytes = NDArray[np.uint8]
EMPTY = 0  # label of a pixel no triangle covers
FARTHEST = np.float32(1e30)  # depth of a pixel no triangle covers; finite, as fast maths knows no infinity
EDGE_SLACK = 1e-4  # in barycentric units: neighbours must leave no crack between them


@njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def rasterise(
    points: Floats,
    texture_points: Floats,
    triangles: NDArray[np.int32],
    labels: Bytes,
    map_u: Floats,
    map_v: Floats,
    depth: Floats,
    label_map: Bytes,
) -> None:
    """Fill the four (H, W) outputs with what the nearest triangle shows at each pixel.

    points (V, 3): x, y in pixels, z away from the viewer, any unit; texture_points (V, 2): pixels of the
    texture;
    triangles (T, 3); labels (T,) above 0. Culled: triangles that turn their back (counter-clockwise on
    screen, y down) when their label is odd; those with an even label show both sides.
    """
    height, width = depth.shape
    depth[:] = FARTHEST
    label_map[:] = EMPTY
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay, az = points[a, 0], points[a, 1], points[a, 2]
        bx, by, bz = points[b, 0], points[b, 1], points[b, 2]
        cx, cy, cz = points[c, 0], points[c, 1], points[c, 2]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if abs(area) < 1e-9 or (area < 0 and labels[t] % 2 == 1):
            continue
        left = max(0, int(np.ceil(min(ax, bx, cx) - EDGE_SLACK)))
        right = min(width - 1, int(np.floor(max(ax, bx, cx) + EDGE_SLACK)))
        top = max(0, int(np.ceil(min(ay, by, cy) - EDGE_SLACK)))
        bottom = min(height - 1, int(np.floor(max(ay, by, cy) + EDGE_SLACK)))
        inverse = 1.0 / area
        step_b = (cy - ay) * inverse  # change of the weight of b for one pixel to the right
        step_c = -(by - ay) * inverse
        au, av = texture_points[a, 0], texture_points[a, 1]
        bu, bv = texture_points[b, 0] - au, texture_points[b, 1] - av
        cu, cv = texture_points[c, 0] - au, texture_points[c, 1] - av
        for y in range(top, bottom + 1):
            weight_b = ((left - ax) * (cy - ay) - (y - ay) * (cx - ax)) * inverse
            weight_c = ((bx - ax) * (y - ay) - (by - ay) * (left - ax)) * inverse
            for x in range(left, right + 1):
                if (
                    weight_b >= -EDGE_SLACK
                    and weight_c >= -EDGE_SLACK
                    and weight_b + weight_c <= 1 + EDGE_SLACK
                ):
                    z = az + weight_b * (bz - az) + weight_c * (cz - az)
                    if z < depth[y, x]:
                        depth[y, x] = z
                        label_map[y, x] = labels[t]
                        map_u[y, x] = au + weight_b * bu + weight_c * cu
                        map_v[y, x] = av + weight_b * bv + weight_c * cv
                weight_b += step_b
                weight_c += step_c


@njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def composite(
    texture: Bytes, background: Bytes, map_u: Floats, map_v: Floats, label_map: Bytes, out: Bytes
) -> None:
    """Bilinear look-up of `texture` (h, w, 4), colour premultiplied by alpha, over `background` (H, W, 3)
    into `out`.

    Coordinates beyond the texture take its border. Pixels labelled EMPTY show the background.
    """
    height, width = label_map.shape
    last_y, last_x = texture.shape[0] - 1, texture.shape[1] - 1
    for y in range(height):
        for x in range(width):
            if label_map[y, x] == EMPTY:
                out[y, x, 0] = background[y, x, 0]
                out[y, x, 1] = background[y, x, 1]
                out[y, x, 2] = background[y, x, 2]
                continue
            u = min(max(map_u[y, x], np.float32(0)), np.float32(last_x))
            v = min(max(map_v[y, x], np.float32(0)), np.float32(last_y))
            x0, y0 = int(u), int(v)
            x1, y1 = min(x0 + 1, last_x), min(y0 + 1, last_y)
            fx, fy = u - np.float32(x0), v - np.float32(y0)
            w11 = fx * fy
            w01, w10 = fx - w11, fy - w11
            w00 = np.float32(1) - fx - w10
            a, b = np.float32(texture[y0, x0, 3]), np.float32(texture[y0, x1, 3])
            c, d = np.float32(texture[y1, x0, 3]), np.float32(texture[y1, x1, 3])
            alpha = w00 * a + w01 * b + w10 * c + w11 * d
            if alpha < np.float32(0.5):
                for k in range(3):
                    out[y, x, k] = background[y, x, k]
                continue
            rest = np.float32(1) - alpha * np.float32(1 / 255)
            for k in range(3):
                a, b = np.float32(texture[y0, x0, k]), np.float32(texture[y0, x1, k])
                c, d = np.float32(texture[y1, x0, k]), np.float32(texture[y1, x1, k])
                value = w00 * a + w01 * b + w10 * c + w11 * d + rest * np.float32(background[y, x, k])
                out[y, x, k] = np.uint8(min(value + np.float32(0.5), np.float32(255)))
