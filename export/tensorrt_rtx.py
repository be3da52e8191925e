# SPDX-License-Identifier: MIT
"""Engines of TensorRT-RTX for GPUs that need not be here, each a file and a sidecar. Knows no network.

An engine serves every GPU of one compute capability with one release of TensorRT-RTX. What lies in a model
folder is for shipping; a player loads from its own cache alone, where an engine made here is put as well.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from engines.cache import EngineCache, EngineKey, Progress, graph_hash, this_system
from engines.model_folder import sha256_of
from engines.tensorrt_build import build_plan
from face.errors import EngineUnavailable, WrongUse

BACKEND = "tensorrt-rtx"
MODULE, CURE = "tensorrt_rtx_bindings", "pip install tensorrt-rtx-cu13-bindings tensorrt-rtx-cu13-libs"
CAPABILITIES = ("8.6", "8.9", "12.0")  # GeForce RTX 30, 40, 50
FORMAT = "facepuppet-engine-1"


@dataclass(frozen=True, slots=True)
class BuiltEngine:
    """One engine that was built."""

    graph: str  # file name of the graph
    file: str
    compute_capability: str
    runtime: str
    bytes: int
    sha256: str
    seconds: float


def load_builder() -> Any:
    """The library's module; EngineUnavailable says how to get it."""
    try:
        return import_module(MODULE)
    except (ImportError, OSError) as error:  # OSError: the bindings without the library they bind
        raise EngineUnavailable(f"TensorRT-RTX cannot be loaded ({error}); run: {CURE}") from error


def build_engines(
    graphs: Sequence[Path],
    folder: Path,
    *,
    capabilities: Sequence[str] = CAPABILITIES,
    cache: EngineCache | None = None,
    progress: Progress = lambda phase, share: True,
) -> tuple[BuiltEngine, ...]:
    """Build each graph for each compute capability and write engine and sidecar into `folder`.

    cache: where a player of this user will look; engines go there too. The first failure is raised.
    """
    wanted = [(graph, each, parsed(each)) for graph in graphs for each in capabilities]
    trt = load_builder()
    built = []
    for number, (graph, capability, pair) in enumerate(wanted):

        def told(
            phase: str, share: float, number: int = number, what: str = f"{graph.stem} {capability}"
        ) -> bool:
            return progress(what, (number + min(share, 1.0)) / len(wanted))

        start = time.perf_counter()
        plan = build_plan(trt, graph, capability=pair, progress=told)
        seconds = time.perf_counter() - start
        key = EngineKey(graph_hash(graph), BACKEND, trt.__version__, this_system(), capability)
        built.append(_written(plan, key, graph, folder, seconds))
        if cache is not None:
            cache.store(key, plan, seconds=seconds)
    progress("engines", 1.0)
    return tuple(built)


def parsed(capability: str) -> tuple[int, int]:
    """(8, 6) of "8.6"."""
    major, point, minor = capability.partition(".")
    if not (point and major.isdecimal() and minor.isdecimal()):
        raise WrongUse(f"--capability is {capability!r}, expected a compute capability; write it as 8.6")
    return int(major), int(minor)


def _written(plan: bytes, key: EngineKey, graph: Path, folder: Path, seconds: float) -> BuiltEngine:
    path = folder / f"{graph.stem}.sm{key.compute_capability.replace('.', '')}.engine"
    path.write_bytes(plan)
    made = BuiltEngine(
        graph=graph.name,
        file=path.name,
        compute_capability=key.compute_capability,
        runtime=f"TensorRT-RTX {key.runtime}",
        bytes=len(plan),
        sha256=sha256_of(path),
        seconds=round(seconds, 3),
    )
    sidecar = {"format": FORMAT, **asdict(made), "key": asdict(key)}
    path.with_suffix(".engine.json").write_text(json.dumps(sidecar, indent=2) + "\n", encoding="utf-8")
    return made
