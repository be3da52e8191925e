# SPDX-License-Identifier: MIT
"""A method's live graphs into a model folder, in each precision asked for, and engines. Knows the order.

live.onnx        float32, for a CPU and as what the others are held against
live-cpu.onnx    float32 with fewer multiplications, where that pays: what ONNX Runtime takes
live-fp16.onnx   half precision, for a GPU
live-int8.onnx   int8 convolutions, calibrated on latents of the mapping network
live-fp16.sm89.engine, ...    built ahead of time, of the lower precisions where there are any
"""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engines.base import Array
from engines.cache import EngineCache, Progress
from engines.networks.half import half_live
from engines.networks.live import Live, LiveConfig
from engines.networks.store import Network
from engines.networks.stylegan2 import Mapping
from engines.registry import WINOGRAD
from export import LiveRequest
from export.live_graph import live_of
from export.onnx_export import save_graph
from export.precision import PRECISIONS
from export.quantise import Quantised, quantise_graph
from export.tensorrt_rtx import BuiltEngine, build_engines, load_builder, parsed
from export.verify import PictureVerification, random_motions, verify_live
from export.winograd import winograd_graph
from face.errors import BadCheckpoint, WrongUse

logger = logging.getLogger(__name__)

ROLE = "live"
CPU_ROLE = f"{ROLE}{WINOGRAD}"
PSI = {"stelabou-directions": 0.7}  # of methods whose authors truncate; by the mover's origin
CALIBRATION, CALIBRATION_SEED = 16, 4  # pictures; other motions than the verification's
SAMPLE_PSI = 0.7  # of the latents that graphs are calibrated and tried with


@dataclass(frozen=True, slots=True)
class LiveGraphs:
    """What was written."""

    live: Live
    verified: dict[str, PictureVerification]  # by role
    quantised: Quantised | None
    engines: tuple[BuiltEngine, ...]

    def described(self, role: str) -> dict[str, Any]:
        """The role's entry in model.json."""
        return {
            "kind": self.live.kind,
            "inputs": [asdict(spec) for spec in self.live.inputs],
            "outputs": [asdict(spec) for spec in self.live.outputs],
            "config": asdict(self.live.config),
            "verified": asdict(self.verified[role]),
            **({"int8": asdict(self.quantised)} if self.quantised and role.endswith("int8") else {}),
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
    networks: dict[str, Network],
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
    live = live_of(networks, LiveConfig(psi, request.limit))
    mapping = networks.get("mapping")
    samples = likely_motions(live, mapping, seed=CALIBRATION_SEED + 1, count=4)
    verified: dict[str, PictureVerification] = {}
    quantised = None
    base = folder / f"{ROLE}.onnx"
    for precision in dict.fromkeys(("fp32", *request.precisions)):
        role = ROLE if precision == "fp32" else f"{ROLE}-{precision}"
        path = folder / f"{role}.onnx"
        progress(f"{role}.onnx", 0.0)
        if precision == "int8":
            seen = likely_motions(live, mapping, seed=CALIBRATION_SEED, count=CALIBRATION)
            quantised = quantise_graph(base, path, seen)
        else:
            save_graph(live if precision == "fp32" else half_live(live), path, notes=notes)
        verified[role] = verify_live(live, path, precision=precision, samples=samples)
        progress(f"{role}.onnx", 1.0)
        logger.info("%s.onnx is at %.1f dB of torch", role, verified[role].psnr_db)
    lower = [folder / f"{role}.onnx" for role in verified if role != ROLE]
    found = _cpu_form(live, base, samples)
    verified |= {CPU_ROLE: found} if found else {}
    engines: tuple[BuiltEngine, ...] = ()
    if request.capabilities:
        cache = None if request.engine_cache is None else EngineCache(request.engine_cache)
        engines = build_engines(
            lower or [base], folder, capabilities=request.capabilities, cache=cache, progress=progress
        )
    return LiveGraphs(live, verified, quantised, engines)


def _cpu_form(live: Live, base: Path, samples: list[dict[str, Array]]) -> PictureVerification | None:
    """Write live-cpu.onnx and hold it against torch; no file where it does not pay or fit."""
    path = base.with_name(f"{CPU_ROLE}.onnx")
    if not winograd_graph(base, path):
        path.unlink()
        return None
    try:
        return verify_live(live, path, samples=samples)
    except BadCheckpoint as error:
        logger.warning("left out: %s", error)
        path.unlink()
        return None


def likely_motions(live: Live, mapping: Network | None, *, seed: int, count: int) -> list[dict[str, Array]]:
    """Random motions of latents that the generator has learned, where its mapping network is there."""
    samples = random_motions(live, count=count, seed=seed)
    named = [spec.name for spec in live.inputs if spec.name == "identity"]
    if not isinstance(mapping, Mapping) or not named or mapping.config.label_dim:
        return samples
    rng = np.random.default_rng(seed)
    for arrays in samples:
        z = torch.tensor(rng.standard_normal((1, mapping.config.z_dim)).astype(np.float32))
        with torch.inference_mode():
            w: Array = mapping(z, torch.tensor(SAMPLE_PSI)).numpy()
        if w.shape == arrays["identity"].shape:
            arrays["identity"] = w
    return samples
