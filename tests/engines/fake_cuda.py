# SPDX-License-Identifier: MIT
"""libcuda without hardware: the functions of the driver over plain memory, strict about types and lifetimes.

Everything runs at once, so it shows that arguments are right and nothing leaks, not that order is; the fake
device is for that.
"""

import ctypes
from collections import Counter
from collections.abc import Callable
from typing import Any

NOT_INITIALISED, INVALID_VALUE, NO_DEVICE, INVALID_CONTEXT, INVALID_HANDLE = 3, 1, 100, 201, 400
TEXTS = {NO_DEVICE: b"no CUDA-capable device is detected", 700: b"an illegal memory access was encountered"}


class FakeCuda:
    """`capability`, `gpus` and `name` are what it says; `broken` functions answer with that status."""

    def __init__(
        self,
        *,
        gpus: int = 1,
        capability: tuple[int, int] = (8, 6),
        name: bytes = b"NVIDIA GeForce RTX 3060",
        broken: dict[str, int] | None = None,
    ) -> None:
        self.broken = broken or {}
        self.calls: list[str] = []
        self.living: dict[int, tuple[str, Any]] = {}  # handle or address: kind and memory
        self.launches: Counter[int] = Counter()
        self.retained = 0
        self._gpus, self._capability, self._name = gpus, capability, name
        self._tape: list[Callable[[], None]] | None = None
        self._events = 0
        self._next = 1 << 20
        for attribute in dir(self):
            if attribute.startswith("_cu"):
                setattr(self, attribute[1:], self._strict(attribute[1:], getattr(self, attribute)))

    def _strict(self, name: str, act: Callable[..., int | None]) -> Callable[..., int]:
        def function(*arguments: Any) -> int:
            self.calls.append(name)
            assert len(arguments) == len(function.argtypes), (
                f"{name} takes {len(function.argtypes)} arguments"
            )
            for argument, wanted in zip(arguments, function.argtypes, strict=True):
                wanted.from_param(argument)  # what ctypes does before a real call
            if name in self.broken:
                return self.broken[name]
            return act(*map(plain, arguments)) or 0

        function.argtypes = ()
        return function

    def _new(self, kind: str, memory: Any = None) -> int:
        self._next += 4096
        self.living[self._next] = (kind, memory)
        return self._next

    def _end(self, handle: int, kind: str) -> int:
        return 0 if self.living.pop(handle, ("", None))[0] == kind else INVALID_HANDLE

    def _is(self, handle: int, kind: str) -> bool:
        return self.living.get(handle, ("", None))[0] == kind

    # -- the functions, with one underscore more than they are called by

    def _cuInit(self, flags: int) -> int:
        return 0 if self._gpus else NO_DEVICE

    def _cuDriverGetVersion(self, version: Any) -> None:
        version.value = 13000

    def _cuDeviceGetCount(self, count: Any) -> None:
        count.value = self._gpus

    def _cuDeviceGet(self, device: Any, index: int) -> None:
        device.value = index

    def _cuDeviceGetName(self, name: Any, size: int, device: int) -> None:
        ctypes.memmove(name, self._name + b"\0", len(self._name) + 1)

    def _cuDeviceGetAttribute(self, value: Any, attribute: int, device: int) -> int:
        value.value = dict(zip((75, 76), self._capability, strict=True))[attribute]
        return 0

    def _cuDeviceTotalMem_v2(self, size: Any, device: int) -> None:
        size.value = 12 << 30

    def _cuDevicePrimaryCtxRetain(self, context: Any, device: int) -> None:
        self.retained += 1
        context.value = 77

    def _cuDevicePrimaryCtxRelease_v2(self, device: int) -> None:
        self.retained -= 1

    def _cuCtxSetCurrent(self, context: int) -> int:
        return 0 if context == 77 else INVALID_CONTEXT

    def _cuStreamCreateWithPriority(self, stream: Any, flags: int, priority: int) -> int:
        stream.value = self._new("stream")
        return 0 if flags == 1 else INVALID_VALUE

    def _cuStreamDestroy_v2(self, stream: int) -> int:
        return self._end(stream, "stream")

    def _cuStreamSynchronize(self, stream: int) -> int:
        return 0 if self._is(stream, "stream") else INVALID_HANDLE

    def _cuStreamWaitEvent(self, stream: int, event: int, flags: int) -> int:
        return 0 if self._is(stream, "stream") and self._is(event, "event") else INVALID_HANDLE

    def _cuStreamBeginCapture_v2(self, stream: int, mode: int) -> int:
        self._tape = []
        return 0 if self._is(stream, "stream") and mode == 1 else INVALID_VALUE

    def _cuStreamEndCapture(self, stream: int, graph: Any) -> int:
        graph.value, self._tape = self._new("graph", self._tape), None
        return 0

    def _cuGraphInstantiateWithFlags(self, ready: Any, graph: int, flags: int) -> int:
        ready.value = self._new("ready", self.living[graph][1])
        return 0 if flags == 0 else INVALID_VALUE

    def _cuGraphDestroy(self, graph: int) -> int:
        return self._end(graph, "graph")

    def _cuGraphExecDestroy(self, ready: int) -> int:
        return self._end(ready, "ready")

    def _cuGraphLaunch(self, ready: int, stream: int) -> int:
        for work in self.living[ready][1]:
            work()
        self.launches[ready] += 1
        return 0 if self._is(stream, "stream") else INVALID_HANDLE

    def _cuEventCreate(self, event: Any, flags: int) -> int:
        event.value = self._new("event")
        return 0 if flags == 1 else INVALID_VALUE

    def _cuEventDestroy_v2(self, event: int) -> int:
        return self._end(event, "event")

    def _cuEventRecord(self, event: int, stream: int) -> int:
        self._events += 1
        self.living[event] = ("event", self._events)
        return 0 if self._is(stream, "stream") else INVALID_HANDLE

    def _cuEventSynchronize(self, event: int) -> int:
        return 0 if self._is(event, "event") else INVALID_HANDLE

    def _cuEventElapsedTime(self, span: Any, start: int, end: int) -> None:
        span.value = float(self.living[end][1] - self.living[start][1])

    def _cuMemHostAlloc(self, memory: Any, size: int, flags: int) -> None:
        memory.value = self._allocate("pinned", size)

    def _cuMemFreeHost(self, memory: int) -> int:
        return self._end(memory, "pinned")

    def _cuMemAlloc_v2(self, memory: Any, size: int) -> None:
        memory.value = self._allocate("device", size)

    def _cuMemFree_v2(self, memory: int) -> int:
        return self._end(memory, "device")

    def _allocate(self, kind: str, size: int) -> int:
        memory = ctypes.create_string_buffer(b"\xa5" * size, size)
        address = ctypes.addressof(memory)
        self.living[address] = (kind, memory)
        return address

    def _cuMemcpyHtoDAsync_v2(self, target: int, source: int, size: int, stream: int) -> int:
        return self._copy((target, "device"), (source, "pinned"), size)

    def _cuMemcpyDtoHAsync_v2(self, target: int, source: int, size: int, stream: int) -> int:
        return self._copy((target, "pinned"), (source, "device"), size)

    def _copy(self, target: tuple[int, str], source: tuple[int, str], size: int) -> int:
        if not self._is(*target) or not self._is(*source):
            return INVALID_VALUE
        if size > min(len(self.living[target[0]][1]), len(self.living[source[0]][1])):
            return INVALID_VALUE
        ctypes.memmove(target[0], source[0], size)
        return 0

    def launch(self, work: Callable[[], None]) -> None:
        """What a kernel launch is: run at once, or put on the tape of a capture."""
        if self._tape is None:
            work()
        else:
            self._tape.append(work)

    def _cuGetErrorName(self, status: int, text: Any) -> int:
        text.value = b"CUDA_ERROR"
        return 0

    def _cuGetErrorString(self, status: int, text: Any) -> int:
        text.value = TEXTS.get(status)
        return 0 if status in TEXTS else INVALID_VALUE


def plain(argument: Any) -> Any:
    """What a C function sees: numbers as such, the object behind a reference."""
    if isinstance(
        argument, ctypes.c_int | ctypes.c_uint | ctypes.c_uint64 | ctypes.c_void_p | ctypes.c_size_t
    ):
        return argument.value
    return getattr(argument, "_obj", argument)
