# SPDX-License-Identifier: MIT
"""Runs TensorRT and TensorRT-RTX engines on a device. Not yet run on a GPU. Knows neither library by name.

Both libraries have one interface: an engine is deserialised, a context made from it, and each call sets the
addresses of its tensors and enqueues itself on a stream.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from engines.base import TensorSpec
from engines.cache import default_folder
from engines.device import Device, DeviceBuffer, DeviceError, Stream
from engines.tensorrt_build import Messages
from face.errors import EngineUnavailable

Specs = tuple[TensorSpec, ...]


@dataclass
class Loaded:
    """An engine in memory with what must live as long; let go in the order opposite to its making."""

    messages: Messages
    runtime: Any
    engine: Any


class TensorRTStage:
    """One execution context as a stage. `kept` lives as long as the context, and is let go after it."""

    def __init__(
        self, name: str, context: Any, *, inputs: Specs, outputs: Specs, device: Device, loaded: Loaded,
        kept: tuple[Any, ...] = (),
    ) -> None:  # fmt: skip
        self.name, self.inputs, self.outputs = name, inputs, outputs
        self._context, self._device, self._messages = context, device, loaded.messages
        self._held: list[Any] = [loaded.runtime, loaded.engine, *kept]

    def enqueue(self, buffers: Mapping[str, DeviceBuffer], stream: Stream) -> None:
        for name, buffer in buffers.items():
            if not self._context.set_tensor_address(name, buffer.address):
                raise DeviceError(f"{name} was refused: {self._messages.first()}")
        if not self._context.execute_async_v3(self._device.stream_address(stream)):
            raise DeviceError(self._messages.first())

    def close(self) -> None:
        self._context = None
        while self._held:
            self._held.pop()


def load_plan(trt: Any, plan: bytes, *, name: str, library: str) -> Loaded:
    """Deserialise; EngineUnavailable says what the library said. A plan is code: own ones only."""
    messages = Messages(trt)
    messages.first()  # of an earlier engine
    runtime = trt.Runtime(messages.listener)
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise EngineUnavailable(
            f"{library} does not load the engine of {name} ({messages.first()}); delete {default_folder()} "
            "so that it is built again, or choose --engine onnx"
        )
    return Loaded(messages, runtime, engine)


def specs_of(trt: Any, loaded: Loaded, context: Any) -> tuple[Specs, Specs]:
    """Inputs and outputs with fixed sizes: free ones as the engine's only profile has them."""
    engine = loaded.engine
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    given = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
    for name in given:
        if -1 in tuple(engine.get_tensor_shape(name)):
            _, best, _ = engine.get_tensor_profile_shape(name, 0)
            if not context.set_input_shape(name, tuple(best)):
                raise EngineUnavailable(f"{name} cannot be {tuple(best)}: {loaded.messages.first()}")

    def spec(name: str) -> TensorSpec:
        dtype = np.dtype(trt.nptype(engine.get_tensor_dtype(name))).name
        return TensorSpec(name, tuple(int(size) for size in context.get_tensor_shape(name)), dtype)

    made = [name for name in names if name not in given]
    return tuple(map(spec, given)), tuple(map(spec, made))
