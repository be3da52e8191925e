# SPDX-License-Identifier: MIT
"""Train the small inversion encoder, by generated faces with their w, and by real pictures.

    facepuppet train samples --out samples --count 2000
    facepuppet train encoder --samples samples --out run
    facepuppet train encoder --samples samples --out run --pictures ../shared/data/faces256 --steps 2000

First the map from features to w in one piece: ridge regression on generated faces, whose w is known, its
strength chosen by cross-validation. Then, with --steps, in pictures: what the generator makes of the map's w
is compared with the picture, half of them generated, half real, and w is held where the generator was made
for.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from rich.progress import track
from torch import Tensor
from torch.nn import functional

from engines.networks.face_embedding import FaceEmbedding
from engines.networks.feature_encoder import FeatureEncoder, FeatureEncoderConfig, features_of
from engines.networks.store import save_network
from face.arrays import Floats, Image
from training.generator import Generator, open_generator
from training.judges import open_embedding, to_images
from training.loop import Run
from training.samples import Samples, load_samples
from training.shards import written_whole
from training.whitening import Whitening, whitening

STRENGTHS = (1e2, 3e2, 1e3, 3e3, 1e4, 3e4)
FOLDS = 5
EVALUATION_PORTRAITS, EVALUATION_SEED = 40, 4  # kept out of every training; see `portraits_kept_back`
CHECKPOINT_EVERY = 20  # steps
FACE = slice(40, 232), slice(48, 208)  # rows and columns where an aligned face lies, of 256
BATCH = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run in pictures is."""

    steps: int = 0
    batch: int = BATCH
    rate: float = 2e-5
    seed: int = 0
    pixels: float = 1.0
    identity: float = 1.0
    near: float = 0.002  # of the squared length of whitened w, which is 512 for a usual face


def portraits_kept_back(names: list[str]) -> list[str]:
    """The evaluation portraits among file names; the same for the same names, in any order."""
    ordered = sorted(names)
    chosen = np.random.default_rng(EVALUATION_SEED).permutation(len(ordered))[:EVALUATION_PORTRAITS]
    return [ordered[index] for index in sorted(chosen)]


def gather_features(samples: Samples, recogniser: FaceEmbedding) -> Floats:
    """(N, FEATURES)"""
    parts = []
    with torch.no_grad():
        for start in track(range(0, len(samples), BATCH), description="features"):
            parts.append(features_of(recogniser, to_images(samples.pictures[start : start + BATCH])))
    return np.asarray(torch.cat(parts).numpy(), np.float32)


def ridge(features: Floats, w: Floats, strength: float) -> tuple[Floats, Floats]:
    """(512, F) map and (512,) offset; solved among samples, which are fewer than features."""
    centre, middle = features.mean(0), w.mean(0)
    x = (features - centre).astype(np.float64)
    gram = x @ x.T + strength * np.eye(len(x))
    matrix = (x.T @ np.linalg.solve(gram, w - middle)).T
    return matrix.astype(np.float32), (middle - matrix @ centre).astype(np.float32)


def best_strength(features: Floats, w: Floats) -> tuple[float, float]:
    """Of STRENGTHS by cross-validation, and the share of w's variance it explains."""
    folds = np.arange(len(w)) % FOLDS
    scores = []
    for strength in STRENGTHS:
        left = 0.0
        for fold in range(FOLDS):
            matrix, offset = ridge(features[folds != fold], w[folds != fold], strength)
            left += float(np.square(w[folds == fold] - features[folds == fold] @ matrix.T - offset).sum())
        scores.append(1 - left / float(np.square(w - w.mean(0)).sum()))
    best = int(np.argmax(scores))
    return STRENGTHS[best], scores[best]


def fitted(features: Floats, w: Floats) -> tuple[FeatureEncoder, float]:
    """The encoder by regression and its cross-validated share of variance."""
    centre, spread = features.mean(0), features.std(0) + 1e-3
    scaled = (features - centre) / spread
    strength, share = best_strength(scaled, w)
    matrix, offset = ridge(scaled, w, strength)
    encoder = FeatureEncoder(FeatureEncoderConfig(features.shape[1], w.shape[1]))
    encoder.centre, encoder.spread = torch.from_numpy(centre), torch.from_numpy(spread)
    encoder.map.weight.data = torch.from_numpy(matrix)
    encoder.map.bias.data = torch.from_numpy(offset)
    return encoder, share


