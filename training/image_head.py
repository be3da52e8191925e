# SPDX-License-Identifier: MIT
"""Train an image head for ffhq-mobile cut short at 256 or 512 pixels, by its own image of 1024.

    facepuppet train image-head --size 256 --work head --out engines/weights/ffhq-mobile/head256.safetensors

The whole network is the teacher: its image, reduced by area, is what the head's must be. Samples are crops of
the features of 64 pixels, which both share, and of the image, one for a latent. They are kept in shards, and
training keeps its state, so that both can be stopped and started again. A seed gives the same shard again.
"""

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from engines.ffhq_mobile import OWN_LICENCE, PACKAGE, VERSION, package_folder
from engines.networks.mobile_stylegan import (
    MobileHead,
    MobileHeadConfig,
    MobileSynthesis,
    cut_short,
)
from engines.networks.store import save_network
from engines.networks.stylegan2 import Mapping
from export.checkpoints.ffhq_mobile import read_ffhq_mobile
from training.loop import Run
from training.shards import load_shards, save_shard

Halves = NDArray[np.float16]
Rows = tuple[Tensor, Tensor]  # (N, 512) each

SHARD = 500
SHARED_LAYERS, SHARED_PX = 4, 64  # what the teacher and every head share
CROP, MARGIN = 24, 3  # of the shared features: the crop, and what is computed around it for its borders' sake
TARGET_PX = 512  # targets are kept at this size of the image and reduced further where wanted
ROWS = 12  # of a latent; the last is repeated for the teacher
LEAST_PSI, MOST_PSI = 0.5, 1.1
HELD_OUT = 64  # samples that are only measured
BATCH = 8
RATE, STYLE_RATE = 3e-3, 3e-4  # of Adam: of weights, and of the many that read the style
WARM_UP, CHECKPOINT_EVERY = 50, 200  # steps
BORDER = {256: 6, 512: 14}  # pixels of a crop's border, which know too little of what is around them
HIDDEN = {256: (64, 64), 512: (32, 32)}


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is."""

    size: int = 256
    samples: int = 1500
    steps: int = 4000
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Crops:
    """N samples: a latent, shared features and the image of a crop, and its place (row, column)."""

    w: Halves  # (N, ROWS, 512)
    f: Halves  # (N, 512, CROP, CROP)
    t: Halves  # (N, 3, 8 CROP, 8 CROP), of an image of TARGET_PX
    y: NDArray[np.int64]  # (N, 2), in pixels of the features


@dataclass(frozen=True, slots=True)
class Teacher:
    """The whole network and its mapping, frozen."""

    synthesis: MobileSynthesis
    mapping: Mapping

    @property
    def device(self) -> torch.device:
        return self.synthesis.constant.device

    def latent(self, rng: np.random.Generator) -> Tensor:
        """(1, ROWS, 512): one w, or two that change at a row, or one with the rows moved apart."""
        z = torch.tensor(rng.standard_normal((ROWS, 512)), dtype=torch.float32, device=self.device)
        mean, w = self.mapping.w_avg[0], self.mapping.w_of(z)
        w = mean + rng.uniform(LEAST_PSI, MOST_PSI) * (w - mean)
        rows, kind = w[:1].repeat(ROWS, 1), rng.uniform()
        if 0.5 < kind < 0.75:
            rows[rng.integers(1, ROWS) :] = w[1]
        elif kind >= 0.75:
            rows[: ROWS - 1] += rng.uniform(0.1, 0.5) * (w[1:] - mean)
        return rows[None]

    def shared(self, w: Tensor) -> Tensor:
        """(N, 512, 64, 64)"""
        network = self.synthesis
        x = network.first(network.constant * network.first.affine(w[:, 0])[:, :, None, None])
        for index in range(SHARED_LAYERS):
            x = network.layers[index](x, *rows_of(w, index))
        return x

    def crop(self, w: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor, tuple[int, int]]:
        """Shared features, image and place of a crop; the teacher computes no more than it needs."""
        x = self.shared(w)
        # A quarter of the crops lie at each edge: what is drawn there is learned only from them.
        last = SHARED_PX - CROP
        row, column = (int(place) for place in np.clip(rng.integers(-last // 2, last * 3 // 2, 2), 0, last))
        top, left = max(0, row - MARGIN), max(0, column - MARGIN)
        bottom, right = (min(SHARED_PX, place + CROP + MARGIN) for place in (row, column))
        y = x[:, :, top:bottom, left:right]
        for index in range(SHARED_LAYERS, len(self.synthesis.layers)):
            scale = 2 ** (index - SHARED_LAYERS + 1)
            places = [(top * scale, left * scale)]
            y = on_crop(self.synthesis.layers[index], y, rows_of(w, index), places)
        image = functional.avg_pool2d(self.synthesis.head(y, w[:, -2:]), 1024 // TARGET_PX)
        scale = TARGET_PX // SHARED_PX
        up, aside = (row - top) * scale, (column - left) * scale
        image = image[:, :, up : up + CROP * scale, aside : aside + CROP * scale]
        return x[:, :, row : row + CROP, column : column + CROP], image, (row, column)


def rows_of(w: Tensor, index: int) -> Rows:
    """The two rows that a layer reads; beyond the last kept one they are all alike."""
    return w[:, min(1 + 2 * index, ROWS - 1)], w[:, min(2 + 2 * index, ROWS - 1)]


def on_crop(
    layer: nn.Module, x: Tensor, rows: tuple[Tensor, Tensor], places: list[tuple[int, int]]
) -> Tensor:
    """The layer on crops of its input: each gets the noise of its place (of the output, in pixels)."""
    height, width = 2 * x.shape[2], 2 * x.shape[3]
    noises = {
        name: torch.stack([noise[y : y + height, x : x + width] for y, x in places])[:, None]
        for name, noise in layer.named_buffers()
    }
    result: Tensor = functional_call(layer, noises, (x, *rows))
    return result


def open_teacher(device: str = "cpu") -> Teacher:
    networks = read_ffhq_mobile(package_folder()).networks
    for network in networks.values():
        network.eval().requires_grad_(False).to(device)
    synthesis, mapping = networks["generator"], networks["mapping"]
    assert isinstance(synthesis, MobileSynthesis) and isinstance(mapping, Mapping)
    return Teacher(synthesis, mapping)


def make_crops(teacher: Teacher, *, seed: int, count: int = SHARD) -> Crops:
    rng = np.random.default_rng(seed)
    parts: list[tuple[Halves, ...]] = []
    for _ in track(range(count), description=f"shard {seed}"):
        with torch.no_grad():
            w = teacher.latent(rng)
            features, image, place = teacher.crop(w, rng)
        parts.append((*(value[0].half().cpu().numpy() for value in (w, features, image)), np.array(place)))
    return Crops(*(np.stack(values) for values in zip(*parts, strict=True)))


@dataclass(frozen=True, slots=True)
class Student:
    """A head, and the frozen layers between the shared features and it."""

    head: MobileHead
    layers: tuple[nn.Module, ...]
    pooled: int  # pixels of a target that become one
    device: torch.device

    def features(self, crops: Crops, chosen: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """What the head gets: features and its rows of w."""
        w = torch.from_numpy(crops.w[chosen]).to(self.device).float()
        x = torch.from_numpy(crops.f[chosen]).to(self.device).float()
        for offset, layer in enumerate(self.layers):
            scale = 2 ** (offset + 1)
            places = [(int(row) * scale, int(column) * scale) for row, column in crops.y[chosen]]
            x = on_crop(layer, x, rows_of(w, SHARED_LAYERS + offset), places)
        last = SHARED_LAYERS + len(self.layers) - 1
        return x, torch.stack([rows_of(w, last)[1], w[:, -1]], dim=1)

    def target(self, crops: Crops, chosen: NDArray[np.int64]) -> Tensor:
        image = torch.from_numpy(crops.t[chosen]).to(self.device).float()
        return functional.avg_pool2d(image, self.pooled)

    def known(self, crops: Crops, chosen: NDArray[np.int64]) -> Tensor:
        return known_part(crops.y[chosen], TARGET_PX // self.pooled).to(self.device)


def new_student(teacher: Teacher, size: int, hidden: tuple[int, ...]) -> Student:
    """A head whose styles start at 1 and whose filters start near their middle tap."""
    channels = teacher.synthesis.config.channels[: size.bit_length() - 3]
    head = MobileHead(MobileHeadConfig(channels[-1], hidden)).to(teacher.device)
    short = cut_short(teacher.synthesis, head, size=size)
    with torch.no_grad():
        for layer in head.layers:
            layer.depthwise *= 0.3
            layer.depthwise[:, :, 1, 1] += 1
            layer.pointwise *= 0.6
        for affine in (head.affine, *(layer.affine for layer in head.layers)):
            affine.weight.zero_()
            affine.bias.fill_(1)
    return Student(head, tuple(short.layers[SHARED_LAYERS:]), TARGET_PX // size, teacher.device)


def distance(image: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Differences of pixels, of edges, and of a quarter the size, where colours are; of what is `known`."""
    error = (image - target) * known
    across = (error[..., 1:] - error[..., :-1]) * known[..., 1:] * known[..., :-1]
    along = (error[..., 1:, :] - error[..., :-1, :]) * known[..., 1:, :] * known[..., :-1, :]
    edges = across.abs().mean() + along.abs().mean()
    return (error.abs().mean() + edges + functional.avg_pool2d(error, 4).abs().mean()) / known.mean()


