# SPDX-License-Identifier: MIT
"""Holds graphs against the networks they were recorded from, before anyone relies on them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from engines import TensorSpec, open_engine
from engines.base import Array
from engines.graphs import IDENTITY, IMAGE, W
from engines.networks.live import Live, LiveGenerator
from engines.networks.store import Network
from engines.networks.stylegan2 import Mapping as MappingNetwork
from face.errors import BadCheckpoint

TOLERANCE = 2e-5  # of the output's range: float32 sums in another order, measured up to 2e-6 at 1024 pixels
ROUNDINGS = 8  # times what the network itself makes of inputs that differ by one rounding; measured: up to 1
BATCHES = (1, 2)  # sizes of the free dimension that are tried
SEED = 20260
PICTURES = 4  # motions that live graphs are tried with
SAMPLE_PSI = 0.7  # of the latents among them
LARGEST_MOTION = 6.0  # the papers scale a face's parameters to [-6, 6]
LEAST_INSIDE = 0.001  # of the values, neither black nor white: with fewer nothing would be compared
MAX_PSNR_DB = 99.0  # said of equal pictures

Arrays = dict[str, Array]


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
    batches = BATCHES if any(isinstance(s, str) for i in network.inputs for s in i.shape) else BATCHES[:1]
    with open_engine(path, backend="onnx", threads=0) as engine:
        for batch in batches:
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
    return Verification(worst, largest, batches, runtime)


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
    """What was found for pictures of graphs against those of torch in float32."""

    max_levels: int
    psnr_db: float
    inside: float  # share of values that are neither black nor white
    pictures: int
    runtime: str


def verify_generator(
    generator: LiveGenerator, path: Path, latents: Sequence[Arrays], *, precision: str = "fp32"
) -> PictureVerification:
    """Run a graph and its float32 network on the same inputs; BadCheckpoint when they differ too much."""
    wanted = np.concatenate([picture_of(generator, arrays) for arrays in latents])
    with open_engine(path, backend="onnx", threads=0) as engine:
        found = np.concatenate([engine.run(**arrays)[IMAGE] for arrays in latents])
        again = engine.run(**latents[-1])[IMAGE]
        runtime = engine.provenance.runtime
    if not np.array_equal(found[-1:], again):
        raise BadCheckpoint(f"{path.name} gives two answers to one question; report this as a bug")
    return _accepted(path.name, compare_pictures(found, wanted, runtime), precision)


def verify_live(live: Live, generator: Path, mover: Path, motions: Sequence[Arrays]) -> PictureVerification:
    """The same of both float32 graphs in a row, on inputs of `live`."""
    wanted = np.concatenate([picture_of(live, arrays) for arrays in motions])
    pictures = []
    with (
        open_engine(mover, backend="onnx", threads=0) as moves,
        open_engine(generator, backend="onnx", threads=0) as draws,
    ):
        for arrays in motions:
            given = {**arrays, **moves.run(**{spec.name: arrays[spec.name] for spec in moves.inputs})}
            pictures.append(draws.run(**{spec.name: given[spec.name] for spec in draws.inputs})[IMAGE])
        runtime = draws.provenance.runtime
    compared = compare_pictures(np.concatenate(pictures), wanted, runtime)
    return _accepted(f"{generator.name} after {mover.name}", compared, "fp32")


def _accepted(name: str, compared: PictureVerification, precision: str) -> PictureVerification:
    if compared.inside < LEAST_INSIDE:
        raise BadCheckpoint(f"{name} gives nothing but black and white; the weights are damaged")
    agreement = AGREEMENTS[precision]
    if compared.max_levels > agreement.max_levels and compared.psnr_db < agreement.psnr_db:
        raise BadCheckpoint(
            f"{name} differs from torch by {compared.max_levels} grey levels and is at "
            f"{compared.psnr_db:.1f} dB, expected {agreement.max_levels} or {agreement.psnr_db:.0f} dB; "
            f"this model does not bear {precision}"
        )
    return compared


def latents_of(live: Live, motions: Sequence[Arrays]) -> list[Arrays]:
    """What the generator reads when its mover is given these motions."""
    with torch.inference_mode():
        made = (live.latents({name: torch.tensor(value) for name, value in m.items()}) for m in motions)
        return [{name: value.numpy() for name, value in latents.items()} for latents in made]


def picture_of(network: Live | LiveGenerator, arrays: Arrays) -> Array:
    """(1, H, W, 3) of the network itself."""
    with torch.inference_mode():
        image: Array = network(*(torch.tensor(arrays[spec.name]) for spec in network.inputs)).numpy()
    return image


def compare_pictures(found: Array, wanted: Array, runtime: str) -> PictureVerification:
    """Two stacks of uint8 pictures of one shape."""
    difference = found.astype(np.float32) - wanted.astype(np.float32)
    squared = float(np.square(difference, dtype=np.float64).mean())
    psnr = min(10 * math.log10(255**2 / squared), MAX_PSNR_DB) if squared else MAX_PSNR_DB
    inside = float(((wanted > 0) & (wanted < 255)).mean())
    return PictureVerification(int(np.abs(difference).max()), psnr, inside, len(found), runtime)


def random_motions(
    live: Live, *, mapping: Network | None = None, count: int = PICTURES, seed: int = SEED
) -> list[Arrays]:
    """Inputs of both networks: a face's parameters all that the papers allow, latents those that the
    generator has learned where its mapping network is there, else normal.
    """
    rng = np.random.default_rng(seed)
    samples = []
    for _ in range(count):
        arrays: Arrays = {}
        for spec in live.inputs:
            shape = tuple(int(size) for size in spec.shape)
            limit = LARGEST_MOTION if len(shape) == 2 else 1.0  # pictures are in [-1, 1]
            latent = len(shape) == 3
            values = rng.standard_normal(shape) if latent else rng.uniform(-limit, limit, shape)
            arrays[spec.name] = values.astype(np.float32)
        samples.append(arrays)
    if isinstance(mapping, MappingNetwork) and not mapping.config.label_dim:
        _set_learned(samples, mapping, seed)
    return samples


def _set_learned(samples: list[Arrays], mapping: MappingNetwork, seed: int) -> None:
    """Replace the portraits' codes by latents of the mapping network."""
    rng = np.random.default_rng(seed)
    for arrays in samples:
        z = torch.tensor(rng.standard_normal((1, mapping.config.z_dim)).astype(np.float32))
        with torch.inference_mode():
            w: Array = mapping(z, torch.tensor(SAMPLE_PSI)).numpy()
        for name in (IDENTITY, W):
            if name in arrays and arrays[name].shape == w.shape:
                arrays[name] = w
