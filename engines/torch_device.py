# SPDX-License-Identifier: MIT
"""A CUDA GPU by way of torch, and torch networks as its stages. Not yet run on a GPU. Knows no file."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch

from engines.base import Array, TensorSpec
from engines.device import DeviceBuffer, DeviceError, HostBuffer
from face.errors import EngineUnavailable

HIGH_PRIORITY = -1  # of streams: a frame goes before whatever else torch does on this GPU


@dataclass(frozen=True, slots=True)
class PinnedTensor:
    """Page-locked memory of torch's, seen by numpy."""

    tensor: torch.Tensor
    array: Array


@dataclass(frozen=True, slots=True)
class DeviceTensor:
    """A tensor that stays where it is."""

    spec: TensorSpec
    tensor: torch.Tensor

    @property
    def address(self) -> int:
        return int(self.tensor.data_ptr())


class TorchDevice:
    """One CUDA GPU as torch drives it; EngineUnavailable says why torch sees none."""

    def __init__(self, index: int = 0) -> None:
        why = why_no_cuda()
        if why:
            raise EngineUnavailable(why)
        self._device = torch.device("cuda", index)
        self.name = torch.cuda.get_device_name(self._device)

    def stream(self) -> torch.cuda.Stream:
        with device_errors():
            return torch.cuda.Stream(self._device, priority=HIGH_PRIORITY)

    def stream_address(self, stream: torch.cuda.Stream) -> int:
        return int(stream.cuda_stream)

    def event(self) -> torch.cuda.Event:
        # blocking: the waiting thread sleeps, and leaves its core to the tracker
        return torch.cuda.Event(enable_timing=True, blocking=True)

    def host_buffer(self, spec: TensorSpec) -> PinnedTensor:
        with device_errors():
            tensor = torch.empty(spec.shape, dtype=_dtype(spec), pin_memory=True)
        return PinnedTensor(tensor, tensor.numpy())

    def device_buffer(self, spec: TensorSpec) -> DeviceTensor:
        with device_errors():
            return DeviceTensor(spec, torch.empty(spec.shape, dtype=_dtype(spec), device=self._device))

    def copy_in(self, target: DeviceBuffer, source: HostBuffer, stream: torch.cuda.Stream) -> None:
        with device_errors(), torch.cuda.stream(stream):
            _there(target).copy_(_here(source), non_blocking=True)

    def copy_out(self, target: HostBuffer, source: DeviceBuffer, stream: torch.cuda.Stream) -> None:
        with device_errors(), torch.cuda.stream(stream):
            _here(target).copy_(_there(source), non_blocking=True)

    def record(self, event: torch.cuda.Event, stream: torch.cuda.Stream) -> None:
        with device_errors():
            event.record(stream)

    def wait(self, stream: torch.cuda.Stream, event: torch.cuda.Event) -> None:
        with device_errors():
            stream.wait_event(event)

    def synchronise(self, event: torch.cuda.Event) -> None:
        with device_errors():
            event.synchronize()

    def elapsed_ms(self, start: torch.cuda.Event, end: torch.cuda.Event) -> float:
        with device_errors():
            return float(start.elapsed_time(end))

    def capture(self, stream: torch.cuda.Stream, work: Callable[[], None]) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        # thread_local: what other threads do on the GPU meanwhile does not spoil the capture
        with device_errors(), torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            work()
        return graph

    def replay(self, graph: torch.cuda.CUDAGraph, stream: torch.cuda.Stream) -> None:
        with device_errors(), torch.cuda.stream(stream):
            graph.replay()

    def close(self) -> None:
        """Nothing to give back by hand: torch frees buffers, streams and graphs with their last owner."""


class TorchStage:
    """A torch network on a TorchDevice. Results are copied into the buffers, where graphs find them."""

    def __init__(
        self,
        name: str,
        network: Callable[..., torch.Tensor | tuple[torch.Tensor, ...]],
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
    ) -> None:
        self.name, self.inputs, self.outputs = name, inputs, outputs
        self._network = network

    def enqueue(self, buffers: Mapping[str, DeviceBuffer], stream: torch.cuda.Stream) -> None:
        with device_errors(), torch.cuda.stream(stream), torch.inference_mode():
            given = [_there(buffers[spec.name]) for spec in self.inputs]
            made = self._network(*given)
            for spec, value in zip(self.outputs, made if isinstance(made, tuple) else (made,), strict=True):
                _there(buffers[spec.name]).copy_(value)

    def close(self) -> None:
        self._network = _closed


def why_no_cuda() -> str:
    """Why torch cannot use a GPU, with the cure; "" when it can."""
    if torch.version.cuda is None:
        return (
            f"torch {torch.__version__} was built without CUDA; install one with it from pytorch.org, "
            "or choose --engine onnx"
        )
    if not torch.cuda.is_available():
        return (
            f"torch {torch.__version__} (CUDA {torch.version.cuda}) finds no NVIDIA GPU; install or update "
            "its driver (nvidia-smi must list the GPU), or choose --engine onnx"
        )
    return ""


@contextmanager
def device_errors() -> Iterator[None]:
    """CUDA's errors, which torch raises as RuntimeError, become DeviceError; a programmer's stay."""
    try:
        yield
    except RuntimeError as error:
        text = str(error).strip().splitlines()
        if isinstance(error, torch.AcceleratorError | torch.OutOfMemoryError) or "CUDA" in str(error):
            raise DeviceError(text[0] if text else type(error).__name__) from error
        raise


def _here(buffer: HostBuffer) -> torch.Tensor:
    return cast(PinnedTensor, buffer).tensor


def _there(buffer: DeviceBuffer) -> torch.Tensor:
    return cast(DeviceTensor, buffer).tensor


def _dtype(spec: TensorSpec) -> torch.dtype:
    dtype: torch.dtype = getattr(torch, spec.dtype)
    return dtype


def _closed(*_: torch.Tensor) -> torch.Tensor:
    raise ValueError("this stage is closed")