def known_part(places: NDArray[np.int64], size: int) -> Tensor:
    """(N, 1, S, S) 1 where a crop's picture of `size` is the whole one's own: all but its border, which knows
    too little of what is around it, unless the picture itself ends there.
    """
    border, side = BORDER[size], CROP * size // SHARED_PX
    last = SHARED_PX - CROP
    known = torch.zeros(len(places), 1, side, side)
    for index, (row, column) in enumerate(places):
        top, left = (0 if place == 0 else border for place in (row, column))
        bottom, right = (side if place == last else side - border for place in (row, column))
        known[index, 0, top:bottom, left:right] = 1.0
    return known


def psnr(error: Tensor) -> Tensor:
    """dB of squared errors of images in [-1, 1]."""
    return 10 * torch.log10(4 / error)


def measure(student: Student, crops: Crops) -> float:
    """Mean dB over the held-out crops, clamped as they are shown."""
    errors = []
    for start in range(0, HELD_OUT, BATCH):
        chosen = np.arange(start, start + BATCH)
        with torch.no_grad():
            image, target = student.head(*student.features(crops, chosen)), student.target(crops, chosen)
        known = student.known(crops, chosen)
        difference = (image.clamp(-1, 1) - target.clamp(-1, 1)) * known
        errors.append(difference.square().sum(dim=(1, 2, 3)) / known.sum(dim=(1, 2, 3)) / 3)
    return float(psnr(torch.cat(errors)).mean())


