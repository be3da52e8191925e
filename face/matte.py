# SPDX-License-Identifier: MIT
"""A person cut out of a photo: clean foreground colours and a filled-in background. Knows no network; takes
the matte.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from face.arrays import Floats

Bytes = NDArray[np.uint8]


def refine_matte(image: Bytes, coarse: Floats, radius: int) -> Floats:
    """(H, W) alpha in [0, 1] whose edge follows the picture's: guided filter (He et al. 2010) of a coarse
    matte.

    `coarse` is (H, W) in [0, 1]; `radius` in pixels is the reach of the correction.
    """
    guide = image.astype(np.float32) / 255
    grey = guide @ np.array([0.299, 0.587, 0.114], np.float32)
    box = (2 * radius + 1, 2 * radius + 1)

    def blur(x: NDArray[np.floating]) -> Floats:
        return np.asarray(cv2.blur(x, box, borderType=cv2.BORDER_REFLECT), np.float32)

    mean_guide, mean_coarse = blur(grey), blur(coarse)
    slope = (blur(grey * coarse) - mean_guide * mean_coarse) / (blur(grey * grey) - mean_guide**2 + 1e-3)
    refined = blur(slope) * grey + blur(mean_coarse - slope * mean_guide)
    stretched = np.clip((refined - 0.12) / 0.76, 0, 1)
    # far from the coarse edge the coarse matte is right and the filter can only invent holes
    certain = np.abs(blur(np.round(coarse)) - 0.5) > 0.497
    return np.where(certain, np.round(coarse), stretched).astype(np.float32)


def fill(image: Floats, known: Floats) -> Floats:
    """(H, W, 3) picture whose unknown part (known (H, W) = 0) is filled smoothly from the known part around
    it.

    Push-pull over a picture pyramid (Gortler et al. 1996): averages of known pixels only, coarse to fine. A
    picture with nothing known comes back grey.
    """
    if known.max() <= 0:
        return np.full_like(image, 127.0)
    weighted, weights = [image * known[..., None]], [known]
    while min(weights[-1].shape) > 2:
        half = ((weights[-1].shape[1] + 1) // 2, (weights[-1].shape[0] + 1) // 2)
        weighted.append(cv2.resize(weighted[-1], half, interpolation=cv2.INTER_AREA))
        weights.append(cv2.resize(weights[-1], half, interpolation=cv2.INTER_AREA))
    filled = weighted[-1] / np.maximum(weights[-1], 1e-6)[..., None]
    for colour, weight in zip(weighted[-2::-1], weights[-2::-1], strict=True):
        above = cv2.resize(filled, (weight.shape[1], weight.shape[0]), interpolation=cv2.INTER_LINEAR)
        trust = np.minimum(weight * 4, 1)[..., None]  # a quarter known is enough to speak for itself
        filled = above * (1 - trust) + colour / np.maximum(weight, 1e-6)[..., None] * trust
    return np.asarray(filled, np.float32)


def nearest_known(values: Floats, known: NDArray[np.bool_]) -> Floats:
    """(H, W, C) values where known (H, W), elsewhere those of the nearest known pixel."""
    unknown = (~known).astype(np.uint8)
    _, nearest = cv2.distanceTransformWithLabels(unknown, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    table = np.zeros((int(nearest.max()) + 1, values.shape[2]), np.float32)
    table[nearest[known]] = values[known]
    return np.asarray(table[nearest], np.float32)


def background_plate(image: Bytes, alpha: Floats) -> Bytes:
    """(H, W, 3) uint8 picture without the person: the surroundings mirrored inwards at the outline, where a
    turning head uncovers them, and continued smoothly further in.
    """
    reach = max(3, round(0.012 * max(image.shape[:2]))) | 1
    person = cv2.dilate((alpha > 0.02).astype(np.uint8), np.ones((reach, reach), np.uint8))
    if person.all():
        return image.copy()
    smooth = fill(image.astype(np.float32), 1 - person.astype(np.float32))
    depth, nearest = cv2.distanceTransformWithLabels(person, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    ys, xs = np.nonzero(person == 0)
    outside = np.zeros((int(nearest.max()) + 1, 2), np.float32)
    outside[nearest[ys, xs]] = np.column_stack([xs, ys])
    edge = outside[nearest]  # (H, W, 2) the outline's pixel nearest to each
    grid = np.stack(np.meshgrid(np.arange(image.shape[1]), np.arange(image.shape[0])), axis=-1).astype(
        np.float32
    )
    mirrored_at = cv2.GaussianBlur(
        2 * edge - grid, (0, 0), reach / 4
    )  # neighbours of different outline pixels blend

    def remap(x: Floats) -> Floats:
        u, v = mirrored_at[..., 0], mirrored_at[..., 1]
        return np.asarray(cv2.remap(x, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT), np.float32)

    mirrored = remap(image.astype(np.float32))
    clean = 1 - remap(person.astype(np.float32))
    trust = clean * np.clip(1.6 - depth / (0.10 * max(image.shape[:2])), 0, 1)
    trust = cv2.GaussianBlur(trust, (0, 0), reach / 4)[..., None] * (person > 0)[..., None]
    plate = np.where((person > 0)[..., None], smooth + (mirrored - smooth) * trust, image)
    return np.clip(plate + 0.5, 0, 255).astype(np.uint8)


def foreground(image: Bytes, alpha: Floats, plate: Bytes) -> Bytes:
    """(H, W, 4) uint8 person, colour premultiplied by alpha, so that laid over `plate` it gives the photo
    back.

    Solving the matting equation for the person's own colour leaves the old background behind, which would
    otherwise travel with the head as a halo.
    """
    share = alpha[..., None]
    own = image - (1 - share) * plate.astype(np.float32)
    premultiplied = np.concatenate([np.clip(own, 0, 255 * share), 255 * share], axis=2)
    return np.clip(premultiplied + 0.5, 0, 255).astype(np.uint8)


def drawn_inside(points: Floats, alpha: Floats, *, reach: float = 0.14) -> Floats:
    """(N, 2) texture points of a face's surface, those on the matte's edge drawn towards the middle of all
    until they lie on the person.

    A cheek at the outline of a half-turned head is stretched wide when the head turns back; its texture must
    not be the see-through edge. Points move by at most `reach` of their distance from the middle.
    """
    solid = cv2.erode((alpha > 0.97).astype(np.uint8), np.ones((5, 5), np.uint8))
    height, width = alpha.shape
    middle = points.mean(0)
    drawn = points.copy()
    for share in np.linspace(0, reach, 15):
        trial = points + (middle - points) * share
        x = np.clip(np.round(drawn[:, 0]).astype(int), 0, width - 1)
        y = np.clip(np.round(drawn[:, 1]).astype(int), 0, height - 1)
        outside = solid[y, x] == 0
        drawn[outside] = trial[outside]
    return drawn.astype(np.float32)
