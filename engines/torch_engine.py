# SPDX-License-Identifier: MIT
"""Runs one of our networks eagerly with torch, the reference of every other engine. Knows no graph file."""

from pathlib import Path
from typing import Self

import torch

from engines.base import Array, Provenance, TensorSpec, check_arrays
from engines.networks.store import Network, load_network


class TorchEngine:
    """A network in eager torch, on the CPU or on the GPU named by `device`."""

    def __init__(self, path: Path, *, device: str = "cpu", threads: int = 1) -> None:
        if threads > 0:
            torch.set_num_threads(threads)  # torch has one setting for the whole process
        network = load_network(path).to(device).eval().requires_grad_(False)
        self._network: Network | None = network
        self._device = torch.device(device)
        self.inputs: tuple[TensorSpec, ...] = network.inputs
        self.outputs: tuple[TensorSpec, ...] = network.outputs
        where = torch.cuda.get_device_name(self._device) if self._device.type == "cuda" else "CPU"
        self.provenance = Provenance(path, "torch", f"torch {torch.__version__}", f"{where}, eager")

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


def open_artefact(path: Path, threads: int) -> TorchEngine:
    """What the registry calls: on the GPU when torch sees one."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return TorchEngine(path, device=device, threads=threads)