def train(plan: Plan, student: Student, crops: Crops, folder: Path) -> None:
    """All steps of the plan, resumable in `folder`; the student's head is changed in place."""
    named = list(student.head.named_parameters())
    styles = [value for name, value in named if name.endswith("affine.weight")]
    others = [value for name, value in named if not name.endswith("affine.weight")]
    adam = torch.optim.Adam([{"params": styles}, {"params": others}], betas=(0.9, 0.99))
    with torch.no_grad():
        x, _ = student.features(crops, np.arange(BATCH))
        first = student.head.layers[0] if student.head.layers else student.head
        first.affine.bias /= x.std()

    def step(index: int) -> dict[str, Tensor]:
        rate = min(1, (index + 1) / WARM_UP) * (0.5 * (1 + math.cos(math.pi * index / plan.steps)) + 0.01)
        for group, base in zip(adam.param_groups, (STYLE_RATE, RATE), strict=True):
            group["lr"] = base * rate
        rng = np.random.default_rng((plan.seed, index))
        chosen = rng.integers(HELD_OUT, len(crops.w), BATCH)
        # Channels last and bfloat16: 90 ms a step instead of 160 on one core.
        with torch.autocast(student.device.type, torch.bfloat16):
            with torch.no_grad():
                x, rows = student.features(crops, chosen)
            image = student.head(x.contiguous(memory_format=torch.channels_last), rows)
        adam.zero_grad()
        loss = distance(image.float(), student.target(crops, chosen), student.known(crops, chosen))
        loss.backward()
        adam.step()
        return {"distance": loss}

    Run(plan, folder).train(
        step,
        {"head": student.head, "adam": adam},
        title=f"head of {plan.size} px",
        every=CHECKPOINT_EVERY,
        measure=lambda: {"held_out_db": measure(student, crops)},
    )


def whole_images(teacher: Teacher, head: MobileHead, *, size: int, count: int, seed: int) -> Tensor:
    """(count,) dB of whole images of fresh latents, psi 0.7."""
    short = cut_short(teacher.synthesis, head, size=size)
    z = torch.randn(count, 512, generator=torch.Generator().manual_seed(seed)).to(teacher.device)
    errors = []
    with torch.no_grad():
        for w in teacher.mapping(z, torch.tensor(0.7, device=teacher.device)).split(1):
            target = functional.avg_pool2d(teacher.synthesis(w), 1024 // size).clamp(-1, 1)
            rows = w[:, : short.config.rows]
            errors.append((short(rows).clamp(-1, 1) - target).square().mean())
    return psnr(torch.stack(errors))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        "facepuppet train image-head",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--size", type=int, choices=sorted(HIDDEN), default=Plan().size)
    parser.add_argument("--work", type=Path, required=True, help="folder of shards and of the run")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=Plan().samples)
    parser.add_argument("--steps", type=int, default=Plan().steps)
    parser.add_argument("--seed", type=int, default=Plan().seed)
    parser.add_argument("--device", default="cpu", help="cpu, or cuda: not yet run on a GPU")
    options = parser.parse_args(arguments)
    options.work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(options.seed)
    teacher = open_teacher(options.device)
    paths = [options.work / f"crops-{seed:05d}.npz" for seed in range(-(-options.samples // SHARD))]
    for seed, path in enumerate(paths):
        if not path.is_file():
            save_shard(make_crops(teacher, seed=seed), path)
    crops = load_shards(Crops, paths)
    student = new_student(teacher, options.size, HIDDEN[options.size])
    plan = Plan(options.size, options.samples, options.steps, options.seed)
    train(plan, student, crops, options.work / f"head{options.size}")
    notes = {"licence": OWN_LICENCE, "trained_for": f"{PACKAGE} {VERSION}", "seed": str(options.seed)}
    save_network(student.head, options.out, notes=notes, half=True)
    found = whole_images(teacher, student.head, size=options.size, count=32, seed=10_000)
    print(f"{options.out.name}: {found.mean():.2f} dB on 32 whole images, worst {found.min():.2f}")


if __name__ == "__main__":
    main()
