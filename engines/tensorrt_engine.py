# SPDX-License-Identifier: MIT
"""Runs an ONNX graph with full TensorRT 10 or 11. Not yet run on a GPU. Knows no other runtime.

Written to NVIDIA's documented interface. The engine is found in the cache or built for this very GPU, which
takes minutes; networks are strongly typed, so the graph's own types are the precision. CUDA graphs are ours.
"""

import logging
from pathlib import Path

import tensorrt as trt

from engines.base import Provenance
from engines.cache import EngineCache, EngineKey, default_folder, graph_hash, this_system
from engines.cuda_driver import Gpu, find_gpu
from engines.device import Device
from engines.device_runner import DeviceRunner
from engines.driver_device import DriverDevice
from engines.tensorrt_build import build_plan
from engines.tensorrt_runtime import TensorRTStage, load_plan, specs_of
from face.errors import EngineUnavailable

logger = logging.getLogger(__name__)
BACKEND = "tensorrt"
LIBRARY = f"TensorRT {trt.__version__}"
OLDEST, NEWEST = 10, 11
OLDEST_CAPABILITY = (7, 5)


def check() -> str:
    """What would run it; EngineUnavailable says what is missing."""
    major = int(trt.__version__.partition(".")[0])
    if not OLDEST <= major <= NEWEST:
        raise EngineUnavailable(
            f"found {LIBRARY}, expected TensorRT {OLDEST} or {NEWEST}; pip install 'tensorrt>=10,<12'"
        )
    if not hasattr(trt, "Builder"):
        raise EngineUnavailable(
            f"found {LIBRARY} without its builder (the lean runtime); pip install 'tensorrt>=10,<12'"
        )
    gpu = find_gpu()
    if gpu.capability < OLDEST_CAPABILITY:
        raise EngineUnavailable(
            f"{LIBRARY} runs on compute capability 7.5 and up, found {gpu.capability[0]}.{gpu.capability[1]} "
            f"({gpu.name}); choose --engine onnx"
        )
    return f"{LIBRARY}, {gpu.name}"


def open_artefact(path: Path, threads: int) -> DeviceRunner:
    """What the registry calls; building, where it must be, takes minutes."""
    check()
    gpu = find_gpu()
    cache = EngineCache(default_folder())
    key = engine_key(path, gpu)
    if cache.load(key) is None:
        logger.warning("building %s for %s takes minutes, this once", path.name, gpu.name)
    plan = cache.load_or_build(key, lambda: build_plan(trt, path), driver=gpu.driver)
    device = DriverDevice()
    try:
        return open_plan(plan, path, device=device, gpu=gpu)
    except BaseException:
        device.close()
        raise


def engine_key(path: Path, gpu: Gpu) -> EngineKey:
    """An engine runs on the GPU model and the release it was built with."""
    capability = f"{gpu.capability[0]}.{gpu.capability[1]}"
    return EngineKey(
        graph_hash(path), BACKEND, trt.__version__, this_system(), capability, gpu.name, gpu.driver
    )


def open_plan(plan: bytes, path: Path, *, device: Device, gpu: Gpu) -> DeviceRunner:
    """Run an engine's bytes on a device, which the runner then owns."""
    loaded = load_plan(trt, plan, name=path.name, library=LIBRARY)
    context = loaded.engine.create_execution_context()
    if context is None:
        raise EngineUnavailable(
            f"{LIBRARY} cannot run {path.name} ({loaded.messages.first()}); free GPU memory, or choose "
            "--engine onnx"
        )
    inputs, outputs = specs_of(trt, loaded, context)
    stage = TensorRTStage(path.stem, context, inputs=inputs, outputs=outputs, device=device, loaded=loaded)
    provenance = Provenance(path, BACKEND, LIBRARY, f"{gpu.name}, CUDA graphs")
    return DeviceRunner(device, [stage], provenance=provenance, slots=1)
