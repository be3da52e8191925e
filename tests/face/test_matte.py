# SPDX-License-Identifier: MIT
"""Cutting a person out: the photo comes back whole, and the hole behind is filled from its surroundings."""

import numpy as np
import pytest

from face.matte import background_plate, drawn_inside, fill, foreground, refine_matte

ROUNDING = 2  # grey levels: two roundings to bytes


def scene(colour=(210, 50, 40)):
    """A disc (the person) on a background that is blue on the left and green on the right."""
    ys, xs = np.mgrid[0:120, 0:160]
    image = np.where((xs < 80)[..., None], [20, 40, 200], [30, 180, 40]).astype(np.float32)
    distance = np.hypot(xs - 80, ys - 60)
    alpha = np.clip((32 - distance) / 4, 0, 1).astype(np.float32)
    mixed = image * (1 - alpha[..., None]) + np.array(colour) * alpha[..., None]
    return mixed.astype(np.uint8), alpha


def test_fill_keeps_what_is_known_and_continues_it():
    image, alpha = scene()
    known = (alpha == 0).astype(np.float32)
    filled = fill(image.astype(np.float32), known)
    assert np.abs(filled - image)[known == 1].max() < 1e-3
    assert filled[60, 56, 2] > filled[60, 56, 1]  # blue goes on from the left
    assert filled[60, 104, 1] > filled[60, 104, 2]  # green from the right


def test_fill_of_nothing_is_grey():
    assert (fill(np.zeros((8, 8, 3), np.float32), np.zeros((8, 8), np.float32)) == 127).all()


def test_background_holds_nothing_of_the_person():
    image, alpha = scene()
    plate = background_plate(image, alpha)
    assert (plate[alpha == 0][:, 0] < 60).all()
    assert plate[alpha > 0.5][:, 0].max() < 90
    far = np.hypot(*np.meshgrid(np.arange(160) - 80, np.arange(120) - 60)) > 45
    assert (plate[far] == image[far]).all()


def test_person_over_background_gives_the_photo_back():
    image, alpha = scene()
    plate = background_plate(image, alpha)
    person = foreground(image, alpha, plate).astype(np.float32)
    together = person[..., :3] + (1 - person[..., 3:] / 255) * plate
    assert np.abs(together - image).max() <= ROUNDING


def test_person_filling_the_picture_leaves_the_photo_as_background():
    image, _ = scene()
    assert (background_plate(image, np.ones(image.shape[:2], np.float32)) == image).all()


def test_refined_matte_follows_the_pictures_edge():
    image, alpha = scene((240, 235, 225))
    rough = np.kron(alpha[::8, ::8] > 0.5, np.ones((8, 8))).astype(np.float32)  # in steps of 8 pixels
    wrong = (np.abs(rough - alpha) > 0.5).mean()
    assert (np.abs(refine_matte(image, rough, 10) - alpha) > 0.5).mean() < 0.2 * wrong


@pytest.mark.parametrize("reach", [0.14, 0.3])
def test_texture_points_at_the_outline_move_onto_the_person_and_no_farther(reach):
    _, alpha = scene()
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    ring = np.array([80, 60]) + 31 * np.column_stack([np.cos(angles), np.sin(angles)])
    points = np.concatenate([ring, [[80, 60], [85, 62]]]).astype(np.float32)
    drawn = drawn_inside(points, alpha, reach=reach)
    assert (drawn[-2:] == points[-2:]).all()  # what is well inside stays
    middle = points.mean(0)
    shrunk = np.linalg.norm(drawn - middle, axis=1) / np.linalg.norm(points - middle, axis=1).clip(1e-6)
    assert shrunk.min() >= 1 - reach - 1e-3
    x, y = np.round(drawn).astype(int).T
    assert alpha[y, x].mean() > alpha[tuple(np.round(points).astype(int).T[::-1])].mean() + 0.2
