# SPDX-License-Identifier: MIT
"""Directions are found, keep the identity, and an interrupted training goes on as if it had not been."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")

import tiny_faces as tiny

import methods.directions.train as trainer
from engines.networks.directions import Directions, DirectionsConfig
from engines.networks.store import load_network
from face.direction_parameters import INDEX, NAMES, RANGES, scaled
from face.errors import WrongUse
from methods.directions.train_closed_form import (
    LIDS,
    Hold,
    plain_directions,
    read_samples,
    shift_for,
    starting_point,
)
from methods.directions.train_gains import MOST, SHARES, stretched
from methods.directions.train_losses import surroundings_mask, target_shape
from training.whitening import whitening

PLAN = trainer.Plan(steps=6, batch=2, rate=1e-2, sources=8)
YAW, SMILE = INDEX["yaw"], INDEX["smile"]


@cache
def start() -> np.ndarray:
    faces = tiny.samples()
    return starting_point(faces, whitening(faces.w))


@pytest.fixture(autouse=True)
def _starting_points_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are what takes longest here."""
    monkeypatch.setattr(trainer, "starting_point", lambda *_: start().copy())


def run(out: Path, plan: trainer.Plan = PLAN) -> Directions:
    faces = tiny.samples()
    judges = trainer.Judges(tiny.Tracker(), tiny.Embedding())
    return trainer.train(plan, faces, tiny.Generator(), judges, out, basis=whitening(faces.w))


def moved(directions: Directions, name: str) -> tuple[np.ndarray, float]:
    """What p gains of a full range asked for, and how far the identity goes."""
    delta = np.zeros((1, len(NAMES)), np.float32)
    delta[0, INDEX[name]] = RANGES[INDEX[name]]
    faces = tiny.samples(4, seed=5)
    w = torch.from_numpy(faces.w)
    with torch.no_grad():
        before = tiny.Generator()(w)
        after = tiny.Generator()(w, directions(torch.from_numpy(scaled(delta))).expand(4, -1, -1))
        tracks = [tiny.Tracker()(images) for images in (before, after)]
        numbers = [tiny.Embedding().of_faces(images, tracks[0].landmarks) for images in (before, after)]
    p = [trainer.parameters_seen(t.rotation, t.scores).numpy() for t in tracks]
    return (p[1] - p[0]).mean(0), float((numbers[1] - numbers[0]).norm(dim=1).mean())


def test_the_closed_form_moves_what_it_is_asked_to_and_holding_keeps_identity(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "methods.directions.train_closed_form.PLAIN_RIDGE", 0.5
    )  # 200 faces, nearly without noise
    faces = tiny.samples()
    basis = whitening(faces.w)
    plain, far = moved(plain_directions(faces, rows=8), "smile")
    shift = np.zeros((len(NAMES), 8, tiny.W_DIM), np.float32)
    hold = Hold(identity=1e4, surroundings=0.0, others=1e3, first=2, last=4)
    shift[SMILE] = shift_for(("smile",), read_samples(faces, basis, 0.5), hold)
    assert np.abs(shift[SMILE][[0, 1, 5, 6, 7]]).max() == 0  # rows that are not asked for stay
    kept, near = moved(trainer.Whitened(shift, basis).directions(), "smile")
    assert plain[SMILE] == pytest.approx(1.0, abs=0.35)
    assert kept[SMILE] == pytest.approx(1.0, abs=0.35)
    assert abs(kept[YAW]) < 3.0
    assert near < far / 2


def test_both_lids_asked_for_together_make_one_whole_motion() -> None:
    left, right = start()[INDEX["blink_left"]], start()[INDEX["blink_right"]]
    assert np.array_equal(left, right)
    assert start().shape == (len(NAMES), 8, tiny.W_DIM)


def test_training_finds_directions_from_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = np.zeros((len(NAMES), 8, tiny.W_DIM), np.float32)
    monkeypatch.setattr(trainer, "starting_point", lambda *_: nothing)
    monkeypatch.setattr(trainer, "GROUPS", ((("yaw",), 1.0), (("smile",), 1.0)))
    plan = replace(PLAN, steps=60, batch=8, rate=2e-2)
    run(tmp_path, plan)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    early, late = (np.mean([line["motion"] for line in part]) for part in (lines[:10], lines[-10:]))
    assert len(lines) == 60
    assert late < early / 2


