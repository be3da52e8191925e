# SPDX-License-Identifier: MIT
"""Holds a graph against the network it was recorded from, before anyone relies on it. Knows no checkpoint."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from engines import TensorSpec, open_engine
from engines.base import Array
from engines.networks.live import Live
from engines.networks.store import Network
from face.errors import BadCheckpoint

TOLERANCE = 2e-5  # of the output's range: float32 sums in another order, measured up to 2e-6 at 1024 pixels
ROUNDINGS = 8  # times what the network itself makes of inputs that differ by one rounding; measured: up to 1
BATCHES = (1, 2)  # sizes of the free dimension that are tried
SEED = 20260
PICTURES = 4  # motions that a live graph is tried with
LARGEST_MOTION = 6.0  # the papers scale a face's parameters to [-6, 6]
LEAST_INSIDE = 0.001  # of the values, neither black nor white: with fewer nothing would be compared
MAX_PSNR_DB = 99.0  # said of equal pictures


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found for one graph; differences are absolute, over all batches and outputs."""

    max_difference: float
    max_value: float
    batches: tuple[int, ...]
    runtime: str


def verify_graph(network: Network, path: Path) -> Verification:
    """Run graph and network on the same random inputs; BadCheckpoint when they or two runs differ."""
    worst, largest = 0.0, 0.0
    with open_engine(path, backend="onnx", threads=0) as engine:
        for batch in BATCHES:
            arrays = random_inputs(network.inputs, batch)
            with torch.inference_mode():
                values = network(*(torch.tensor(arrays[spec.name]) for spec in network.inputs))
            values = values if isinstance(values, tuple) else (values,)
            results = engine.run(**arrays)
            again = engine.run(**arrays) if batch == 1 else results
            for spec, value in zip(network.outputs, values, strict=True):
                result, reference = results[spec.name], value.numpy()
                if result.shape != reference.shape or not np.isfinite(reference).all():
                    raise BadCheckpoint(
                        f"{path.name} gives no finite {spec.name} for random inputs; the weights are damaged"
                    )
                if not np.array_equal(result, again[spec.name]):
                    raise BadCheckpoint(
                        f"{path.name} gives two answers to one question; report this as a bug"
                    )
                largest = max(largest, float(np.abs(reference).max()))
                worst = max(worst, float(np.abs(result - reference).max()))
        runtime = engine.provenance.runtime
    tolerance = TOLERANCE * max(largest, 1.0)
    if not worst <= tolerance and not worst <= ROUNDINGS * _own_rounding(network):
        raise BadCheckpoint(
            f"{path.name} differs from torch by {worst:.2g} on values up to {largest:.2g}, "
            f"expected {tolerance:.2g} at most; report this as a bug"
        )
    return Verification(worst, largest, BATCHES, runtime)


def _own_rounding(network: Network) -> float:
    """How far its own answers to inputs one rounding apart are apart: StyleGAN3 may divide by little."""
    worst = 0.0
    for batch in BATCHES:
        arrays = random_inputs(network.inputs, batch)
        inputs = [torch.tensor(arrays[spec.name]) for spec in network.inputs]
        source = torch.Generator().manual_seed(SEED)
        signs = [torch.randint(0, 2, tuple(value.shape), generator=source) * 2 - 1 for value in inputs]
        nudged = [v * (1 + sign * 2.0**-23) for v, sign in zip(inputs, signs, strict=True)]
        with torch.inference_mode():
            answers, others = network(*inputs), network(*nudged)
        pairs = zip(answers, others, strict=True) if isinstance(answers, tuple) else ((answers, others),)
        worst = max(worst, *(float((other - answer).abs().max()) for answer, other in pairs))
    return worst


def random_inputs(specs: tuple[TensorSpec, ...], batch: int) -> dict[str, Array]:
    """Inputs as a user may give them: pictures in [-1, 1], psi 0.7, everything else normal."""
    rng = np.random.default_rng(SEED + batch)
    arrays: dict[str, Array] = {}
    for spec in specs:
        shape = tuple(batch if isinstance(size, str) else size for size in spec.shape)
        if spec.name == "psi":
            arrays[spec.name] = np.array(0.7, np.float32)
        elif spec.name == "image":
            arrays[spec.name] = rng.uniform(-1, 1, shape).astype(np.float32)
        else:
            arrays[spec.name] = rng.standard_normal(shape).astype(np.float32)
    return arrays


