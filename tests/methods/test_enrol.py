# SPDX-License-Identifier: MIT
"""Enrolment over a small random generator and a real portrait: nearer step by step, whole or not at all."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("onnx", reason="onnx writes the tuned graph")

import cv2
import torch
from skimage import data
from small_latent import first_format

from engines import open_engine
from engines.networks.directions import Directions, DirectionsConfig
from engines.networks.feature_encoder import FeatureEncoder, FeatureEncoderConfig
from engines.networks.mobile_stylegan import MobileSynthesis, MobileSynthesisConfig
from engines.networks.stylegan2 import Mapping, MappingConfig
from export.ffhq_model import Parts
from face.direction_parameters import NAMES
from face.errors import BadPortrait, ModelUnavailable, SinkUnavailable
from methods import enrol as enrolment
from methods.enrol import LARGEST_ROW, EnrolConfig, Enrolled, bounded_rows, enrol
from methods.identity import code_folder, read_identity
from realtime.offline.builtin import portrait_path
from training.likeness import Likeness, face_weight

SIZE, ROWS, W_DIM = 64, 8, 512
SAME_DB = 0.01  # what one thread's sums may differ by
QUICK = EnrolConfig(code_steps=20, tune_steps=60, threads=1, tune_rate=1e-2)


def small_parts(size: int) -> Parts:
    torch.manual_seed(0)
    synthesis = MobileSynthesis(
        MobileSynthesisConfig((32, 32, 16, 16, 16)[: size.bit_length() - 3], w_dim=W_DIM)
    ).eval()
    directions = Directions(DirectionsConfig(parameters=len(NAMES), rows=4, w_dim=W_DIM, bias=False)).eval()
    mapping = Mapping(MappingConfig(num_ws=ROWS, num_layers=2)).eval()
    encoder = FeatureEncoder(FeatureEncoderConfig(rows=ROWS))
    return Parts(synthesis, mapping, directions, encoder, torch.zeros(W_DIM), f"{size:04}" * 10)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A random generator's faces are none, so the recogniser stays out; colours lead."""
    monkeypatch.setattr(enrolment, "load_parts", small_parts)
    monkeypatch.setattr(enrolment, "_recogniser", lambda: None)


