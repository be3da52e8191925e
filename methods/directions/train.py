# SPDX-License-Identifier: MIT
"""Train the matrix of directions.

    facepuppet train samples --out samples --count 2000
    facepuppet train directions --samples samples --out run --steps 1000 --stretch 50

Starts from the closed form and goes on in pictures: a source and a target drawn, the source shifted, the
picture made and judged (Bounareli et al. 2022, section 3.1.4). Half of each batch changes one attribute, the
other half takes the whole motion of another face. The matrix is kept in whitened w, so that a step goes where
the generator's own faces vary. With --stretch each motion is then scaled to what is wanted of it
(train_gains.py). Interrupted runs go on where the last checkpoint was; the same seed gives the same result.
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from engines.mediapipe_reader import StillReader
from engines.networks.directions import Directions, DirectionsConfig
from engines.networks.face_embedding import FaceEmbedding
from engines.networks.store import save_network
from engines.networks.tracker_stand_in import TrackerStandIn
from face.arrays import Floats
from face.direction_parameters import INDEX, NAMES, RANGES, scaled
from methods.directions.train_closed_form import natural_span, starting_point
from methods.directions.train_gains import stretch
from methods.directions.train_losses import (
    Weights,
    motion_loss,
    shape_losses,
    small,
    surroundings_loss,
    surroundings_mask,
    target_shape,
)
from methods.directions.train_measured import Bench
from training.generator import SIZE, Generator, open_generator
from training.judges import open_embedding, open_stand_in, parameters_seen
from training.loop import Run
from training.samples import Samples, load_samples
from training.shards import load_shards, save_shard
from training.whitening import Whitening, whitening

# What is changed alone, and how often: a wink is no motion of its own, so lids mostly go together.
GROUPS: tuple[tuple[tuple[str, ...], float], ...] = (
    (("yaw",), 5.0), (("pitch",), 3.0), (("jaw_open",), 4.0), (("smile",), 4.0), (("upper_lip",), 1.0),
    (("lower_lip",), 1.0), (("pucker",), 1.0), (("press",), 1.0), (("blink_left", "blink_right"), 4.0),
    (("blink_left",), 0.5), (("blink_right",), 0.5), (("brow_up",), 1.0), (("brow_down",), 1.0),
    (("squint",), 1.0), (("gaze_x",), 1.0), (("gaze_y",), 1.0),
)  # fmt: skip
# Values an attribute is taken to when it is changed alone; the widest that the generator shows.
TARGETS: dict[str, tuple[float, float]] = {
    "yaw": (-25, 25), "pitch": (-16, 18), "jaw_open": (0, 0.45), "smile": (0, 1), "upper_lip": (0, 0.9),
    "lower_lip": (0, 0.55), "pucker": (0, 0.8), "press": (0, 0.5), "blink_left": (0, 0.65), "blink_right":
    (0, 0.65), "brow_up": (0, 0.7), "brow_down": (0, 0.8), "squint": (0, 0.8), "gaze_x": (-22, 22), "gaze_y":
    (-20, 12),
}  # fmt: skip
CHECKPOINT_EVERY = 20  # steps
MEAN_DECAY = 0.97  # a step, of the running mean of the matrix


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is."""

    steps: int = 1000
    batch: int = 4
    rate: float = 1e-3  # of Adam, on shifts in standard deviations of w; falls to a tenth; at 4e-3 noise wins
    singles: float = 0.5  # share of a batch that changes one attribute alone
    sources: int = 300
    seed: int = 0
    weights: Weights = Weights()


@dataclass(frozen=True, slots=True)
class Sources:
    """Faces to be moved, as generator and judges of this run see them undriven."""

    w: Floats  # (N, 512)
    landmarks: Floats  # (N, 478, 3)
    p: Floats  # (N, 15)
    embedding: Floats  # (N, 128)
    surroundings: Floats  # (N, 3, 64, 64)


@dataclass(frozen=True, slots=True)
class Judges:
    tracker: TrackerStandIn
    embedding: FaceEmbedding


