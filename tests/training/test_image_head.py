# SPDX-License-Identifier: MIT
"""Heads are trained on crops that are the whole images' own, and training goes on where it stopped."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")

from torch.nn import functional

from engines.networks.mobile_stylegan import MobileSynthesis, MobileSynthesisConfig, cut_short
from engines.networks.stylegan2 import Mapping, MappingConfig
from training import image_head
from training.image_head import CROP, TARGET_PX, Crops, Teacher, load_crops, make_crops, save_crops

TOLERANCE = 2e-3  # of halves, of values up to 4
CHANNELS = (16, 16, 16, 16, 16, 12, 8, 8)  # thin, and 1024 pixels as the real one


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    torch.manual_seed(3)
    synthesis = MobileSynthesis(MobileSynthesisConfig(CHANNELS))
    for name, value in synthesis.state_dict().items():
        reads_w = value.ndim == 2 and value.shape[1] == 512 and "noise" not in name
        value.copy_(torch.randn_like(value) * (0.01 if reads_w else 0.3))
        if name.endswith(("affine.bias", "up.bias")):
            value.fill_(0.7)
    mapping = Mapping(MappingConfig(num_ws=16, num_layers=2, embed_dim=0))
    for network in (synthesis, mapping):
        network.eval().requires_grad_(False)
    return Teacher(synthesis, mapping)


@pytest.fixture(scope="module")
def crops(teacher: Teacher) -> Crops:
    return make_crops(teacher, seed=4, count=10)


def whole_w(crops: Crops, index: int) -> Any:
    w = torch.from_numpy(crops.w[index : index + 1]).float()
    return torch.cat([w, w[:, -1:].expand(-1, 4, -1)], dim=1)


def test_crop_is_a_part_of_the_whole_image(teacher: Teacher, crops: Crops) -> None:
    for index in range(3):
        whole = functional.avg_pool2d(teacher.synthesis(whole_w(crops, index)), 1024 // TARGET_PX)
        row, column = crops.y[index] * 8
        part = whole[0, :, row : row + 8 * CROP, column : column + 8 * CROP].numpy()
        assert np.abs(part - crops.t[index]).max() < TOLERANCE * np.abs(part).max()


@pytest.mark.parametrize(("size", "scale"), [(256, 2), (512, 4)])
def test_student_reads_what_the_network_cut_short_reads(
    teacher: Teacher, crops: Crops, size: int, scale: int
) -> None:
    student = image_head.new_student(teacher, size, (8,))
    short = cut_short(teacher.synthesis, student.head, size=size)
    x, rows = student.features(crops, np.array([1, 2]))
    for position, index in enumerate((1, 2)):
        w = whole_w(crops, index)[:, : short.config.rows]
        row, column = crops.y[index] * scale
        part = short.features(w)[0, :, row : row + CROP * scale, column : column + CROP * scale]
        inner = slice(6, -6)  # where the crop's borders do not reach
        assert torch.equal(rows[position], w[0, -2:])
        assert (part - x[position])[:, inner, inner].abs().max() < TOLERANCE * part.abs().max()


def test_shard_comes_back_and_is_the_same_again(teacher: Teacher, crops: Crops, tmp_path: Path) -> None:
    save_crops(crops, tmp_path / "crops-00004.npz")
    again = make_crops(teacher, seed=4, count=10)
    stored = load_crops([tmp_path / "crops-00004.npz"])
    for name in ("w", "f", "t", "y"):
        assert np.array_equal(getattr(again, name), getattr(stored, name)), name
    assert [path.name for path in tmp_path.iterdir()] == ["crops-00004.npz"]


def test_training_learns_and_goes_on_where_it_stopped(
    teacher: Teacher, crops: Crops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_head, "HELD_OUT", 2)
    monkeypatch.setattr(image_head, "BATCH", 2)
    monkeypatch.setattr(image_head, "SAVED_EVERY", 4)

    def run(state: Path, stop: int) -> tuple[list[float], Any]:
        torch.manual_seed(1)
        student = image_head.new_student(teacher, 256, (8, 8))
        found = []
        for step, quality in image_head.train(student, crops, steps=12, seed=0, state=state):
            found.append(quality)
            if step == stop:
                break
        return found, student.head.state_dict()

    straight, whole = run(tmp_path / "a.state", 12)
    run(tmp_path / "b.state", 4)
    rest, resumed = run(tmp_path / "b.state", 12)
    assert rest == straight[1:]
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert straight[-1] > straight[0]


def test_what_is_known_of_a_crop_reaches_to_the_pictures_own_edges(teacher: Teacher, crops: Crops) -> None:
    student = image_head.new_student(teacher, 256, (8,))
    short = cut_short(teacher.synthesis, student.head, size=256)
    sides = {0: 0, 64 - CROP: 0}
    for index in range(len(crops.y)):
        chosen = np.array([index])
        x, rows = student.features(crops, chosen)
        found = student.head(x, rows)[0]
        known = student.known(crops, chosen)[0, 0] > 0
        row, column = crops.y[index] * 4
        whole = short(whole_w(crops, index)[:, : short.config.rows])[0]
        part = whole[:, row : row + 4 * CROP, column : column + 4 * CROP]
        assert (part - found)[:, known].abs().max() < TOLERANCE * part.abs().max()
        for place in crops.y[index]:
            if int(place) in sides:
                sides[int(place)] += 1
    assert min(sides.values()) >= 2, "edges are among the crops"
    middle = image_head.known_part(np.array([[5, 0]]), 256)[0, 0]
    assert not middle[:6].any() and not middle[:, -6:].any() and middle[6:-6, 0].all()
