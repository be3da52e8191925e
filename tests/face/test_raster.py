# SPDX-License-Identifier: MIT
"""The rasteriser and the composite against their slow twins, and what they promise on their own."""

import numpy as np
import pytest
from reference_raster import composite_reference, rasterise_reference

from face.raster import EMPTY, composite, rasterise

MAP_TOLERANCE = 2e-3  # pixels; single against double precision across a 90 px triangle
EDGE_SHARE = 0.01  # of the pixels may fall to either side of a shared edge
COLOUR_TOLERANCE = 1  # grey level, rounding


def scene(seed: int, *, width: int = 90, height: int = 70, count: int = 40):
    random = np.random.default_rng(seed)
    points = random.uniform((-15, -15, 0), (width + 15, height + 15, 9), (count, 3)).astype(np.float32)
    texture_points = random.uniform(0, 60, (count, 2)).astype(np.float32)
    triangles = random.integers(0, count, (60, 3)).astype(np.int32)
    labels = random.integers(1, 5, 60).astype(np.uint8)
    return points, texture_points, triangles, labels


def buffers(width: int = 90, height: int = 70):
    floats = [np.zeros((height, width), np.float32) for _ in range(3)]
    return *floats, np.zeros((height, width), np.uint8)


@pytest.mark.parametrize("seed", range(4))
def test_rasteriser_agrees_with_its_slow_twin(seed):
    fast, slow = buffers(), buffers()
    rasterise(*scene(seed), *fast)
    rasterise_reference(*scene(seed), *slow)
    same = fast[3] == slow[3]
    assert same.mean() > 1 - EDGE_SHARE
    assert (fast[3] != EMPTY).mean() > 0.3  # the scene is no empty one
    covered = same & (np.abs(fast[2] - slow[2]) < 1e-3) & (fast[3] != EMPTY)
    assert covered.sum() > 0.95 * (fast[3] != EMPTY).sum()
    for k in (0, 1):
        assert np.percentile(np.abs(fast[k] - slow[k])[covered], 99) < MAP_TOLERANCE


def test_the_nearer_of_two_triangles_is_seen_whatever_their_order():
    points = np.array([[0, 0, 5], [40, 0, 5], [0, 40, 5], [0, 0, 2], [40, 0, 2], [0, 40, 2]], np.float32)
    texture_points = np.zeros((6, 2), np.float32)
    for triangles in ([[0, 1, 2], [3, 4, 5]], [[3, 4, 5], [0, 1, 2]]):
        out = buffers(40, 40)
        labels = np.array([2 if t[0] == 0 else 4 for t in triangles], np.uint8)
        rasterise(points, texture_points, np.array(triangles, np.int32), labels, *out)
        assert out[3][5, 5] == 4


def test_only_odd_labels_are_culled_when_they_turn_their_back():
    points = np.array([[0, 0, 0], [0, 30, 0], [30, 0, 0]], np.float32)  # counter-clockwise on screen
    for label, seen in ((1, EMPTY), (2, 2)):
        out = buffers(40, 40)
        rasterise(
            points, points[:, :2].copy(), np.array([[0, 1, 2]], np.int32), np.array([label], np.uint8), *out
        )
        assert out[3][3, 3] == seen


def test_composite_agrees_with_its_slow_twin():
    random = np.random.default_rng(5)
    alpha = random.integers(0, 256, (60, 60, 1))
    texture = np.concatenate([random.integers(0, 256, (60, 60, 3)) * alpha // 255, alpha], 2).astype(np.uint8)
    background = random.integers(0, 256, (70, 90, 3)).astype(np.uint8)
    maps = [random.uniform(-5, 65, (70, 90)).astype(np.float32) for _ in range(2)]
    labels = random.integers(0, 2, (70, 90)).astype(np.uint8)
    fast, slow = np.zeros_like(background), np.zeros_like(background)
    composite(texture, background, *maps, labels, fast)
    composite_reference(texture, background, *maps, labels, slow)
    assert np.abs(fast.astype(int) - slow).max() <= COLOUR_TOLERANCE
    assert (fast[labels == EMPTY] == background[labels == EMPTY]).all()