class Whitened(torch.nn.Module):
    """The matrix that is trained: scaled motion to a shift of the first rows, both ways of writing it."""

    def __init__(self, start: Floats, basis: Whitening, span: Floats | None = None) -> None:
        super().__init__()
        span = np.eye(start.shape[-1], dtype=np.float32) if span is None else span  # (K, 512)
        self.matrix = torch.nn.Parameter(torch.from_numpy(start @ span.T))  # (15, ROWS, K)
        self.register_buffer("mean", self.matrix.detach().clone())
        self.register_buffer("widen", torch.from_numpy((span * basis.spread) @ basis.axes))

    def follow(self) -> None:
        """The running mean of the last steps, which is what is shipped: quieter than any one of them."""
        self.mean.lerp_(self.matrix.detach(), 1 - MEAN_DECAY)

    def forward(self, delta: Tensor) -> Tensor:
        """(N, ROWS, 512) of scaled motion (N, 15)."""
        return torch.einsum("nd,drk->nrk", delta, self.matrix) @ self.widen

    def directions(self) -> Directions:
        """As it is shipped: one plain matrix."""
        parameters, rows, _ = self.matrix.shape
        w_dim = self.widen.shape[1]
        network = Directions(DirectionsConfig(parameters, rows, w_dim, bias=False))
        plain = (self.mean @ self.widen).reshape(parameters, -1)
        network.linear.weight.data = plain.T.contiguous()
        return network


def prepare_sources(samples: Samples, generator: Generator, judges: Judges, batch: int) -> Sources:
    """The samples again through this run's generator, which may differ from the one they were measured on."""
    landmarks, p, numbers, surroundings = [], [], [], []
    w = torch.from_numpy(samples.w)
    with torch.no_grad():
        for start in track(range(0, len(w), batch), description="sources"):
            part = slice(start, start + batch)
            images = generator(w[part])
            tracks = judges.tracker(images, torch.from_numpy(samples.landmarks[part]))
            landmarks.append(tracks.landmarks)
            p.append(parameters_seen(tracks.rotation, tracks.scores))
            numbers.append(judges.embedding.of_faces(images, tracks.landmarks))
            surroundings.append(small(images))
    return Sources(samples.w, *(torch.cat(part).numpy() for part in (landmarks, p, numbers, surroundings)))


def draw(
    sources: Sources, batch: int, rng: np.random.Generator, *, singles: float = 0.5
) -> tuple[list[int], Floats]:
    """Indices of sources and the p they are taken to (batch, 15); the first ones change one attribute."""
    chosen = [int(index) for index in rng.choice(len(sources.p), batch)]
    targets = sources.p[chosen].copy()
    shares = np.array([share for _, share in GROUPS])
    for row in range(batch):
        if row < round(batch * singles):
            group = GROUPS[rng.choice(len(GROUPS), p=shares / shares.sum())][0]
            low, high = TARGETS[group[0]]
            aim = rng.uniform(low, high)
            for name in group:
                targets[row, INDEX[name]] = aim
        else:
            targets[row] = sources.p[rng.choice(len(sources.p))]
    reach = np.clip(targets - sources.p[chosen], -RANGES, RANGES)
    return chosen, np.asarray(sources.p[chosen] + reach, np.float32)


