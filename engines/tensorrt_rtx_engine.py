# SPDX-License-Identifier: MIT
"""Runs an ONNX graph with TensorRT-RTX, NVIDIA's runtime for GeForce. Not yet run on a GPU. Knows no other.

The engine is found in the cache or built within seconds; its kernels are compiled for this very GPU when the
context first runs, and kept in the cache too. CUDA graphs are the runtime's own business here.
"""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import tensorrt_rtx_bindings as trt

from engines.base import Provenance
from engines.cache import EngineCache, EngineKey, default_folder, graph_hash, this_system
from engines.cuda_driver import Gpu, find_gpu
from engines.device import Device
from engines.device_runner import DeviceRunner
from engines.driver_device import DriverDevice
from engines.tensorrt_build import build_plan, unsupported
from engines.tensorrt_runtime import Loaded, TensorRTStage, load_plan, specs_of
from face.errors import EngineUnavailable

logger = logging.getLogger(__name__)
BACKEND = "tensorrt-rtx"
LIBRARY = f"TensorRT-RTX {trt.__version__}"


def check() -> str:
    """What would run it; EngineUnavailable says what is missing."""
    gpu = find_gpu()
    if f"SM{gpu.capability[0]}{gpu.capability[1]}" not in trt.ComputeCapability.__members__:
        raise EngineUnavailable(unsupported(trt, gpu.capability, LIBRARY))
    return f"{LIBRARY}, {gpu.name}"


def open_artefact(path: Path, threads: int) -> DeviceRunner:
    """What the registry calls; building, where it must be, takes seconds."""
    check()
    gpu = find_gpu()
    key = engine_key(path, gpu.capability)
    cache = EngineCache(default_folder())
    plan = cache.load_or_build(
        key, lambda: build_plan(trt, path, capability=gpu.capability), driver=gpu.driver
    )
    device = DriverDevice()
    try:
        return open_plan(plan, path, device=device, cache=cache, key=key, gpu=gpu)
    except BaseException:
        device.close()
        raise


def engine_key(graph: Path, capability: tuple[int, int]) -> EngineKey:
    """An engine serves every GPU of its compute capability, but only the release that built it."""
    text = f"{capability[0]}.{capability[1]}"
    return EngineKey(graph_hash(graph), BACKEND, trt.__version__, this_system(), text)


def open_plan(
    plan: bytes, path: Path, *, device: Device, cache: EngineCache, key: EngineKey, gpu: Gpu
) -> DeviceRunner:
    """Run an engine's bytes on a device, which the runner then owns; what was compiled is kept."""
    kernels_key = replace(key, gpu=gpu.name, cuda=gpu.driver, flags=("compiled kernels",))
    loaded = load_plan(trt, plan, name=path.name, library=LIBRARY)
    config = loaded.engine.create_runtime_config()
    kernels = config.create_runtime_cache()
    known = cache.load(kernels_key)
    if known is None or not kernels.deserialize(known):
        known = None
    config.set_runtime_cache(kernels)
    config.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
    config.dynamic_shapes_kernel_specialization_strategy = (
        trt.DynamicShapesKernelSpecializationStrategy.EAGER  # never compile in the loop
    )
    context = loaded.engine.create_execution_context(config)
    if context is None:
        raise EngineUnavailable(f"{LIBRARY} cannot run {path.name} ({loaded.messages.first()}); {_CURE}")
    inputs, outputs = specs_of(trt, loaded, context)
    stage = TensorRTStage(
        path.stem, context, inputs=inputs, outputs=outputs, device=device, loaded=loaded,
        kept=(config, kernels),
    )  # fmt: skip
    provenance = Provenance(path, BACKEND, LIBRARY, gpu.name)
    # one set of buffers: the runtime's own graph is captured for one set of addresses
    runner = DeviceRunner(device, [stage], provenance=provenance, slots=1, graphs=False)
    if known is None:
        _keep(kernels, cache, kernels_key, loaded)
    return runner


_CURE = "update the driver, or choose --engine onnx"


def _keep(kernels: Any, cache: EngineCache, key: EngineKey, loaded: Loaded) -> None:
    """Store what was compiled while warming up; without it the next start compiles again, no more."""
    compiled = kernels.serialize()
    if compiled is None:
        logger.warning("compiled kernels are not kept: %s", loaded.messages.first())
        return
    cache.store(key, bytes(compiled), driver=key.cuda)