def picture_losses(
    encoder: FeatureEncoder, generator: Generator, recogniser: FaceEmbedding, images: Tensor, basis: Whitening
) -> dict[str, Tensor]:
    """How far the generator's picture of the encoder's w is from the picture itself."""
    w = encoder(images)[:, 0]
    made = generator(w)
    halves = [functional.avg_pool2d(made - images, size).abs().mean() for size in (2, 8)]
    faces = [functional.interpolate(part[:, :, FACE[0], FACE[1]], size=(150, 150)) for part in (made, images)]
    numbers = [recogniser((face + 1) * 127.5) for face in faces]
    mean, axes, spread = (torch.from_numpy(part) for part in (basis.mean, basis.axes, basis.spread))
    away = ((w - mean) @ axes.T / spread).square().sum(1).mean()
    return {
        "pixels": sum(halves, torch.zeros(())),
        "identity": (numbers[0] - numbers[1]).square().sum(1).mean(),
        "near": away / 512,
    }


def refine(
    plan: Plan,
    encoder: FeatureEncoder,
    generator: Generator,
    recogniser: FaceEmbedding,
    pictures: list[Image],
    basis: Whitening,
    out: Path,
) -> None:
    """Steps in pictures, resumable in `out`; the encoder is changed in place."""
    optimiser = torch.optim.Adam(encoder.map.parameters(), lr=plan.rate)

    def step(index: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((plan.seed, index))
        chosen = np.array([pictures[i] for i in rng.choice(len(pictures), plan.batch)])
        terms = picture_losses(encoder, generator, recogniser, to_images(chosen), basis)
        loss = sum((getattr(plan, name) * term for name, term in terms.items()), torch.zeros(()))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return terms

    kept = {"encoder": encoder, "optimiser": optimiser}
    Run(plan, out).train(step, kept, title="encoder", every=CHECKPOINT_EVERY)


def read_pictures(folder: Path) -> list[Image]:
    """Aligned pictures of 256 pixels, without those that evaluation needs."""
    names = [path.name for path in sorted(folder.glob("*.jpg"))]
    back = set(portraits_kept_back([name for name in names if not name.startswith("t2i")]))
    kept = [cv2.imread(str(folder / name)) for name in names if name not in back]
    return [np.ascontiguousarray(picture[..., ::-1]) for picture in kept if picture is not None]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        "facepuppet train encoder",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--samples", type=Path, required=True)
    parser.add_argument("--pictures", type=Path, help="folder of aligned 256 px pictures, for --steps")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=Plan().steps)
    parser.add_argument("--batch", type=int, default=Plan().batch)
    parser.add_argument("--seed", type=int, default=Plan().seed)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    samples, recogniser = load_samples(options.samples), open_embedding()
    options.out.mkdir(parents=True, exist_ok=True)
    cached = options.out / "features.npy"
    if not cached.exists():
        with written_whole(cached) as unfinished, unfinished.open("wb") as file:
            np.save(file, gather_features(samples, recogniser))
    encoder, share = fitted(np.load(cached), samples.w)
    print(f"regression on {len(samples)} faces explains {share:.1%} of w's variance in faces left out")
    encoder.attach(recogniser)
    if options.steps:
        plan = Plan(options.steps, options.batch, seed=options.seed)
        real = read_pictures(options.pictures) if options.pictures else []
        made = list(samples.pictures[: max(len(real), 1)])
        refine(
            plan,
            encoder,
            open_generator(half=True),
            recogniser,
            real + made,
            whitening(samples.w),
            options.out,
        )
    notes = {
        "training": f"{len(samples)} generated faces, {options.steps} steps in pictures, {share:.3f} of w"
    }
    save_network(encoder, options.out / "encoder.safetensors", notes=notes, half=True)


if __name__ == "__main__":
    main()
