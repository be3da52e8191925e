# SPDX-License-Identifier: MIT
"""The part of TensorRT that runs engines, over a fake driver: names and rules as documented, no network.

A plan says its release and what doubles what; anything else is refused as the library refuses it.
"""

import ctypes
import enum
import json
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
from fake_cuda import FakeCuda

MAGIC = "fake plan"


def plan(version: str = "11.4.0", *, free: bool = False) -> bytes:
    """An engine that doubles `delta` (1, 4) into `image` (1, 4) uint8."""
    return json.dumps([MAGIC, version, free]).encode()


class Severity(enum.Enum):
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class Listening:
    """trt.ILogger."""

    Severity = Severity

    def __init__(self) -> None:
        self.ready = True  # a subclass that forgets this call crashes the library

    def log(self, severity: Severity, message: str) -> None: ...


class TensorIOMode(enum.Enum):
    INPUT, OUTPUT = 1, 2


class Context:
    """One thread at a time, addresses first, sizes before addresses; enqueues one launch a call."""

    def __init__(self, engine: "Engine", config: Any) -> None:
        self.engine, self.config = engine, config
        self.addresses: dict[str, int] = {}
        self.shapes: dict[str, tuple[int, ...]] = {} if engine.free else {"delta": (1, 4)}
        self.runs = 0
        self._busy = threading.Lock()

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        if name != "delta" or len(shape) != 2 or shape[1] != 4:
            return self.engine.refuse(f"setInputShape: {name} cannot be {shape}")
        self.shapes[name] = shape
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.shapes.get("delta", (-1, 4))

    def set_tensor_address(self, name: str, memory: int) -> bool:
        if name not in ("delta", "image"):
            return self.engine.refuse(f"setTensorAddress: no tensor {name}")
        self.addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        if self._busy.locked():
            return self.engine.refuse("enqueueV3: the context is in use")
        if set(self.addresses) != {"delta", "image"} or "delta" not in self.shapes:
            return self.engine.refuse("enqueueV3: not all addresses are set")
        if self.engine.library.living.get(stream_handle, ("",))[0] != "stream":
            return self.engine.refuse("enqueueV3: no such stream")
        source, target = self.addresses["delta"], self.addresses["image"]

        def work() -> None:
            values = np.ctypeslib.as_array((ctypes.c_float * 4).from_address(source))
            ctypes.memmove(target, (values * 2).astype(np.uint8).tobytes(), 4)

        self.runs += 1
        self.engine.library.launch(work)
        return True


class Kernels:
    """IRuntimeCache: knows which GPU its contents were compiled for."""

    def __init__(self) -> None:
        self.loaded = b""

    def deserialize(self, blob: bytes) -> bool:
        if not blob.startswith(b"compiled kernels"):
            return False
        self.loaded = blob
        return True

    def serialize(self) -> bytes:
        return b"compiled kernels"


class Engine:
    num_io_tensors = 2

    def __init__(self, library: FakeCuda, listener: Listening, free: bool) -> None:
        self.library, self.free = library, free
        self._listener = listener
        self.contexts: list[Context] = []

    def refuse(self, why: str) -> bool:
        self._listener.log(Severity.ERROR, why)
        return False

    def get_tensor_name(self, index: int) -> str:
        return ("delta", "image")[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name == "delta" else TensorIOMode.OUTPUT

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (-1, 4) if self.free else (1, 4)

    def get_tensor_profile_shape(self, name: str, index: int) -> list[tuple[int, ...]]:
        return [(1, 4), (1, 4), (1, 4)]

    def get_tensor_dtype(self, name: str) -> str:
        return "float32" if name == "delta" else "uint8"

    def create_runtime_config(self) -> Any:
        config = SimpleNamespace(kernels=None, create_runtime_cache=Kernels)
        config.set_runtime_cache = lambda kernels: setattr(config, "kernels", kernels)
        return config

    def create_execution_context(self, config: Any = None) -> Context:
        context = Context(self, config)
        self.contexts.append(context)
        return context


def fake_tensorrt(library: FakeCuda, version: str = "11.4.0") -> Any:
    """The module. `engines` lists what was deserialised."""
    engines: list[Engine] = []

    class Runtime:
        def __init__(self, listener: Listening) -> None:
            assert listener.ready
            self._listener = listener

        def deserialize_cuda_engine(self, blob: bytes) -> Engine | None:
            try:
                magic, made_with, free = json.loads(blob)
            except ValueError:
                magic = ""
            if magic != MAGIC:
                self._listener.log(Severity.ERROR, "Serialization assertion magicTag failed")
                return None
            if made_with != version:
                self._listener.log(Severity.ERROR, f"the engine was built by {made_with}, this is {version}")
                self._listener.log(Severity.ERROR, "and so it failed")
                return None
            engines.append(Engine(library, self._listener, free))
            return engines[-1]

    capabilities = {f"SM{n}": n for n in (75, 80, 86, 89, 120, 121)}
    return SimpleNamespace(
        __name__="tensorrt", __version__=version, ILogger=Listening, TensorIOMode=TensorIOMode,
        Runtime=Runtime, Builder=object, nptype=np.dtype, engines=engines,
        ComputeCapability=SimpleNamespace(__members__=capabilities),
        CudaGraphStrategy=SimpleNamespace(WHOLE_GRAPH_CAPTURE="whole graph"),
        DynamicShapesKernelSpecializationStrategy=SimpleNamespace(EAGER="eager"),
    )  # fmt: skip