def test_an_enrolment_comes_nearer_and_is_read_back(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "me"
    told: list[tuple[str, int, int]] = []
    rough = enrol(portrait_path(), tmp_path / "rough", size=SIZE, config=EnrolConfig(1, 0, 1))
    made = enrol(portrait_path(), out, size=SIZE, config=QUICK, on_step=lambda *given: told.append(given))
    assert made.psnr_db > rough.psnr_db + 1, "steps on code and generator bring it nearer to the photo"
    assert made.code_steps == 20 and made.tune_steps == 60
    assert [what for what, done, of in told if done == of] == ["refining", "tuning", "writing"]
    identity = read_identity(out)
    (code,) = identity.codes
    assert code.w.shape == (ROWS, W_DIM) and (code.key, code.size) == ("0064" * 10, SIZE)
    assert code.model == "ffhq-mobile-64"
    assert identity.portrait.shape == data.astronaut().shape and identity.name == "astronaut.png"
    assert code.graph is not None and read_identity(tmp_path / "rough").codes[0].graph is None
    with open_engine(code.graph, backend="onnx") as engine:
        image = engine.run(w=code.w[None])["image"]
    assert image.shape == (1, SIZE, SIZE, 3) and image.dtype == np.uint8


def test_a_second_size_is_added_to_the_same_portrait_and_another_portrait_replaces_all(
    tmp_path: Path,
) -> None:
    out, quick = tmp_path / "me", EnrolConfig(1, 1, 1)
    enrol(portrait_path(), out, size=SIZE, config=quick)
    first = read_identity(out).codes[0]
    enrol(out / "portrait.png", out, size=2 * SIZE, config=quick)  # the copy in it is the same portrait
    both = read_identity(out)
    assert [code.size for code in both.codes] == [SIZE, 2 * SIZE] and both.name == "astronaut.png"
    assert np.array_equal(both.codes[0].w, first.w) and both.codes[0].graph == first.graph
    enrol(portrait_path(), out, size=SIZE, config=EnrolConfig(1, 0, 1))
    again = read_identity(out)
    assert [code.size for code in again.codes] == [2 * SIZE, SIZE]
    assert again.codes[1].graph is None and not first.graph.with_suffix(".onnx").exists()
    mirrored = tmp_path / "mirrored.png"
    cv2.imwrite(str(mirrored), np.ascontiguousarray(data.astronaut()[:, ::-1, ::-1]))
    enrol(mirrored, out, size=SIZE, config=quick)
    other = read_identity(out)
    assert [code.size for code in other.codes] == [SIZE] and other.name == "mirrored.png"
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == [code_folder("0064" * 10, SIZE)]


def test_a_damaged_identity_of_the_same_portrait_is_written_anew(tmp_path: Path) -> None:
    out, quick = tmp_path / "me", EnrolConfig(1, 0, 1)
    enrol(portrait_path(), out, size=SIZE, config=quick)
    (out / code_folder("0064" * 10, SIZE) / "code.npz").write_bytes(b"cut short")
    enrol(portrait_path(), out, size=2 * SIZE, config=quick)
    assert [code.size for code in read_identity(out).codes] == [2 * SIZE]


def test_the_first_format_becomes_the_second_by_the_command_its_error_names(tmp_path: Path) -> None:
    old = first_format(tmp_path / "me")
    cv2.imwrite(str(old / "portrait.png"), np.ascontiguousarray(data.astronaut()[..., ::-1]))
    with pytest.raises(ModelUnavailable, match="run: facepuppet enroll"):
        read_identity(old)
    enrol(old / "portrait.png", old, size=SIZE, config=EnrolConfig(1, 0, 1))
    assert len(read_identity(old).codes) == 1
    assert not (old / "identity.npz").exists() and not (old / "live.onnx").exists()


def test_an_interrupted_enrolment_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(what: str, done: int, total: int) -> None:
        if (what, done) == interrupted_at:
            raise KeyboardInterrupt

    for interrupted_at in (("refining", 1), ("tuning", 3), ("writing", 1)):
        with pytest.raises(KeyboardInterrupt):
            enrol(portrait_path(), tmp_path / "deep" / "me", size=SIZE, config=QUICK, on_step=interrupt)
        assert not list(tmp_path.iterdir()), interrupted_at


def test_steps_are_counted_whatever_the_clock_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    idle = enrol(portrait_path(), tmp_path / "idle", size=SIZE, config=QUICK)
    now = iter(range(10**9))
    monkeypatch.setattr(enrolment.time, "perf_counter", lambda: 1000.0 * next(now))
    busy = enrol(portrait_path(), tmp_path / "busy", size=SIZE, config=QUICK)
    assert (busy.code_steps, busy.tune_steps) == (20, 60) and busy.psnr_db == idle.psnr_db
    monkeypatch.undo()


def test_an_enrolment_that_was_stopped_goes_on_and_ends_as_one_that_was_not(tmp_path: Path) -> None:
    whole = enrol(portrait_path(), tmp_path / "whole", size=SIZE, config=QUICK)

    def stopped_at(phase: str, step: int) -> list[tuple[str, int]]:
        told: list[tuple[str, int]] = []

        def stop(what: str, done: int, total: int) -> None:
            told.append((what, done))
            if (what, done) == (phase, step):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            enrol(portrait_path(), out, size=SIZE, config=QUICK, kept_in=tmp_path / "kept", on_step=stop)
        return told

    out = tmp_path / "parts"
    assert stopped_at("refining", 15)[0] == ("refining", 0)
    assert stopped_at("tuning", 25)[0] == ("refining", 10), "at most ten steps are done again"
    assert stopped_at("tuning", 35)[0] == ("tuning", 20)
    assert not out.exists()
    made = enrol(portrait_path(), out, size=SIZE, config=QUICK, kept_in=tmp_path / "kept")
    assert (made.code_steps, made.tune_steps) == (20, 60)
    assert made.psnr_db == pytest.approx(whole.psnr_db, abs=SAME_DB)
    assert np.allclose(read_identity(out).codes[0].w, read_identity(tmp_path / "whole").codes[0].w, atol=1e-6)


def test_more_steps_go_on_where_an_enrolment_ended(tmp_path: Path) -> None:
    out, kept = tmp_path / "me", tmp_path / "kept"
    short = replace(QUICK, tune_steps=5)
    with pytest.raises(ModelUnavailable, match="run the command without --more"):
        enrol(portrait_path(), out, size=SIZE, config=short, more=30, kept_in=kept)
    first = enrol(portrait_path(), out, size=SIZE, config=short, kept_in=kept)
    code = read_identity(out).codes[0].w
    further = enrol(portrait_path(), out, size=SIZE, config=short, more=40, kept_in=kept)
    assert (further.code_steps, further.tune_steps) == (20, 45) and further.psnr_db > first.psnr_db + 0.5
    assert np.array_equal(read_identity(out).codes[0].w, code), "the code stays"
    again = enrol(portrait_path(), out, size=SIZE, config=short, kept_in=kept)
    assert again.tune_steps == 5, "without `more` an enrolment that ended is begun anew"


def test_what_was_kept_and_is_damaged_is_begun_anew(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    enrol(portrait_path(), tmp_path / "me", size=SIZE, config=EnrolConfig(1, 0, 1), kept_in=kept)
    (file,) = kept.iterdir()
    file.write_bytes(b"PK cut short")
    made = enrol(portrait_path(), tmp_path / "me", size=SIZE, config=EnrolConfig(1, 0, 1), kept_in=kept)
    assert made.code_steps == 1


@pytest.mark.parametrize(
    ("psnr_db", "distance", "lacks"),
    [(25.0, 0.1, ""), (25.0, float("nan"), ""), (11.8, float("nan"), "11.8 dB"), (25.0, 0.6, "0.60 apart")],
)
def test_a_likeness_below_what_is_stated_is_told(psnr_db: float, distance: float, lacks: str) -> None:
    made = Enrolled(Path("me"), 1.0, 1, 1, 0.9, 0.5, distance, psnr_db)
    assert bool(made.shortfall) == bool(lacks) and lacks in made.shortfall


def test_an_enrolment_that_went_before_stays_when_the_next_one_fails(tmp_path: Path) -> None:
    out = tmp_path / "me"
    enrol(portrait_path(), out, size=SIZE, config=EnrolConfig(1, 0, 1))
    before = read_identity(out)
    wall = tmp_path / "wall.png"
    cv2.imwrite(str(wall), np.full((300, 300, 3), 120, np.uint8))
    with pytest.raises(BadPortrait, match="no face"):
        enrol(wall, out, size=SIZE, config=QUICK)
    assert np.array_equal(read_identity(out).codes[0].w, before.codes[0].w)


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SinkUnavailable):
        enrol(portrait_path(), tmp_path / "file", size=SIZE, config=EnrolConfig(1, 0, 1))


def test_missing_weights_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(size: int) -> Parts:
        raise ModelUnavailable("head is missing, expected a file")

    monkeypatch.setattr(enrolment, "load_parts", missing)
    with pytest.raises(ModelUnavailable):
        enrol(portrait_path(), tmp_path / "me", size=SIZE, config=QUICK)
    assert not list(tmp_path.iterdir())


def test_rows_of_a_code_stay_near_their_mean() -> None:
    code = torch.randn(1, ROWS, W_DIM) * 3
    apart = bounded_rows(code) - code.mean(1, keepdim=True)
    assert float(apart.square().mean(2).sqrt().max()) <= LARGEST_ROW * 1.001
    near = torch.randn(1, ROWS, W_DIM) * 0.1
    assert torch.allclose(bounded_rows(near), near, atol=1e-6)


def test_likeness_is_least_for_the_portrait_itself() -> None:
    torch.manual_seed(1)
    picture = torch.rand(1, 3, 64, 64) * 2 - 1
    landmarks = torch.rand(478, 3) * 30 + 17
    likeness = Likeness(picture, landmarks, face_weight(landmarks, 64), recogniser=None)
    same, terms = likeness(picture)
    assert float(same) == 0 and set(terms) == {"pixels"}
    distances = [float(likeness(picture + amount)[0]) for amount in (0.05, 0.1, 0.4)]
    assert 0 < distances[0] < distances[1] < distances[2]
    assert np.isnan(likeness.identity_distance(picture))


def test_the_face_counts_more_than_its_surroundings() -> None:
    landmarks = torch.rand(478, 3) * 20 + 22
    weight = face_weight(landmarks, 64)
    assert float(weight[32, 32]) > 2.5 and float(weight[2, 2]) < 1.1