@pytest.mark.parametrize("step", [2, 5], ids=["before the first checkpoint", "after it"])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    monkeypatch.setattr(trainer, "CHECKPOINT_EVERY", 4)
    whole = run(tmp_path / "whole")
    real, done = trainer.losses, []

    def stops(*arguments: object) -> object:
        if len(done) == step:
            raise KeyboardInterrupt
        done.append(1)
        return real(*arguments)

    monkeypatch.setattr(trainer, "losses", stops)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut")
    monkeypatch.setattr(trainer, "losses", real)
    monkeypatch.setattr(trainer, "prepare_sources", None)  # they are kept, and not made again
    resumed = run(tmp_path / "cut")
    assert torch.equal(whole.linear.weight, resumed.linear.weight)


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    network = run(tmp_path)
    saved = load_network(tmp_path / "directions.safetensors", Directions)
    assert torch.equal(saved.linear.weight, network.linear.weight)
    with pytest.raises(WrongUse, match=r"another plan \(batch 2, not 4\)"):
        run(tmp_path, replace(PLAN, batch=4))


def test_the_target_shape_turns_and_opens_the_source() -> None:
    landmarks = tiny.samples(1).landmarks[0]
    own = np.zeros(len(NAMES), np.float32)
    same = target_shape(landmarks, own, own, 256)
    aim = own.copy()
    aim[INDEX["jaw_open"]] = 0.4
    opened = target_shape(landmarks, own, aim, 256)
    aim[INDEX["jaw_open"]], aim[YAW] = 0.0, 20.0
    turned = target_shape(landmarks, own, aim, 256)
    gap = [np.linalg.norm(shape[13, :2] - shape[14, :2]) for shape in (same, opened)]
    assert gap[1] > gap[0] + 5
    # + yaw is to the subject's own left, the picture's right: the nose goes there against the eyes
    nose = [shape[1, 0] - (shape[33, 0] + shape[263, 0]) / 2 for shape in (same, turned)]
    assert nose[1] > nose[0] + 5
    mask = surroundings_mask([same], 256)
    assert mask[32, 32] == 0 and mask[2, 2] == 1


def test_the_command_trains_with_its_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "load_samples", lambda _: tiny.samples())
    monkeypatch.setattr(trainer, "open_generator", lambda **_: tiny.Generator())
    monkeypatch.setattr(trainer, "open_stand_in", tiny.Tracker)
    monkeypatch.setattr(trainer, "open_embedding", tiny.Embedding)
    monkeypatch.setattr(trainer, "StillReader", tiny.StillReader)
    command = f"--samples none --out {tmp_path} --steps 2 --sources 8"
    trainer.main(command.split())
    trained = load_network(tmp_path / "directions.safetensors", Directions)
    assert not (tmp_path / "stretched.safetensors").exists()
    trainer.main([*command.split(), "--stretch", "3"])
    again = load_network(tmp_path / "directions.safetensors", Directions)
    stretched = load_network(tmp_path / "stretched.safetensors", Directions)
    assert torch.equal(again.linear.weight, trained.linear.weight), "what the steps made stays beside it"
    grown = stretched.linear.weight[:, YAW].norm() / trained.linear.weight[:, YAW].norm()
    assert grown < 0.95, "these faces turn further than they are asked to"


def test_a_motion_that_falls_short_is_stretched_alone() -> None:
    network = Directions(DirectionsConfig(len(NAMES), 2, 4, bias=False))
    before = network.linear.weight.detach().clone()
    factors = stretched(network, {("yaw",): 0.5 * SHARES[("yaw",)] / MOST, LIDS: SHARES[LIDS]})
    grown = network.linear.weight.detach() / before
    assert grown[:, YAW].allclose(torch.tensor(MOST))  # twice would be wanted: no further than the limit
    assert factors["blink_left"] == factors["blink_right"] == 1.0
    assert grown[:, SMILE].allclose(torch.tensor(1.0))
