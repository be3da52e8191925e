# SPDX-License-Identifier: MIT
"""Which runners there are, and the choice of one at opening. Knows them by name, imports them late."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import cast

from engines.base import Engine
from face.errors import EngineUnavailable, ModelUnavailable, WrongUse


@dataclass(frozen=True, slots=True)
class Backend:
    """One runner: the file it reads and the module that opens it."""

    name: str
    suffix: str  # of the artefact it runs
    module: str  # has `open_artefact(path, threads) -> Engine`
    needs: str  # the distribution it imports, with the line that installs it


BACKENDS: dict[str, Backend] = {
    backend.name: backend
    for backend in (
        Backend("onnx", ".onnx", "engines.onnx_engine", "onnxruntime (pip install onnxruntime)"),
        Backend("torch", ".safetensors", "engines.torch_engine", "torch (pip install 'facepuppet[export]')"),
    )
}


def open_engine(path: Path, *, backend: str = "auto", threads: int = 1) -> Engine:
    """Open the network at `path`, suffix given or left out; `auto` takes the first backend that has a file.

    threads: of one operator; 0 = as many as the machine has cores. A backend asked for by name is had or is
    an error: there is no falling back.
    """
    path = Path(path)
    if backend == "auto":
        return _open_first(path, threads)
    if backend not in BACKENDS:
        raise WrongUse(f"found engine {backend!r}, expected one of: auto, {', '.join(BACKENDS)}")
    chosen = BACKENDS[backend]
    artefact = _artefact(path, chosen)
    if not artefact.is_file():
        raise EngineUnavailable(
            f"engine {backend} runs {chosen.suffix} files and found no {artefact.name} in {artefact.parent}; "
            f"export the model again with {chosen.suffix[1:]} output, or choose another engine"
        )
    return _open(chosen, artefact, threads)


def _open_first(path: Path, threads: int) -> Engine:
    candidates = [b for b in BACKENDS.values() if path.suffix in (b.suffix, "")]
    for backend in candidates:
        artefact = _artefact(path, backend)
        if artefact.is_file():
            return _open(backend, artefact, threads)
    suffixes = ", ".join(b.suffix for b in BACKENDS.values())
    raise ModelUnavailable(
        f"found no network at {path}, expected a file ending in {suffixes}; export it first"
    )


def _artefact(path: Path, backend: Backend) -> Path:
    known = {b.suffix for b in BACKENDS.values()}
    return path.with_suffix(backend.suffix) if path.suffix in known else Path(f"{path}{backend.suffix}")


def _open(backend: Backend, artefact: Path, threads: int) -> Engine:
    try:
        module = import_module(backend.module)
    except ImportError as error:
        raise EngineUnavailable(f"engine {backend.name} needs {backend.needs}: {error}") from error
    opener = cast("Callable[[Path, int], Engine]", module.open_artefact)
    return opener(artefact, threads)