def losses(
    matrix: Whitened,
    sources: Sources,
    generator: Generator,
    judges: Judges,
    chosen: list[int],
    targets: Floats,
) -> dict[str, Tensor]:
    """Each term's mean over the batch, before its weight."""
    p = sources.p[chosen]
    shapes = [
        target_shape(sources.landmarks[index], own, aim, SIZE)
        for index, own, aim in zip(chosen, p, targets, strict=True)
    ]
    masks = [
        surroundings_mask([sources.landmarks[index], shape], SIZE)
        for index, shape in zip(chosen, shapes, strict=True)
    ]
    wanted = torch.from_numpy(np.array(shapes))
    images = generator(torch.from_numpy(sources.w[chosen]), matrix(torch.from_numpy(scaled(targets - p))))
    tracks = judges.tracker(images, wanted)
    seen = parameters_seen(tracks.rotation, tracks.scores)
    with torch.autocast("cpu", torch.bfloat16, enabled=generator.half):
        numbers = judges.embedding.of_faces(images, tracks.landmarks).float()
    shape, eyes, mouth = shape_losses(tracks, wanted)
    identity = (numbers - torch.from_numpy(sources.embedding[chosen])).square().sum(1)
    before = torch.from_numpy(sources.surroundings[chosen])
    surroundings = surroundings_loss(images, before, torch.from_numpy(np.array(masks)))
    terms = {
        "motion": motion_loss(seen, torch.from_numpy(targets)),
        "shape": shape,
        "eyes": eyes,
        "mouth": mouth,
        "identity": identity,
        "surroundings": surroundings,
    }
    return {name: term.mean() for name, term in terms.items()}


def train(
    plan: Plan, samples: Samples, generator: Generator, judges: Judges, out: Path, *, basis: Whitening
) -> Directions:
    """Run or go on; `out` holds the run and at the end directions.safetensors."""
    run = Run(plan, out)
    torch.manual_seed(plan.seed)
    start = starting_point(samples, basis)
    matrix = Whitened(start, basis, natural_span(samples, basis, start))
    optimiser = torch.optim.Adam([matrix.matrix], lr=plan.rate, betas=(0.9, 0.98))
    kept_sources = out / "sources.npz"
    if not kept_sources.is_file():
        save_shard(prepare_sources(samples.first(plan.sources), generator, judges, plan.batch), kept_sources)
    sources = load_shards(Sources, [kept_sources])
    shares = asdict(plan.weights)

    def step(index: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((plan.seed, index))
        for group in optimiser.param_groups:
            group["lr"] = plan.rate * (0.55 + 0.45 * float(np.cos(np.pi * index / plan.steps)))
        chosen, targets = draw(sources, plan.batch, rng, singles=plan.singles)
        terms = losses(matrix, sources, generator, judges, chosen, targets)
        loss = sum((shares[name] * term for name, term in terms.items()), torch.zeros(()))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        matrix.follow()
        return terms

    run.train(step, {"matrix": matrix, "optimiser": optimiser}, title="directions", every=CHECKPOINT_EVERY)
    network = matrix.directions()
    save_network(network, out / "directions.safetensors", notes=notes(plan, len(samples)))
    return network


def notes(plan: Plan, samples: int) -> dict[str, str]:
    """What travels in the header of the weights."""
    return {
        "method": "directions",
        "parameters": " ".join(NAMES),
        "training": f"{samples} generated faces, {plan.steps} steps of {plan.batch}, seed {plan.seed}",
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        "facepuppet train directions",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--samples", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=Plan().steps)
    parser.add_argument("--batch", type=int, default=Plan().batch)
    parser.add_argument("--sources", type=int, default=Plan().sources)
    parser.add_argument("--rate", type=float, default=Plan().rate)
    parser.add_argument("--singles", type=float, default=Plan().singles)
    parser.add_argument("--seed", type=int, default=Plan().seed)
    parser.add_argument(
        "--stretch", type=int, default=0, metavar="FACES", help="measure gains on so many faces; 0: leave out"
    )
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    plan = Plan(options.steps, options.batch, options.rate, options.singles, options.sources, options.seed)
    samples = load_samples(options.samples)
    judges, generator = Judges(open_stand_in(), open_embedding()), open_generator(half=True)
    network = train(plan, samples, generator, judges, options.out, basis=whitening(samples.w))
    if options.stretch:
        with StillReader() as tracker:
            stretch(network, Bench(generator, tracker, judges.embedding, None), faces=options.stretch)
        path = options.out / "stretched.safetensors"
        save_network(network, path, notes=notes(plan, len(samples)), half=True)


if __name__ == "__main__":
    main()
