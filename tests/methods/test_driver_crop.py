# SPDX-License-Identifier: MIT
"""The driver's crop is cut from the picture that the motion is of: mirrored where that is mirrored."""

from dataclasses import replace

import numpy as np

from face.frame import Frame
from face.motion_vector import landmarks_of, mirrored, motion_of, resting_vector
from methods.crop_reader import driver_crop

SIZE = (320, 240)


def test_a_mirrored_motion_is_cut_from_the_mirror_image() -> None:
    vector = resting_vector(0.2)
    vector[6] = 0.12  # well beside the middle
    picture = np.random.default_rng(1).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)
    motion = motion_of(vector, SIZE, captured_s=0.0, seen=landmarks_of(vector, SIZE))
    other = mirrored(vector)
    mirror = motion_of(other, SIZE, captured_s=0.0, seen=landmarks_of(other, SIZE), mirrored=True)
    crop = driver_crop(mirror, Frame(picture, 0.0, 0))
    wanted = driver_crop(replace(mirror, mirrored=False), Frame(picture[:, ::-1].copy(), 0.0, 0))
    plain = driver_crop(motion, Frame(picture, 0.0, 0))
    assert crop is not None and wanted is not None and plain is not None
    assert np.array_equal(crop[0], wanted[0]) and np.array_equal(crop[1], wanted[1])
    assert np.abs(crop[0].astype(int) - plain[0][:, ::-1]).mean() < 30  # the same face, turned around


def test_a_motion_that_was_not_seen_gives_no_crop() -> None:
    motion = motion_of(resting_vector(), SIZE, captured_s=0.0)
    assert driver_crop(motion, Frame(np.zeros((240, 320, 3), np.uint8), 0.0, 0)) is None
