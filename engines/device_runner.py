# SPDX-License-Identifier: MIT
"""Runs stages on a device frame by frame, nothing leaving it in between. Knows no library and no network.

A frame is copied in on one stream, computed on a second and copied out on a third, held together by events.
There are two sets of buffers, so that a frame can be copied while another is computed: `submit` gives the
device a frame and returns, `collect` waits for the oldest. All memory, events and graphs are made at opening.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

import numpy as np

from engines.base import Array, Provenance, TensorSpec, check_arrays
from engines.device import Device, DeviceBuffer, DeviceError, Event, HostBuffer, Stage, Stream
from face.errors import EngineUnavailable

logger = logging.getLogger(__name__)
WARM_UP = 3  # calls before a capture: libraries choose algorithms and take workspace in the first


@dataclass(frozen=True, slots=True)
class DeviceTimes:
    """What one frame took on the device, in ms between events."""

    copy_in: float
    stages: tuple[float, ...]  # in the runner's order
    copy_out: float
    total: float  # first copy begun to last copy done, waiting included


@dataclass(frozen=True, slots=True)
class _Slot:
    """One set of buffers with its events: belongs to one frame from submit to collect."""

    host_in: dict[str, HostBuffer]
    inputs: dict[str, DeviceBuffer]
    outputs: dict[str, DeviceBuffer]
    host_out: dict[str, HostBuffer]
    launches: list[Callable[[], None]]  # one a stage, a graph's replay where graphs are used
    begun: Event
    copied: Event
    marks: list[Event]  # before the first stage, after each
    leaving: Event
    done: Event


class DeviceRunner:
    """Stages in a row as one engine. Owns the device and the stages: closing it closes them.

    After the device has failed, every call raises the same EngineUnavailable.
    """

    def __init__(
        self,
        device: Device,
        stages: Sequence[Stage],
        *,
        provenance: Provenance,
        slots: int = 2,
        graphs: bool = True,
    ) -> None:
        self.provenance = provenance
        self.stage_names = tuple(stage.name for stage in stages)
        self.times: DeviceTimes | None = None  # of the frame collected last
        self._device, self._stages = device, tuple(stages)
        self._failure: EngineUnavailable | None = None
        self._closed = False
        self._in_flight: deque[_Slot] = deque()
        self._next = 0
        self.inputs, self.outputs, between = _ports(self._stages)
        try:
            with self._reporting():
                self._copy_in, self._compute, self._copy_out = (device.stream() for _ in range(3))
                shared = {spec.name: device.device_buffer(spec) for spec in between}
                self._slots = [self._slot(shared, graphs=graphs) for _ in range(slots)]
        except BaseException:
            self.close()
            raise

    def submit(self, **arrays: Array) -> None:
        """Give the device one frame and return. ValueError when as many are under way as there are slots."""
        self._check_open()
        check_arrays(self.inputs, arrays)
        slot = self._slots[self._next]
        if len(self._in_flight) == len(self._slots):
            raise ValueError(f"{len(self._slots)} frames are under way, expected fewer; collect one first")
        with self._reporting():
            for name, array in arrays.items():
                np.copyto(slot.host_in[name].array, array)
            self._enqueue(slot, slot.launches)
        self._in_flight.append(slot)
        self._next = (self._next + 1) % len(self._slots)

    def collect(self) -> dict[str, Array]:
        """Wait for the oldest frame. Its arrays are pinned memory, good until its slot is used again."""
        self._check_open()
        if not self._in_flight:
            raise ValueError("no frame is under way, expected one; submit it first")
        slot = self._in_flight[0]
        with self._reporting():
            self._device.synchronise(slot.done)
            self.times = self._timed(slot)
            self._in_flight.popleft()
            return {name: buffer.array for name, buffer in slot.host_out.items()}

    def run(self, **arrays: Array) -> dict[str, Array]:
        """One frame from beginning to end, in arrays the caller owns."""
        if self._in_flight:
            raise ValueError("frames are under way, expected none; collect them first")
        self.submit(**arrays)
        return {name: array.copy() for name, array in self.collect().items()}

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            if self._failure is None:
                for slot in self._in_flight:
                    self._device.synchronise(slot.done)
        except DeviceError as error:
            logger.warning("%s failed in its last frames: %s", self._device.name, error)
        self._in_flight.clear()
        for stage in self._stages:
            stage.close()
        self._device.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("this engine is closed")
        if self._failure is not None:
            raise self._failure

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        except DeviceError as error:
            self._failure = EngineUnavailable(
                f"{self._device.name} failed while running {', '.join(self.stage_names)} ({error}); "
                "open the engine again, or choose another with --engine"
            )
            raise self._failure from error

    def _enqueue(self, slot: _Slot, launches: Sequence[Callable[[], None]]) -> None:
        """One frame's work for three streams, in the order the events impose."""
        device = self._device
        device.record(slot.begun, self._copy_in)
        for name, buffer in slot.inputs.items():
            device.copy_in(buffer, slot.host_in[name], self._copy_in)
        device.record(slot.copied, self._copy_in)
        device.wait(self._compute, slot.copied)
        device.record(slot.marks[0], self._compute)
        for launch, mark in zip(launches, slot.marks[1:], strict=True):
            launch()
            device.record(mark, self._compute)
        device.wait(self._copy_out, slot.marks[-1])
        device.record(slot.leaving, self._copy_out)
        for name, buffer in slot.outputs.items():
            device.copy_out(slot.host_out[name], buffer, self._copy_out)
        device.record(slot.done, self._copy_out)

    def _slot(self, shared: Mapping[str, DeviceBuffer], *, graphs: bool) -> _Slot:
        """Buffers and events of one slot, its stages warmed up and captured with exactly these buffers."""
        device = self._device
        slot = _Slot(
            host_in={spec.name: device.host_buffer(spec) for spec in self.inputs},
            inputs={spec.name: device.device_buffer(spec) for spec in self.inputs},
            outputs={spec.name: device.device_buffer(spec) for spec in self.outputs},
            host_out={spec.name: device.host_buffer(spec) for spec in self.outputs},
            launches=[],
            begun=device.event(),
            copied=device.event(),
            marks=[device.event() for _ in range(len(self._stages) + 1)],
            leaving=device.event(),
            done=device.event(),
        )
        buffers = {**shared, **slot.inputs, **slot.outputs}
        plain = [_launch(stage, buffers, self._compute) for stage in self._stages]
        for buffer in slot.host_in.values():
            buffer.array.fill(0)
        for _ in range(WARM_UP):
            self._enqueue(slot, plain)
            device.synchronise(slot.done)
        for launch in plain:
            slot.launches.append(self._captured(launch) if graphs else launch)
        return slot

    def _captured(self, launch: Callable[[], None]) -> Callable[[], None]:
        graph = self._device.capture(self._compute, launch)
        return lambda: self._device.replay(graph, self._compute)

    def _timed(self, slot: _Slot) -> DeviceTimes:
        between = self._device.elapsed_ms
        stages = zip(slot.marks, slot.marks[1:], strict=False)
        return DeviceTimes(
            copy_in=between(slot.begun, slot.copied),
            stages=tuple(between(start, end) for start, end in stages),
            copy_out=between(slot.leaving, slot.done),
            total=between(slot.begun, slot.done),
        )


