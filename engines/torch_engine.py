# SPDX-License-Identifier: MIT
"""Runs one of our networks eagerly with torch, the reference of every other engine. Knows no graph file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import torch

from engines.base import Array, Provenance, TensorSpec, check_arrays, one_sample
from engines.networks.frozen import frozen
from engines.networks.half import load_runnable


class TorchEngine:
    """A network in torch, eager or compiled, on the CPU or on the GPU named by `device`."""

    def __init__(self, path: Path, *, device: str = "cpu", threads: int = 1, compiled: bool = False) -> None:
        if threads > 0:
            torch.set_num_threads(threads)  # torch has one setting for the whole process
        half = compiled and device == "cuda"  # eager torch is the reference: float32 everywhere
        network = load_runnable(path, half=half).to(device).eval().requires_grad_(False)
        self.inputs: tuple[TensorSpec, ...] = network.inputs
        self.outputs: tuple[TensorSpec, ...] = network.outputs
        self._network: Callable[..., Any] | None = torch.compile(frozen(network)) if compiled else network
        self._device = torch.device(device)
        backend, how = ("torch-compiled", "compiled") if compiled else ("torch", "eager")
        self.provenance = Provenance(
            path, backend, f"torch {torch.__version__}", f"{where(self._device.type)}, {how}"
        )

    def warm_up(self) -> None:
        """One call with zeros: what is compiled is compiled now."""
        self.run(**{spec.name: _zeros(spec) for spec in one_sample(self.inputs)})

    def run(self, **arrays: Array) -> dict[str, Array]:
        """One call of the network; TypeError and ValueError say which input does not fit."""
        if self._network is None:
            raise ValueError("this engine is closed")
        check_arrays(self.inputs, arrays)
        with torch.inference_mode():
            tensors = [torch.tensor(arrays[spec.name], device=self._device) for spec in self.inputs]
            values = self._network(*tensors)
        values = values if isinstance(values, tuple) else (values,)
        return {spec.name: value.cpu().numpy() for spec, value in zip(self.outputs, values, strict=True)}

    def close(self) -> None:
        self._network = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def where(kind: str = "") -> str:
    """The device by name; without a kind, the one an engine would take."""
    kind = kind or ("cuda" if torch.cuda.is_available() else "cpu")
    return str(torch.cuda.get_device_name()) if kind == "cuda" else "CPU"


def check() -> str:
    """What would run it."""
    return f"torch {torch.__version__}, {where()}"


def open_artefact(path: Path, threads: int) -> TorchEngine:
    """What the registry calls: on the GPU when torch sees one."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return TorchEngine(path, device=device, threads=threads)


def _zeros(spec: TensorSpec) -> Array:
    array: Array = torch.zeros(spec.shape, dtype=getattr(torch, spec.dtype)).numpy()
    return array
