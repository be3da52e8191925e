# SPDX-License-Identifier: MIT
"""What is measured of directions is what they did, and the tables say it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")

import tiny_faces as tiny

import methods.directions.train_evaluate as evaluation
from engines.networks.directions import Directions, DirectionsConfig
from face.direction_parameters import ANGLES, INDEX, NAMES, RANGES, SCALED_LIMIT
from methods.directions.train_evaluate import (
    FIRST_SEED,
    aims_of,
    measure_in_pieces,
)
from methods.directions.train_measured import (
    Aim,
    Bench,
    Measured,
    identities,
    measure,
)
from methods.directions.train_table import PairFloor, control, kept, leakage, report

QUANTISED = 0.02  # a grey level of the tiny pictures in units of w


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
    return Bench(tiny.Generator(), tiny.StillReader(), tiny.Embedding(), None)  # type: ignore[arg-type]


def moved(bench: Bench, directions: Directions) -> Measured:
    people = identities(bench.generator, 6, first_seed=FIRST_SEED)
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
    tables = [control({"matrix": moved(bench, perfect(gain))})[2] for gain in (1.0, 0.5)]
    slopes = [float(line.split("|")[5]) for line in tables]
    assert slopes[0] == pytest.approx(1.0, abs=0.05)
    assert slopes[1] < 0.7


def test_an_interrupted_evaluation_measures_only_what_is_left(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = identities(bench.generator, 3, first_seed=FIRST_SEED)
    monkeypatch.setattr(evaluation, "CHUNK", 1)
    whole = measure_in_pieces(bench, perfect(), people, tmp_path, "matrix")
    assert whole.face.tolist() == sorted(whole.face.tolist()) and set(whole.face) == {0, 1, 2}
    (tmp_path / "matrix-0001.npz").unlink()
    measured: list[int] = []

    def spied(*arguments: Any, first: int, **settings: Any) -> Measured:
        measured.append(first)
        return measure(*arguments, first=first, **settings)

    monkeypatch.setattr(evaluation, "measure", spied)
    again = measure_in_pieces(bench, perfect(), people, tmp_path, "matrix")
    assert measured == [1]
    assert np.array_equal(again.seen, whole.seen) and again.label.tolist() == whole.label.tolist()


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
