# SPDX-License-Identifier: MIT
"""A CUDA GPU by way of its driver alone. Not yet run on a GPU. Knows no network and no other library."""

import ctypes
import math
import threading
from collections.abc import Callable
from ctypes import byref, c_float, c_uint64, c_void_p
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from engines.base import Array, TensorSpec
from engines.cuda_driver import CudaDriver, find_gpu, open_driver
from engines.device import DeviceBuffer, DeviceError, HostBuffer

NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: does not wait for the default stream
BLOCKING_SYNC = 1  # CU_EVENT_BLOCKING_SYNC: the waiting thread sleeps, and leaves its core to the tracker
THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: other threads' calls do not spoil a capture
HIGH_PRIORITY = -1


@dataclass(frozen=True, slots=True)
class PinnedArray:
    """Page-locked memory, seen by numpy. The array must not outlive the device."""

    array: Array


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    spec: TensorSpec
    address: int


class DriverDevice:
    """One CUDA GPU; EngineUnavailable says why there is none. Its context is the one all libraries share."""

    def __init__(self, index: int = 0, *, library: Any = None) -> None:
        self.gpu = find_gpu(index, library=library)
        self.name = self.gpu.name
        self._driver: CudaDriver = open_driver(library)
        self._ordinal = self._driver.number("cuDeviceGet", index)
        self._context = self._driver.handle("cuDevicePrimaryCtxRetain", self._ordinal)
        self._thread = 0
        self._streams: list[c_void_p] = []
        self._undo: list[Callable[[], None]] = []
        self._closed = False

    def stream(self) -> c_void_p:
        stream = self._made("cuStreamCreateWithPriority", NON_BLOCKING, HIGH_PRIORITY)
        self._undo.append(partial(self._call, "cuStreamDestroy_v2", stream))
        self._streams.append(stream)
        return stream

    def stream_address(self, stream: c_void_p) -> int:
        return int(stream.value or 0)

    def event(self) -> c_void_p:
        event = self._made("cuEventCreate", BLOCKING_SYNC)
        self._undo.append(partial(self._call, "cuEventDestroy_v2", event))
        return event

    def host_buffer(self, spec: TensorSpec) -> PinnedArray:
        size = _bytes(spec)
        memory = self._made("cuMemHostAlloc", max(size, 1), 0)
        self._undo.append(partial(self._call, "cuMemFreeHost", memory))
        address = int(memory.value or 0)
        raw = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))
        return PinnedArray(raw.view(spec.dtype).reshape([int(n) for n in spec.shape]))

    def device_buffer(self, spec: TensorSpec) -> DeviceMemory:
        self._enter()
        size, address = _bytes(spec), c_uint64()
        self._driver.call("cuMemAlloc_v2", byref(address), max(size, 1))
        self._undo.append(partial(self._call, "cuMemFree_v2", address))
        return DeviceMemory(spec, address.value)

    def copy_in(self, target: DeviceBuffer, source: HostBuffer, stream: c_void_p) -> None:
        self._call("cuMemcpyHtoDAsync_v2", target.address, _address(source), source.array.nbytes, stream)

    def copy_out(self, target: HostBuffer, source: DeviceBuffer, stream: c_void_p) -> None:
        self._call("cuMemcpyDtoHAsync_v2", _address(target), source.address, target.array.nbytes, stream)

    def record(self, event: c_void_p, stream: c_void_p) -> None:
        self._call("cuEventRecord", event, stream)

    def wait(self, stream: c_void_p, event: c_void_p) -> None:
        self._call("cuStreamWaitEvent", stream, event, 0)

    def synchronise(self, event: c_void_p) -> None:
        self._call("cuEventSynchronize", event)

    def elapsed_ms(self, start: c_void_p, end: c_void_p) -> float:
        self._enter()
        span = c_float()
        self._driver.call("cuEventElapsedTime", byref(span), start, end)
        return span.value

    def capture(self, stream: c_void_p, work: Callable[[], None]) -> c_void_p:
        self._call("cuStreamBeginCapture_v2", stream, THREAD_LOCAL)
        try:
            work()
        finally:  # a capture left open would make every later call on the stream fail
            graph = self._made("cuStreamEndCapture", stream, last=True)
        try:
            ready = self._made("cuGraphInstantiateWithFlags", graph, c_uint64(0))
        finally:
            self._call("cuGraphDestroy", graph)
        self._undo.append(partial(self._call, "cuGraphExecDestroy", ready))
        return ready

    def replay(self, graph: c_void_p, stream: c_void_p) -> None:
        self._call("cuGraphLaunch", graph, stream)

    def close(self) -> None:
        """Wait for the streams, free everything in the order opposite to its making."""
        if self._closed:
            return
        self._closed = True
        steps: list[Callable[[], None]] = [
            partial(self._call, "cuStreamSynchronize", stream) for stream in self._streams
        ]
        for step in (*steps, *reversed(self._undo)):
            try:
                step()
            except DeviceError:  # a lost device frees its memory by itself
                continue
        self._driver.call("cuDevicePrimaryCtxRelease_v2", self._ordinal)

    def _enter(self) -> None:
        """Make the context the calling thread's: an engine may be opened in one and run in another."""
        here = threading.get_ident()
        if here != self._thread:
            self._driver.call("cuCtxSetCurrent", self._context)
            self._thread = here

    def _call(self, name: str, *arguments: Any) -> None:
        self._enter()
        self._driver.call(name, *arguments)

    def _made(self, name: str, *arguments: Any, last: bool = False) -> c_void_p:
        """A handle that a function writes to its first argument, or to its last."""
        self._enter()
        value = c_void_p()
        self._driver.call(name, *((*arguments, byref(value)) if last else (byref(value), *arguments)))
        return value


def _address(buffer: HostBuffer) -> int:
    return int(buffer.array.ctypes.data)


def _bytes(spec: TensorSpec) -> int:
    return math.prod(int(size) for size in spec.shape) * np.dtype(spec.dtype).itemsize
