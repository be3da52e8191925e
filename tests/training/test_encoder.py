# SPDX-License-Identifier: MIT
"""The small encoder learns w from features, holds to its plan and keeps evaluation portraits out."""

from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")

import tiny_faces as tiny

import training.encoder as trainer
from engines.networks.face_embedding import FaceEmbedding
from engines.networks.feature_encoder import (
    FEATURES,
    FeatureEncoder,
    FeatureEncoderConfig,
    features_of,
)
from engines.networks.store import load_network, save_network
from export.ffhq_model import load_parts
from face.errors import ModelUnavailable
from training.generator import Generator
from training.judges import open_embedding
from training.whitening import whitening  # noqa: E402


@pytest.fixture(scope="module")
def recogniser() -> FaceEmbedding:
    torch.manual_seed(0)
    return FaceEmbedding().eval().requires_grad_(False)


def test_a_linear_relation_is_found_and_its_share_is_told() -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((200, 100)).astype(np.float32)
    truth = rng.standard_normal((100, 8)).astype(np.float32)
    encoder, share = trainer.fitted(features, features @ truth)
    assert share > 0.5
    found = encoder.map((torch.from_numpy(features) - encoder.centre) / encoder.spread)
    assert np.corrcoef(found.detach().numpy().ravel(), (features @ truth).ravel())[0, 1] > 0.95
    _, nothing = trainer.fitted(features, rng.standard_normal((200, 8)).astype(np.float32))
    assert nothing < 0.1


def test_features_are_as_many_as_are_declared_and_tell_pictures_apart(recogniser: FaceEmbedding) -> None:
    pictures = torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(1)) * 2 - 1
    found = features_of(recogniser, pictures)
    assert found.shape == (2, FEATURES)
    assert (found[0] - found[1]).abs().max() > 1e-3


def test_without_a_recogniser_it_says_so_and_its_file_holds_none(
    recogniser: FaceEmbedding, tmp_path: Path
) -> None:
    encoder = FeatureEncoder(FeatureEncoderConfig(rows=12))
    with pytest.raises(ValueError, match="attach"):
        encoder(torch.zeros(1, 3, 256, 256))
    encoder.attach(recogniser)
    save_network(encoder, tmp_path / "encoder.safetensors", half=True)
    loaded = load_network(tmp_path / "encoder.safetensors", FeatureEncoder)
    assert set(loaded.state_dict()) == {"centre", "spread", "map.weight", "map.bias"}
    with torch.no_grad():
        w = loaded.attach(recogniser)(torch.zeros(1, 3, 256, 256))
    assert w.shape == (1, 12, 512)


def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    recogniser: FaceEmbedding, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "CHECKPOINT_EVERY", 2)
    basis = whitening(tiny.samples(60).w)
    picture = np.full((256, 256, 3), 90, np.uint8)
    plan = trainer.Plan(steps=3, batch=1)

    def run(out: Path, stop_at: int | None = None) -> FeatureEncoder:
        torch.manual_seed(0)
        encoder = FeatureEncoder(FeatureEncoderConfig()).attach(recogniser)
        real, done = trainer.picture_losses, []

        def losses(*arguments: object) -> object:
            if len(done) == stop_at:
                raise KeyboardInterrupt
            done.append(1)
            return real(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(trainer, "picture_losses", losses)
        try:
            trainer.refine(plan, encoder, tiny.Generator(), recogniser, [picture], basis, out)
        finally:
            monkeypatch.setattr(trainer, "picture_losses", real)
        return encoder

    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", stop_at=2)
    resumed = run(tmp_path / "cut")
    assert torch.equal(whole.map.weight, resumed.map.weight)
    assert torch.equal(whole.map.bias, resumed.map.bias)


def test_portraits_for_evaluation_are_the_same_whatever_they_are_called_and_never_read(
    tmp_path: Path,
) -> None:
    names = [f"face_{index:02d}.jpg" for index in range(60)]
    back = trainer.portraits_kept_back(names)
    assert len(back) == trainer.EVALUATION_PORTRAITS
    renamed = trainer.portraits_kept_back([f"other_{name}" for name in reversed(names)])
    assert renamed == [f"other_{name}" for name in back]
    for name in names:
        cv2.imwrite(str(tmp_path / name), np.zeros((8, 8, 3), np.uint8))
    assert len(trainer.read_pictures(tmp_path)) == len(names) - len(back)


def test_the_command_fits_with_its_defaults(
    recogniser: FaceEmbedding, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = tiny.samples(20)
    monkeypatch.setattr(trainer, "load_samples", lambda _: faces)
    monkeypatch.setattr(trainer, "open_embedding", lambda: recogniser)
    trainer.main(f"--samples none --out {tmp_path}".split())
    load_network(tmp_path / "encoder.safetensors", FeatureEncoder)


def test_the_shipped_encoder_knows_faces_of_the_generator_it_was_made_for() -> None:
    try:
        parts, recogniser = load_parts(256), open_embedding()
    except ModelUnavailable as missing:
        pytest.skip(str(missing))
    encoder = parts.encoder
    assert encoder is not None
    generator = Generator(parts.synthesis, parts.mapping, half=False)
    w = generator.sample(6, seed=9_000_000, psi=(0.7, 0.7))  # neither samples nor evaluation use these
    with torch.no_grad():
        guessed = encoder.attach(recogniser)(generator(w))[:, 0]
    mean = parts.w_mean
    missed = ((guessed - w).square().sum(1) / (mean - w).square().sum(1)).numpy()
    assert missed.max() < 0.8 and missed.mean() < 0.6, "nearer than the mean face, each of them"
    others = torch.cdist(guessed, w).argmin(1)
    assert others.tolist() == list(range(6)), "and nearest to its own"
