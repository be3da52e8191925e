# SPDX-License-Identifier: MIT
"""MobileStyleGAN's training files give the images that its public code gives."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")

import mobile_reference as reference
from checkpoint_files import W_DIM

from export.checkpoints.identify import import_checkpoint
from export.checkpoints.imported import Imported
from export.checkpoints.mobile_stylegan import NOISE_SEED
from face.errors import BadCheckpoint

TOLERANCE = 1e-5  # of the image's range: sums in another order
FAULTS = (
    "style_inv left out",
    "a head's gain for 3x3",
    "gain of sqrt 2",
    "no noise",
    "bands before channels",
    "last row for the head",
)
READ_ROWS = [0, 1, 2, 4, 5, 6]  # of the published ones: 3 feeds a head nobody sees, 7 nothing


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Imported:
    path = tmp_path_factory.mktemp("mobile") / "student.ckpt"
    torch.save(reference.training_file(), path)
    return import_checkpoint(path)


def noise() -> list[np.ndarray]:
    draws = np.random.default_rng(NOISE_SEED)
    sizes = [4, *(size for size in (8, 16) for _ in range(2))]
    return [draws.standard_normal((size, size)).astype(np.float32) for size in sizes]


def latents() -> np.ndarray:
    return np.random.default_rng(3).standard_normal((2, reference.WSIZE, W_DIM)).astype(np.float32)


def ours(imported: Imported, w: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return np.asarray(imported.networks["generator"].eval()(torch.from_numpy(w[:, READ_ROWS])))


def test_image_is_the_public_codes(imported: Imported) -> None:
    w = latents()
    expected = reference.image(reference.student_state(), w, noise())
    assert np.abs(ours(imported, w) - expected).max() < TOLERANCE * np.abs(expected).max()


@pytest.mark.parametrize("fault", FAULTS)
def test_wrong_variant_is_another_image(imported: Imported, fault: str) -> None:
    w = latents()
    wrong = reference.image(reference.student_state(), w, noise(), fault=fault)
    assert np.abs(ours(imported, w) - wrong).max() > 100 * TOLERANCE * np.abs(wrong).max()


def test_mapping_is_the_public_codes_and_pulls_towards_the_stored_mean(imported: Imported) -> None:
    z = np.random.default_rng(4).standard_normal((3, W_DIM)).astype(np.float32)
    expected = reference.mapped(reference.mapping_state(), z)
    mapping = imported.networks["mapping"]
    with torch.inference_mode():
        free = mapping(torch.from_numpy(z), torch.tensor(1.0)).numpy()
        centre = mapping(torch.from_numpy(z), torch.tensor(0.0)).numpy()
    assert free.shape == (3, len(READ_ROWS), W_DIM)
    assert np.abs(free - expected[:, None]).max() < TOLERANCE * np.abs(expected).max()
    mean = reference.training_file()["state_dict"]["style_mean"][0, 0].numpy()
    assert np.abs(centre - mean).max() < TOLERANCE


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"student.layers.0.conv3.bias": torch.zeros(1)}, "layers.0.conv3.bias"),
        ({"teacher.bias": torch.zeros(1)}, "teacher.bias"),
        ({"student.layers.1.bias": torch.zeros(1)}, "layers.1.bias"),
        ({"student.conv1.bias": torch.zeros(1, 5, 1, 1)}, "does not fit|index 5|5"),
    ],
)
def test_stranger_or_misfit_is_named(extra: dict[str, Any], said: str, tmp_path: Path) -> None:
    torch.save(reference.training_file(**extra), tmp_path / "student.ckpt")
    with pytest.raises(BadCheckpoint, match=said):
        import_checkpoint(tmp_path / "student.ckpt")


def test_student_alone_is_read_too(tmp_path: Path) -> None:
    state = {name: torch.from_numpy(value) for name, value in reference.student_state().items()}
    torch.save(state, tmp_path / "student.pt")
    found = import_checkpoint(tmp_path / "student.pt")
    assert list(found.networks) == ["generator"]
    assert any("noise is drawn once" in note for note in found.notes)
