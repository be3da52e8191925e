# SPDX-License-Identifier: MIT
"""Generator and mover of a method into a model folder, in each precision asked for, and engines of them.

generator_live.onnx        float32, for a CPU and as what the others are held against
generator_live-cpu.onnx    float32 with fewer multiplications, where that pays: what ONNX Runtime takes
generator_live-fp16.onnx   half precision, for a GPU
generator_live-int8.onnx   int8 convolutions, calibrated on latents of the mapping network
mover.onnx                 float32
mover.sm89.engine, generator_live-fp16.sm89.engine, ...    built ahead of time, the generator's of the lower
                           precisions where there are any; the encoder's too, where the folder has one
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engines.base import Array
from engines.cache import EngineCache, Progress
from engines.graphs import CPU, ENCODER, GENERATOR, MOVER
from engines.networks.half import half_generator
from engines.networks.live import Live, LiveGenerator
from engines.networks.store import Network
from export.live_graph import live_of
from export.live_request import LiveRequest
from export.onnx_export import save_graph
from export.precision import PRECISIONS
from export.quantise import Quantised, quantise_graph
from export.tensorrt_rtx import BuiltEngine, build_engines, load_builder, parsed
from export.verify import (
    PictureVerification,
    Verification,
    latents_of,
    random_motions,
    verify_generator,
    verify_graph,
    verify_live,
)
from export.winograd import winograd_graph
from face.errors import BadCheckpoint, WrongUse

logger = logging.getLogger(__name__)

PSI = {"stelabou-directions": 0.7}  # of methods whose authors truncate; by the mover's origin
CALIBRATION, CALIBRATION_SEED = 16, 4  # pictures; other motions than the verification's


@dataclass(frozen=True, slots=True)
class LiveGraphs:
    """What was written."""

    live: Live
    verified: dict[str, PictureVerification | Verification]  # by role
    together: PictureVerification  # of both float32 graphs in a row
    quantised: Quantised | None
    engines: tuple[BuiltEngine, ...]

    def described(self) -> dict[str, dict[str, Any]]:
        """The entries of model.json, by role."""
        entries = {}
        for role, verified in self.verified.items():
            network = self.live.mover if role == MOVER else self.live.generator
            entries[role] = describe(network, verified)
        entries[MOVER]["verified_together"] = asdict(self.together)
        if self.quantised is not None:
            entries[f"{GENERATOR}-int8"]["int8"] = asdict(self.quantised)
        return entries


def describe(network: Network, verified: Verification | PictureVerification | None) -> dict[str, Any]:
    """What a player must know to use a network, and how its graph was verified, as model.json has it."""
    return {
        "kind": network.kind,
        "inputs": [asdict(spec) for spec in network.inputs],
        "outputs": [asdict(spec) for spec in network.outputs],
        "config": asdict(network.config),
        "verified": None if verified is None else asdict(verified),
    }


def check_request(request: LiveRequest) -> None:
    """What is wrong with it is said before any work."""
    for precision in request.precisions:
        if precision not in PRECISIONS:
            raise WrongUse(f"--precision is {precision!r}, expected one of: {', '.join(PRECISIONS)}")
    for capability in request.capabilities:
        parsed(capability)
    if request.capabilities:
        load_builder()


def write_live(
    networks: Mapping[str, Network],
    folder: Path,
    request: LiveRequest,
    *,
    origins: tuple[str, ...],
    notes: dict[str, str],
    progress: Progress = lambda phase, share: True,
) -> LiveGraphs:
    """Record, verify and build; the first failure is raised and the folder is then not to be used."""
    psi = request.psi
    if psi is None:
        psi = next((PSI[origin] for origin in origins if origin in PSI), 1.0)
    live = live_of(networks, psi=psi, limit=request.limit)
    mapping = networks.get("mapping")
    motions = random_motions(live, mapping=mapping, seed=CALIBRATION_SEED + 1)
    latents = latents_of(live, motions)
    verified: dict[str, PictureVerification | Verification] = {}
    quantised = None
    base, mover = folder / f"{GENERATOR}.onnx", folder / f"{MOVER}.onnx"
    for precision in dict.fromkeys(("fp32", *request.precisions)):
        role = GENERATOR if precision == "fp32" else f"{GENERATOR}-{precision}"
        path = folder / f"{role}.onnx"
        progress(path.name, 0.0)
        if precision == "int8":
            seen = random_motions(live, mapping=mapping, seed=CALIBRATION_SEED, count=CALIBRATION)
            quantised = quantise_graph(base, path, latents_of(live, seen))
        else:
            drawn = live.generator if precision == "fp32" else half_generator(live.generator)
            save_graph(drawn, path, notes=notes)
        found = verify_generator(live.generator, path, latents, precision=precision)
        verified[role] = found
        progress(path.name, 1.0)
        logger.info("%s is at %.1f dB of torch", path.name, found.psnr_db)
    lower = [folder / f"{role}.onnx" for role in verified if role != GENERATOR]
    save_graph(live.mover, mover, notes=notes)
    verified[MOVER] = verify_graph(live.mover, mover)
    together = verify_live(live, base, mover, motions)
    fewer = write_cpu_form(live.generator, base, latents)
    verified |= {f"{GENERATOR}{CPU}": fewer} if fewer else {}
    engines: tuple[BuiltEngine, ...] = ()
    if request.capabilities:
        cache = None if request.engine_cache is None else EngineCache(request.engine_cache)
        graphs = [*(lower or [base]), mover, *folder.glob(f"{ENCODER}.onnx")]
        engines = build_engines(
            graphs, folder, capabilities=request.capabilities, cache=cache, progress=progress
        )
    return LiveGraphs(live, verified, together, quantised, engines)


def write_cpu_form(
    generator: LiveGenerator, base: Path, latents: Sequence[dict[str, Array]]
) -> PictureVerification | None:
    """Write the -cpu form beside `base` and hold it against torch; no file where it does not pay or fit."""
    path = base.with_name(f"{base.stem}{CPU}.onnx")
    if not winograd_graph(base, path):
        path.unlink()
        return None
    try:
        return verify_generator(generator, path, latents)
    except BadCheckpoint as error:
        logger.warning("left out: %s", error)
        path.unlink()
        return None
