# SPDX-License-Identifier: MIT
"""A device without hardware: runs late, keeps its own clock, and finds every way to misuse the real one.

Nothing runs before somebody waits for it. Who may know what has happened is kept in vector clocks, as race
detectors do: two accesses of one buffer that no event orders are a race, whether or not this run shows it.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from engines.base import Array, TensorSpec
from engines.device import DeviceError

POISON = 0xA5  # what pinned memory holds while a copy into it is under way
COPY_MS = 0.25
Clock = dict[object, int]


class Misuse(AssertionError):
    """What a real device would answer with wrong pixels, a stall or a crash, if at all."""


@dataclass
class Memory:
    """Bytes with the last accesses to them; `home` is host or device."""

    device: "FakeDevice"
    spec: TensorSpec
    home: str
    data: Array
    address: int
    written: tuple[object, int] | None = None
    read: dict[object, int] = field(default_factory=dict)

    @property
    def array(self) -> Array:
        """Pinned memory as the host sees it: touching it takes every copy to have ended."""
        if self.home != "host":
            raise Misuse(f"{self.spec.name} is in the device's memory, the host cannot touch it")
        self.device.touch(self)
        return self.data


@dataclass
class FakeEvent:
    clock: Clock | None = None
    stream: "FakeStream | None" = None
    position: int = 0  # in the stream's work
    at_ms: float | None = None  # when it fired


@dataclass
class FakeStream:
    name: str
    clock: Clock = field(default_factory=dict)
    work: list[Callable[[], None]] = field(default_factory=list)
    ran: int = 0
    now_ms: float = 0.0


@dataclass
class Order:
    """One enqueued operation: what it touches and does."""

    name: str
    reads: tuple[Memory, ...]
    writes: tuple[Memory, ...]
    act: Callable[[], None]
    cost_ms: float


class FakeDevice:
    """skip_wait: the k-th wait on an event is left out, as if it had been forgotten.
    fails_at: the k-th operation fails when it is run, and with it everything after."""

    name = "fake GPU"

    def __init__(self, *, skip_wait: int | None = None, fails_at: int | None = None) -> None:
        self.log: list[str] = []  # operations in the order they were enqueued
        self.waits = self.operations = self.closes = 0
        self.frozen = False
        self._skip_wait, self._fails_at = skip_wait, fails_at
        self._failed = False
        self._host: Clock = {}
        self._host_ms = 0.0  # the latest moment the host knows of
        self._tape: list[Order] | None = None  # of the capture under way
        self._address = 4096
        self.threads: dict[str, int] = {}

    def freeze(self) -> None:
        """From now on nothing may be made: the loop has begun, in whatever thread comes first."""
        self.frozen = True
        self.threads.clear()

    def used_by(self, what: str) -> None:
        """One thread uses one thing; it may be another one than the thread that opened it."""
        here = threading.get_ident()
        if self.threads.setdefault(what, here) != here:
            raise Misuse(f"{what} was used from two threads")

    # -- what is made

    def stream(self) -> FakeStream:
        self._made("a stream")
        return FakeStream(f"stream {self._address}")

    def stream_address(self, stream: FakeStream) -> int:
        return id(stream)

    def event(self) -> FakeEvent:
        self._made("an event")
        return FakeEvent()

    def host_buffer(self, spec: TensorSpec) -> Memory:
        return self._memory(spec, "host")

    def device_buffer(self, spec: TensorSpec) -> Memory:
        return self._memory(spec, "device")

    def _memory(self, spec: TensorSpec, home: str) -> Memory:
        self._made(f"a {home} buffer")
        data = np.empty(spec.shape, spec.dtype)
        data.view(np.uint8).fill(POISON) if data.ndim else None
        self._address += 4096
        return Memory(self, spec, home, data, self._address)

    def _made(self, what: str) -> None:
        self._alive()
        if self.frozen:
            raise Misuse(f"{what} was made inside the loop")
        if self._tape is not None:
            raise Misuse(f"{what} was made inside a capture")
        self._address += 4096

    # -- what is enqueued

    def copy_in(self, target: Memory, source: Memory, stream: FakeStream) -> None:
        seen = source.data.copy()

        def act() -> None:
            if not np.array_equal(seen, source.data):
                raise Misuse(f"{source.spec.name} was changed before its copy had run")
            np.copyto(target.data, source.data)

        self._copy("copy in", target, source, stream, act, homes=("device", "host"))

    def copy_out(self, target: Memory, source: Memory, stream: FakeStream) -> None:
        target.data.view(np.uint8).fill(POISON)  # whoever looks too early sees this
        self._copy(
            "copy out", target, source, stream,
            lambda: np.copyto(target.data, source.data), homes=("host", "device"),
        )  # fmt: skip

    def _copy(
        self, name: str, target: Memory, source: Memory, stream: FakeStream,
        act: Callable[[], None], *, homes: tuple[str, str],
    ) -> None:  # fmt: skip
        if (target.home, source.home) != homes:
            raise Misuse(f"{name} goes from {source.home} to {target.home}")
        if target.spec != source.spec:
            raise Misuse(f"{name} of {source.spec} to {target.spec}")
        self.enqueue(Order(name, (source,), (target,), act, COPY_MS), stream)

    def enqueue(self, order: Order, stream: FakeStream) -> None:
        """Put an operation on a stream, or on the tape of the capture under way."""
        self._alive()
        if not isinstance(stream, FakeStream):
            raise Misuse(f"{order.name} went to the default stream, which stops all others")
        if self._tape is not None:
            self._tape.append(order)
            return
        self._accessed(stream, order.reads, order.writes)
        self.log.append(order.name)
        self.operations += 1
        number, given_ms = self.operations, self._host_ms

        def work() -> None:
            if number == self._fails_at:
                self._failed = True
                raise DeviceError("an illegal memory access was encountered")
            order.act()
            stream.now_ms = max(stream.now_ms, given_ms) + order.cost_ms

        stream.work.append(work)

    def _accessed(self, stream: FakeStream, reads: tuple[Memory, ...], writes: tuple[Memory, ...]) -> None:
        merge(stream.clock, self._host)  # what the host has seen, its later orders have seen
        stream.clock[stream.name] = stream.clock.get(stream.name, 0) + 1
        for memory in reads:
            memory_read(memory, stream.name, stream.clock)
        for memory in writes:
            memory_written(memory, stream.name, stream.clock)

    def touch(self, memory: Memory) -> None:
        """The host reads or writes pinned memory."""
        self._host["host"] = self._host.get("host", 0) + 1
        memory_written(memory, "host", self._host)

    # -- events

    def record(self, event: FakeEvent, stream: FakeStream) -> None:
        self._alive()
        if self._tape is not None:
            raise Misuse("an event was recorded inside a capture")
        event.clock, event.stream, event.position = dict(stream.clock), stream, len(stream.work)
        event.at_ms, given_ms = None, self._host_ms

        def fire() -> None:
            event.at_ms = stream.now_ms = max(stream.now_ms, given_ms)

        stream.work.append(fire)
        event.position = len(stream.work)

    def wait(self, stream: FakeStream, event: FakeEvent) -> None:
        self._alive()
        if event.clock is None:
            raise Misuse("waited for an event that was never recorded: that is no wait at all")
        self.waits += 1
        if self.waits == self._skip_wait:
            return
        merge(stream.clock, event.clock)
        source, position = event.stream, event.position
        assert source is not None

        def hold() -> None:
            self._run(source, position)
            stream.now_ms = max(stream.now_ms, event.at_ms or 0.0)

        stream.work.append(hold)

    def synchronise(self, event: FakeEvent) -> None:
        self._alive()
        if self._tape is not None:
            raise Misuse("the host waited inside a capture")
        if event.clock is None or event.stream is None:
            raise Misuse("the host waited for an event that was never recorded")
        self._run(event.stream, event.position)
        merge(self._host, event.clock)
        self._host_ms = max(self._host_ms, event.at_ms or 0.0)

    def elapsed_ms(self, start: FakeEvent, end: FakeEvent) -> float:
        self._alive()
        if start.at_ms is None or end.at_ms is None:
            raise Misuse("asked for the time of an event that has not fired")
        return end.at_ms - start.at_ms

    def _run(self, stream: FakeStream, position: int) -> None:
        while stream.ran < position:
            work = stream.work[stream.ran]
            stream.ran += 1
            work()

    # -- graphs

    def capture(self, stream: FakeStream, work: Callable[[], None]) -> list[Order]:
        self._made("a graph")
        if stream.ran < len(stream.work):
            raise Misuse("a capture began while earlier work was under way")
        self._tape = []
        try:
            work()
            return self._tape
        finally:
            self._tape = None

    def replay(self, graph: list[Order], stream: FakeStream) -> None:
        for order in graph:
            self.enqueue(replace(order, name=f"replay {order.name}"), stream)

    def close(self) -> None:
        self.closes += 1
        if self.closes > 1:
            raise Misuse("the device was closed twice")

    def _alive(self) -> None:
        if self.closes:
            raise Misuse("the device was used after it was closed")
        if self._failed:
            raise DeviceError("an illegal memory access was encountered")  # a lost device stays lost
        self.used_by("the device")


def merge(clock: Clock, other: Clock) -> None:
    for actor, tick in other.items():
        clock[actor] = max(clock.get(actor, 0), tick)


def memory_read(memory: Memory, actor: object, clock: Clock) -> None:
    if memory.written and clock.get(memory.written[0], 0) < memory.written[1]:
        raise Misuse(f"{memory.home} buffer {memory.spec.name} is read by {actor} while it is written")
    memory.read[actor] = clock[actor]


def memory_written(memory: Memory, actor: object, clock: Clock) -> None:
    memory_read(memory, actor, clock)
    for reader, tick in memory.read.items():
        if clock.get(reader, 0) < tick:
            raise Misuse(f"{memory.home} buffer {memory.spec.name} is written by {actor} while it is read")
    memory.read.clear()
    memory.written = (actor, clock[actor])


class FakeStage:
    """A network as a context of the device runs it: `compute` on arrays, `ms` long."""

    def __init__(
        self,
        name: str,
        device: FakeDevice,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        compute: Callable[..., Array],
        *,
        ms: float = 1.0,
    ) -> None:
        self.name, self.inputs, self.outputs = name, inputs, outputs
        self.closes = self.calls = 0
        self._device, self._compute, self._ms = device, compute, ms
        self._stream: FakeStream | None = None

    def enqueue(self, buffers: Mapping[str, Memory], stream: FakeStream) -> None:
        if self.closes:
            raise Misuse(f"{self.name} was used after it was closed")
        self._device.used_by(f"the context of {self.name}")
        self._stream = self._stream or stream
        if self._stream is not stream:
            raise Misuse(f"the context of {self.name} was used on two streams")
        if self._device._tape is not None and not self.calls:
            raise Misuse(f"{self.name} was captured before it was warmed up")
        self.calls += 1
        reads = tuple(buffers[spec.name] for spec in self.inputs)
        writes = tuple(buffers[spec.name] for spec in self.outputs)

        def act() -> None:
            np.copyto(writes[0].data, self._compute(*(memory.data for memory in reads)))

        self._device.enqueue(Order(self.name, reads, writes, act, self._ms), stream)

    def close(self) -> None:
        self.closes += 1
