# SPDX-License-Identifier: MIT
"""Which runners there are, and the choice of one at opening. Knows them by name, imports them late."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import cast

from engines.base import Engine
from engines.cuda_driver import find_gpu
from engines.graphs import CPU, HALF
from face.errors import EngineUnavailable, ModelUnavailable, WrongUse

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Backend:
    """One runner: the file it reads and the module that opens it."""

    name: str
    suffix: str  # of the artefact it runs
    module: str  # has `open_artefact(path, threads) -> Engine` and `check() -> str`, what would run it
    needs: str  # the distribution it imports, with the line that installs it
    gpu: bool = False  # runs on NVIDIA GPUs alone
    by_itself: bool = True  # may be taken by `auto`: opens in seconds
    variant: str = ""  # of a network named without suffix, this form of it first, where it is there: TensorRT
    # takes a graph's types as they are


# In the order in which `auto` asks them.
BACKENDS: dict[str, Backend] = {
    backend.name: backend
    for backend in (
        Backend(
            "tensorrt-rtx",
            ".onnx",
            "engines.tensorrt_rtx_engine",
            "TensorRT-RTX (pip install tensorrt-rtx-cu13-bindings tensorrt-rtx-cu13-libs)",
            gpu=True,
            variant=HALF,
        ),
        Backend(
            "torch-graphs",
            ".safetensors",
            "engines.torch_graphs_engine",
            "torch with CUDA (see pytorch.org)",
            gpu=True,
        ),
        Backend("openvino", ".onnx", "engines.openvino_engine", "openvino (pip install openvino)"),
        Backend(
            "onnx",
            ".onnx",
            "engines.onnx_engine",
            "onnxruntime (pip install onnxruntime)",
            variant=CPU,
        ),
        Backend("torch", ".safetensors", "engines.torch_engine", "torch (pip install 'facepuppet[export]')"),
        Backend(
            "torch-compiled",
            ".safetensors",
            "engines.torch_compiled_engine",
            "torch (pip install 'facepuppet[export]')",
            by_itself=False,  # compiles for a minute
        ),
        Backend(
            "tensorrt",
            ".onnx",
            "engines.tensorrt_engine",
            "TensorRT 10 or 11 with its builder (pip install 'tensorrt>=10,<12')",
            gpu=True,
            by_itself=False,  # builds for minutes
            variant=HALF,
        ),
        Backend(
            "torch2trt",
            ".safetensors",
            "engines.torch2trt_engine",
            "torch with CUDA (see pytorch.org)",
            gpu=True,
            by_itself=False,  # converts for minutes
        ),
    )
}


def open_engine(path: Path, *, backend: str = "auto", threads: int = 1) -> Engine:
    """Open the network at `path`, suffix given or left out; left out, TensorRT prefers the `-fp16` one,
    ONNX Runtime the `-cpu` one.

    `auto` asks the backends in the order of BACKENDS, those that open in seconds alone, and takes the first
    that has its file and can run here: a GPU before the CPU, OpenVINO (where it is installed) before ONNX
    Runtime, torch last; what it passes over is in the log. A backend asked for by name is had or is an error:
    there is no falling back.

    threads: of one operator; 0 = as many as the machine has cores.
    """
    path = Path(path)
    if backend == "auto":
        return _open_first(path, threads)
    chosen = _known(backend)
    artefact = _artefact(path, chosen)
    if not artefact.is_file():
        raise EngineUnavailable(
            f"engine {backend} runs {chosen.suffix} files and found no {artefact.name} in {artefact.parent}; "
            f"export the model again with {chosen.suffix[1:]} output, or choose another engine"
        )
    return _open(chosen, artefact, threads)


def check_backend(name: str) -> str:
    """The library and the device that a backend would run on; EngineUnavailable says what is missing."""
    return cast(str, _imported(_known(name)).check())


def _open_first(path: Path, threads: int) -> Engine:
    suffixes = dict.fromkeys(backend.suffix for backend in BACKENDS.values())
    there = [
        backend
        for backend in BACKENDS.values()
        if backend.by_itself and path.suffix in (backend.suffix, "") and _artefact(path, backend).is_file()
    ]
    if not there:
        raise ModelUnavailable(
            f"found no network at {path}, expected a file ending in {', '.join(suffixes)}; export it first"
        )
    reasons = []
    for backend in there:
        try:
            if backend.gpu:
                find_gpu()  # before its library is loaded, which takes long
            return _open(backend, _artefact(path, backend), threads)
        except EngineUnavailable as error:
            logger.info("auto passes %s over: %s", backend.name, error)
            reasons.append(f"{backend.name}: {error}")
    raise EngineUnavailable(f"no engine can run {path.name} here ({'; '.join(reasons)})")


def _known(name: str) -> Backend:
    if name not in BACKENDS:
        raise WrongUse(f"found engine {name!r}, expected one of: auto, {', '.join(BACKENDS)}")
    return BACKENDS[name]


def _artefact(path: Path, backend: Backend) -> Path:
    if path.suffix in {b.suffix for b in BACKENDS.values()}:
        return path.with_suffix(backend.suffix)
    preferred = Path(f"{path}{backend.variant}{backend.suffix}")
    return preferred if preferred.is_file() else Path(f"{path}{backend.suffix}")


def _imported(backend: Backend) -> ModuleType:
    try:
        return import_module(backend.module)
    except (ImportError, OSError) as error:  # OSError: a library's own libraries are not there
        reason = " ".join(str(error).split())
        raise EngineUnavailable(f"engine {backend.name} needs {backend.needs}: {reason}") from error


def _open(backend: Backend, artefact: Path, threads: int) -> Engine:
    opener = cast("Callable[[Path, int], Engine]", _imported(backend).open_artefact)
    return opener(artefact, threads)
