# SPDX-License-Identifier: MIT
"""What a GPU must offer the live line: streams, events, buffers, copies, graphs. Knows no library.

Everything but `synchronise` returns at once; work on one stream runs in order, on two in any order, unless an
event holds one back. Streams, events and graphs are the device's own handles and mean nothing to others.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from engines.base import Array, TensorSpec

Stream = Any
Event = Any
Graph = Any


class DeviceError(Exception):
    """Something the device reported, often of work given to it calls ago; it is lost from then on."""


class HostBuffer(Protocol):
    """Pinned memory: the device copies to and from it by itself, so hands off until an event says so."""

    @property
    def array(self) -> Array: ...


class DeviceBuffer(Protocol):
    """Memory of the device, at one address for as long as the device is open."""

    @property
    def spec(self) -> TensorSpec: ...
    @property
    def address(self) -> int: ...


class Device(Protocol):
    """One GPU. Used by one thread at a time; whoever opens closes, and closing frees all that was made."""

    name: str

    def stream(self) -> Stream: ...
    def stream_address(self, stream: Stream) -> int: ...
    def event(self) -> Event: ...
    def host_buffer(self, spec: TensorSpec) -> HostBuffer: ...
    def device_buffer(self, spec: TensorSpec) -> DeviceBuffer: ...
    def copy_in(self, target: DeviceBuffer, source: HostBuffer, stream: Stream) -> None: ...
    def copy_out(self, target: HostBuffer, source: DeviceBuffer, stream: Stream) -> None: ...
    def record(self, event: Event, stream: Stream) -> None: ...
    def wait(self, stream: Stream, event: Event) -> None: ...  # holds the stream back, not the caller
    def synchronise(self, event: Event) -> None: ...  # holds the caller back
    def elapsed_ms(self, start: Event, end: Event) -> float: ...  # both must have fired
    def capture(self, stream: Stream, work: Callable[[], None]) -> Graph: ...  # records, runs nothing
    def replay(self, graph: Graph, stream: Stream) -> None: ...
    def close(self) -> None: ...


class Stage(Protocol):
    """One network on the device, with sizes fixed. Bound to one stream and one thread by its first use."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def enqueue(self, buffers: Mapping[str, DeviceBuffer], stream: Stream) -> None:
        """Give the stream one call: reads its inputs' buffers, writes its outputs'. Allocates nothing."""

    def close(self) -> None: ...
