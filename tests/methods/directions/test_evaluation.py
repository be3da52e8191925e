# SPDX-License-Identifier: MIT
"""What is measured of directions is what they did, and the tables say it."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")

import tiny_faces as tiny

from engines.networks.directions import Directions, DirectionsConfig
from face.direction_parameters import ANGLES, INDEX, NAMES, RANGES, SCALED_LIMIT
from face.errors import ModelUnavailable
from methods.directions.train_evaluate import FIRST_SEED, aims_of, identities
from methods.directions.train_measured import Aim, Bench, Measured, SecondRecogniser, join, measure
from methods.directions.train_table import PairFloor, control, kept, leakage, report
from training.judges import Seen, to_images

QUANTISED = 0.02  # a grey level of the tiny pictures in units of w


class Tracker:
    """The tiny tracker on one uint8 picture; blind to black ones."""

    def __call__(self, picture: NDArray[np.uint8]) -> Seen | None:
        if not picture.any():
            return None
        tracks = tiny.Tracker()(to_images(picture[None]))
        return Seen(tracks.landmarks[0].numpy(), tracks.rotation[0].numpy(), tracks.scores[0].numpy())


class DriftingGenerator(tiny.Generator):
    """Draws as the tiny generator, from seeds."""

    def sample(self, count: int, *, seed: int, psi: tuple[float, float]) -> torch.Tensor:
        return torch.randn(count, tiny.W_DIM, generator=torch.Generator().manual_seed(seed)) * 0.2


def perfect(gain: float = 1.0) -> Directions:
    """Yaw and smile are two numbers of w in row 3; a yaw changes one colour, too."""
    network = Directions(DirectionsConfig(len(NAMES), 8, tiny.W_DIM, bias=False))
    weight = torch.zeros(8, tiny.W_DIM, len(NAMES))
    weight[3, 0, INDEX["yaw"]] = gain * float(RANGES[INDEX["yaw"]]) / 30 / SCALED_LIMIT
    weight[3, 1, INDEX["smile"]] = gain * float(RANGES[INDEX["smile"]]) / SCALED_LIMIT
    weight[3, 2, INDEX["yaw"]] = 0.1 / SCALED_LIMIT
    network.linear.weight.data = weight.reshape(-1, len(NAMES))
    return network


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(DriftingGenerator(), Tracker(), tiny.Embedding(), None)  # type: ignore[arg-type]


def moved(bench: Bench, directions: Directions) -> Measured:
    people = identities(bench.generator, 6)
    aims = [Aim("yaw", ("yaw",), value) for value in (-10.0, 5.0, 12.0)]
    aims += [Aim("smile", ("smile",), 0.1, relative=True)]
    return measure(bench, directions, people, aims)


def test_what_is_asked_for_and_what_came_are_measured(bench: Bench) -> None:
    rows = moved(bench, perfect())
    yaw = rows.label == "yaw"
    assert len(rows) == 6 * 4
    assert np.abs(rows.seen[yaw, 0] - rows.wanted[yaw, INDEX["yaw"]]).max() < 30 * QUANTISED
    smile = rows.seen[~yaw, ANGLES + INDEX["smile"]] - rows.own[~yaw, ANGLES + INDEX["smile"]]
    assert np.abs(smile - 0.1).max() < QUANTISED
    # the colour that goes with yaw is a change of identity, and of what lies outside the face
    turned = np.abs(rows.wanted[yaw, INDEX["yaw"]] - rows.own[yaw, 0])
    assert np.corrcoef(turned, rows.dlib[yaw])[0, 1] > 0.9
    assert rows.dlib[~yaw].max() < QUANTISED


def test_a_direction_at_half_its_strength_shows_in_the_table(bench: Bench) -> None:
    tables = [control({"matrix": join([moved(bench, perfect(gain))])})[2] for gain in (1.0, 0.5)]
    slopes = [float(line.split("|")[5]) for line in tables]
    assert slopes[0] == pytest.approx(1.0, abs=0.05)
    assert slopes[1] < 0.7


def test_the_page_has_every_row_and_the_floor_of_real_pairs() -> None:
    labels = ["yaw", "pitch", "smile", "jawOpen", "blink"] * 4
    labels += ["yaw -15", "yaw +15", "yaw at -15", "yaw at +15", "full smile", "jaw +0.3"] * 2
    rng = np.random.default_rng(0)
    n = len(labels)
    wanted = rng.uniform(0, 1, (n, len(NAMES))).astype(np.float32)
    seen = np.concatenate([np.zeros((n, ANGLES), np.float32), wanted], axis=1)
    rows = Measured(
        face=np.zeros(n, np.int32),
        label=np.array(labels),
        wanted=wanted,
        own=np.zeros((n, ANGLES + len(NAMES)), np.float32),
        seen=seen,
        dlib=np.full(n, 0.25, np.float32),
        second=np.full(n, 0.125, np.float32),
        outside=np.full(n, 7.0, np.float32),
    )
    page = report(
        {"trained": rows}, [PairFloor("yaw 15", "a", 0.25, 0.1), PairFloor("yaw 15", "b", 0.35, 0.3)]
    )
    assert "| yaw | trained | 1.000 |" in page
    assert "real pairs of 2 people | 0.300 |" in page
    assert "| jawOpen +0.3 | trained | 0.250 |" in page
    assert len(leakage({"trained": rows})) == 2 + 5
    assert len(kept({"trained": rows}, [])) == 2 + 4


def test_targets_are_drawn_once_for_all_matrices() -> None:
    assert aims_of(3) == aims_of(3)
    assert aims_of(3) != aims_of(4)
    assert FIRST_SEED > 100_000  # far from the seeds of training samples


def test_a_second_recogniser_that_is_another_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="npm pack"):
        SecondRecogniser(tmp_path / "none.onnx")
    other = tmp_path / "other.onnx"
    other.write_bytes(b"another network")
    with pytest.raises(ModelUnavailable, match="altered"):
        SecondRecogniser(other)