def _launch(stage: Stage, buffers: Mapping[str, DeviceBuffer], stream: Stream) -> Callable[[], None]:
    own = {spec.name: buffers[spec.name] for spec in (*stage.inputs, *stage.outputs)}
    return lambda: stage.enqueue(own, stream)


Specs = tuple[TensorSpec, ...]


def _ports(stages: Sequence[Stage]) -> tuple[Specs, Specs, Specs]:
    """Inputs from outside, outputs of the last stage, and what passes between; ValueError for a misfit."""
    made: dict[str, TensorSpec] = {}
    wanted: dict[str, TensorSpec] = {}
    for stage in stages:
        for spec in (*stage.inputs, *stage.outputs):
            if any(isinstance(size, str) for size in spec.shape):
                raise ValueError(f"{stage.name}'s {spec.name} has shape {spec.shape}, expected fixed sizes")
        for spec in stage.inputs:
            source = made.get(spec.name) or wanted.setdefault(spec.name, spec)
            if source != spec:
                raise ValueError(f"{stage.name} takes {spec}, expected {source} as it is made or given")
        for spec in stage.outputs:
            if spec.name in made or spec.name in wanted:
                raise ValueError(f"{stage.name} makes {spec.name}, which is there already; rename it")
            made[spec.name] = spec
    outputs = stages[-1].outputs
    between = tuple(spec for spec in made.values() if spec not in outputs)
    return tuple(wanted.values()), outputs, between
