# SPDX-License-Identifier: MIT
"""Train the matrix of directions of `directions`. Knows the generator, the judges and samples; no live line.

    python -m training.samples --out samples --count 2000
    python -m methods.directions.train --samples samples --out run --steps 1000

Starts from the closed form and goes on in pictures: a source and a target drawn, the source shifted, the
picture made and judged (Bounareli et al. 2022, section 3.1.4). Half of each batch changes one attribute, the
other half takes the whole motion of another face. The matrix is kept in whitened w, so that a step goes where
the generator's own faces vary. Interrupted runs go on where the last checkpoint was; the same seed gives the
same result.
"""

import argparse
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor

from engines.networks.directions import Directions, DirectionsConfig
from engines.networks.face_embedding import FaceEmbedding
from engines.networks.store import save_network
from engines.networks.tracker_stand_in import TrackerStandIn
from face.arrays import Floats
from face.direction_parameters import INDEX, NAMES, RANGES, scaled
from methods.directions.train_closed_form import Whitening, natural_span, starting_point, whitening
from methods.directions.train_losses import (
    Weights,
    motion_loss,
    shape_losses,
    small,
    surroundings_loss,
    surroundings_mask,
    target_shape,
)
from training.generator import SIZE, Generator, open_generator
from training.judges import open_embedding, open_stand_in, parameters_seen
from training.samples import Samples, load_samples

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
    """What a run is; kept with its checkpoint, so that another run does not go on with it by mistake."""

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

    w: Tensor  # (N, 512)
    landmarks: Floats  # (N, 478, 3)
    p: Floats  # (N, 15)
    embedding: Tensor  # (N, 128)
    surroundings: Tensor  # (N, 3, 64, 64)


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
    with torch.no_grad(), Progress() as progress:
        task = progress.add_task("sources", total=len(w))
        for start in range(0, len(w), batch):
            part = slice(start, start + batch)
            images = generator(w[part])
            tracks = judges.tracker(images, torch.from_numpy(samples.landmarks[part]))
            landmarks.append(tracks.landmarks)
            p.append(parameters_seen(tracks.rotation, tracks.scores))
            numbers.append(judges.embedding.of_faces(images, tracks.landmarks))
            surroundings.append(small(images))
            progress.advance(task, batch)
    return Sources(
        w, torch.cat(landmarks).numpy(), torch.cat(p).numpy(), torch.cat(numbers), torch.cat(surroundings)
    )


def _kept_sources(path: Path, samples: Samples, generator: Generator, judges: Judges, batch: int) -> Sources:
    """Read back where an interrupted run has made them."""
    if path.is_file():
        kept = torch.load(path, weights_only=True)
        return Sources(
            kept["w"], kept["landmarks"].numpy(), kept["p"].numpy(), kept["embedding"], kept["surroundings"]
        )
    made = prepare_sources(samples, generator, judges, batch)
    state = {name: torch.as_tensor(getattr(made, name)) for name in Sources.__slots__}
    torch.save(state, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)
    return made


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
    images = generator(sources.w[chosen], matrix(torch.from_numpy(scaled(targets - p))))
    tracks = judges.tracker(images, wanted)
    seen = parameters_seen(tracks.rotation, tracks.scores)
    with torch.autocast("cpu", torch.bfloat16, enabled=generator.half):
        numbers = judges.embedding.of_faces(images, tracks.landmarks).float()
    shape, eyes, mouth = shape_losses(tracks, wanted)
    identity = (numbers - sources.embedding[chosen]).square().sum(1)
    surroundings = surroundings_loss(images, sources.surroundings[chosen], torch.from_numpy(np.array(masks)))
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
    """Run or go on; `out` gets the checkpoint, the log and at the end directions.safetensors."""
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(plan.seed)
    start = starting_point(samples, basis)
    matrix = Whitened(start, basis, natural_span(samples, basis))
    optimiser = torch.optim.Adam([matrix.matrix], lr=plan.rate, betas=(0.9, 0.98))
    first = _resume(out / "checkpoint.pt", plan, matrix, optimiser)
    few = replace(samples, **{k: getattr(samples, k)[: plan.sources] for k in samples.__slots__})
    sources = _kept_sources(out / "sources.pt", few, generator, judges, plan.batch)
    shares = asdict(plan.weights)
    with Progress() as progress, (out / "log.jsonl").open("a") as log:
        task = progress.add_task("directions", total=plan.steps, completed=first)
        for step in range(first, plan.steps):
            rng = np.random.default_rng((plan.seed, step))
            for group in optimiser.param_groups:
                group["lr"] = plan.rate * (0.55 + 0.45 * float(np.cos(np.pi * step / plan.steps)))
            chosen, targets = draw(sources, plan.batch, rng, singles=plan.singles)
            terms = losses(matrix, sources, generator, judges, chosen, targets)
            loss = sum((shares[name] * term for name, term in terms.items()), torch.zeros(()))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            matrix.follow()
            log.write(json.dumps({"step": step} | {k: round(v.item(), 5) for k, v in terms.items()}) + "\n")
            if (step + 1) % CHECKPOINT_EVERY == 0 or step + 1 == plan.steps:
                log.flush()
                _save(out / "checkpoint.pt", plan, matrix, optimiser, step + 1)
            progress.advance(task)
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


def _save(path: Path, plan: Plan, matrix: Whitened, optimiser: torch.optim.Optimizer, step: int) -> None:
    state = {
        "plan": json.dumps(asdict(plan)),
        "step": step,
        "matrix": matrix.state_dict(),
        "optimiser": optimiser.state_dict(),
    }
    unfinished = path.with_suffix(".part")
    torch.save(state, unfinished)
    unfinished.replace(path)


def _resume(path: Path, plan: Plan, matrix: Whitened, optimiser: torch.optim.Optimizer) -> int:
    """The step to go on with: 0 without a checkpoint."""
    if not path.is_file():
        return 0
    state = torch.load(path, weights_only=True)
    if state["plan"] != json.dumps(asdict(plan)):
        raise ValueError(f"{path} is of another plan: {state['plan']}; take another --out")
    matrix.load_state_dict(state["matrix"])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=Plan().steps)
    parser.add_argument("--batch", type=int, default=Plan().batch)
    parser.add_argument("--sources", type=int, default=Plan().sources)
    parser.add_argument("--rate", type=float, default=Plan().rate)
    parser.add_argument("--singles", type=float, default=Plan().singles)
    parser.add_argument("--seed", type=int, default=Plan().seed)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    plan = Plan(options.steps, options.batch, options.rate, options.singles, options.sources, options.seed)
    samples = load_samples(options.samples)
    judges = Judges(open_stand_in(), open_embedding())
    basis = whitening(samples.w)
    train(plan, samples, open_generator(half=True), judges, options.out, basis=basis)


if __name__ == "__main__":
    main()