@dataclass(frozen=True, slots=True)
class Agreement:
    """How near a graph's pictures must come to those of torch in float32: either is enough."""

    max_levels: int
    psnr_db: float


# A grey level is cut off, not rounded: the last bit of a float is a level here and there.
AGREEMENTS = {"fp32": Agreement(1, 60.0), "fp16": Agreement(2, 45.0), "int8": Agreement(4, 30.0)}


@dataclass(frozen=True, slots=True)
class PictureVerification:
    """What was found for one live graph against torch in float32, over all pictures."""

    max_levels: int
    psnr_db: float
    inside: float  # share of values that are neither black nor white
    pictures: int
    runtime: str


def verify_live(
    live: Live, path: Path, *, precision: str = "fp32", samples: Sequence[dict[str, Array]] | None = None
) -> PictureVerification:
    """Run a graph and its float32 network on the same motions; BadCheckpoint when they differ too much.

    samples: inputs as a live line gives them; without, random ones.
    """
    samples = random_motions(live) if samples is None else samples
    wanted = np.concatenate([picture_of(live, arrays) for arrays in samples])
    with open_engine(path, backend="onnx", threads=0) as engine:
        found = np.concatenate([engine.run(**arrays)["image"] for arrays in samples])
        again = engine.run(**samples[-1])["image"]
        runtime = engine.provenance.runtime
    if not np.array_equal(found[-1:], again):
        raise BadCheckpoint(f"{path.name} gives two answers to one question; report this as a bug")
    compared = compare_pictures(found, wanted, runtime)
    if compared.inside < LEAST_INSIDE:
        raise BadCheckpoint(f"{path.name} gives nothing but black and white; the weights are damaged")
    agreement = AGREEMENTS[precision]
    if compared.max_levels > agreement.max_levels and compared.psnr_db < agreement.psnr_db:
        raise BadCheckpoint(
            f"{path.name} differs from torch by {compared.max_levels} grey levels and is at "
            f"{compared.psnr_db:.1f} dB, expected {agreement.max_levels} or {agreement.psnr_db:.0f} dB; "
            f"this model does not bear {precision}"
        )
    return compared


def picture_of(live: Live, arrays: dict[str, Array]) -> Array:
    """(1, H, W, 3) of the network itself."""
    with torch.inference_mode():
        image: Array = live(*(torch.tensor(arrays[spec.name]) for spec in live.inputs)).numpy()
    return image


def compare_pictures(found: Array, wanted: Array, runtime: str) -> PictureVerification:
    """Two stacks of uint8 pictures of one shape."""
    difference = found.astype(np.float32) - wanted.astype(np.float32)
    squared = float(np.square(difference, dtype=np.float64).mean())
    psnr = min(10 * math.log10(255**2 / squared), MAX_PSNR_DB) if squared else MAX_PSNR_DB
    inside = float(((wanted > 0) & (wanted < 255)).mean())
    return PictureVerification(int(np.abs(difference).max()), psnr, inside, len(found), runtime)


def random_motions(live: Live, *, count: int = PICTURES, seed: int = SEED) -> list[dict[str, Array]]:
    """Inputs for a live graph: latents are normal, a face's parameters all that the papers allow."""
    rng = np.random.default_rng(seed)
    samples = []
    for _ in range(count):
        arrays: dict[str, Array] = {}
        for spec in live.inputs:
            shape = tuple(int(size) for size in spec.shape)
            limit = LARGEST_MOTION if len(shape) == 2 else 1.0  # pictures are in [-1, 1]
            latent = len(shape) == 3
            values = rng.standard_normal(shape) if latent else rng.uniform(-limit, limit, shape)
            arrays[spec.name] = values.astype(np.float32)
        samples.append(arrays)
    return samples
