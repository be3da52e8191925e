# SPDX-License-Identifier: MIT
"""NVIDIA's driver library, called directly: which GPU there is, and what a device needs. Knows no network.

The library comes with the driver, so that an engine runs without torch and without a CUDA toolkit.
"""

import ctypes
import sys
from ctypes import POINTER, byref, c_char_p, c_float, c_int, c_size_t, c_uint, c_uint64, c_void_p
from dataclasses import dataclass
from typing import Any

from engines.device import DeviceError
from face.errors import EngineUnavailable

Handle = c_void_p
Address = c_uint64
DRIVER_CURE = "install or update the NVIDIA driver (nvidia-smi must list the GPU), or choose --engine onnx"
NO_GPU = 100  # CUDA_ERROR_NO_DEVICE
CAPABILITY_MAJOR, CAPABILITY_MINOR = 75, 76  # CUdevice_attribute
NAME_BYTES = 128

# Names as exported, with the suffix of their current form, and the types they take. CUDA Driver API, 12, 13.
SIGNATURES: dict[str, tuple[Any, ...]] = {
    "cuInit": (c_uint,),
    "cuDriverGetVersion": (POINTER(c_int),),
    "cuDeviceGetCount": (POINTER(c_int),),
    "cuDeviceGet": (POINTER(c_int), c_int),
    "cuDeviceGetName": (c_char_p, c_int, c_int),
    "cuDeviceGetAttribute": (POINTER(c_int), c_int, c_int),
    "cuDeviceTotalMem_v2": (POINTER(c_size_t), c_int),
    "cuDevicePrimaryCtxRetain": (POINTER(Handle), c_int),
    "cuDevicePrimaryCtxRelease_v2": (c_int,),
    "cuCtxSetCurrent": (Handle,),
    "cuStreamCreateWithPriority": (POINTER(Handle), c_uint, c_int),
    "cuStreamDestroy_v2": (Handle,),
    "cuStreamWaitEvent": (Handle, Handle, c_uint),
    "cuStreamSynchronize": (Handle,),
    "cuStreamBeginCapture_v2": (Handle, c_int),
    "cuStreamEndCapture": (Handle, POINTER(Handle)),
    "cuGraphInstantiateWithFlags": (POINTER(Handle), Handle, c_uint64),
    "cuGraphDestroy": (Handle,),
    "cuGraphExecDestroy": (Handle,),
    "cuGraphLaunch": (Handle, Handle),
    "cuEventCreate": (POINTER(Handle), c_uint),
    "cuEventDestroy_v2": (Handle,),
    "cuEventRecord": (Handle, Handle),
    "cuEventSynchronize": (Handle,),
    "cuEventElapsedTime": (POINTER(c_float), Handle, Handle),
    "cuMemHostAlloc": (POINTER(c_void_p), c_size_t, c_uint),
    "cuMemFreeHost": (c_void_p,),
    "cuMemAlloc_v2": (POINTER(Address), c_size_t),
    "cuMemFree_v2": (Address,),
    "cuMemcpyHtoDAsync_v2": (Address, c_void_p, c_size_t, Handle),
    "cuMemcpyDtoHAsync_v2": (c_void_p, Address, c_size_t, Handle),
    "cuGetErrorName": (c_int, POINTER(c_char_p)),
    "cuGetErrorString": (c_int, POINTER(c_char_p)),
}


@dataclass(frozen=True, slots=True)
class Gpu:
    """One NVIDIA GPU, as the driver describes it."""

    index: int
    name: str
    capability: tuple[int, int]  # of computing: (8, 6) for a GeForce RTX 3060, (9, 0) for an H200
    memory_mib: int
    driver: str  # the newest CUDA it can run, "13.0"


class CudaDriver:
    """The driver's functions, each with its types; an error it answers becomes DeviceError."""

    def __init__(self, library: Any) -> None:
        self._functions: dict[str, Any] = {}
        for name, types in SIGNATURES.items():
            function = getattr(library, name)
            function.argtypes, function.restype = types, c_int
            self._functions[name] = function
        self.call("cuInit", 0)

    def call(self, name: str, *arguments: Any) -> None:
        status = self._functions[name](*arguments)
        if status:
            raise DriverError(name, status, self._text(status))

    def _text(self, status: int) -> str:
        said = c_char_p()
        if self._functions["cuGetErrorString"](status, byref(said)) or said.value is None:
            return f"error {status}"
        return said.value.decode(errors="replace")

    def number(self, name: str, *arguments: Any) -> int:
        """The int that a function writes to its first argument."""
        value = c_int()
        self.call(name, byref(value), *arguments)
        return value.value

    def handle(self, name: str, *arguments: Any) -> c_void_p:
        """The handle that a function writes to its first argument."""
        value = c_void_p()
        self.call(name, byref(value), *arguments)
        return value

    def gpu(self, index: int) -> Gpu:
        device = self.number("cuDeviceGet", index)
        name = ctypes.create_string_buffer(NAME_BYTES)
        self.call("cuDeviceGetName", name, NAME_BYTES, device)
        memory = c_size_t()
        self.call("cuDeviceTotalMem_v2", byref(memory), device)
        version = self.number("cuDriverGetVersion")
        major, minor = (
            self.number("cuDeviceGetAttribute", attribute, device)
            for attribute in (CAPABILITY_MAJOR, CAPABILITY_MINOR)
        )
        return Gpu(
            index,
            name.value.decode(errors="replace"),
            (major, minor),
            memory.value >> 20,
            f"{version // 1000}.{version % 1000 // 10}",
        )


class DriverError(DeviceError):
    """A status other than success."""

    def __init__(self, function: str, status: int, text: str) -> None:
        super().__init__(f"{function}: {text}")
        self.status = status


def open_driver(library: Any = None) -> CudaDriver:
    """The driver, initialised; EngineUnavailable says what is missing. Tests give their own `library`."""
    if library is None:
        name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
        try:
            library = ctypes.CDLL(name)
        except OSError as error:
            raise EngineUnavailable(
                f"no NVIDIA driver is installed ({name} is not there); {DRIVER_CURE}"
            ) from error
    try:
        return CudaDriver(library)
    except AttributeError as error:
        raise EngineUnavailable(f"the NVIDIA driver is too old ({error}); {DRIVER_CURE}") from error
    except DriverError as error:
        if error.status == NO_GPU:
            raise EngineUnavailable(f"the NVIDIA driver finds no GPU; {DRIVER_CURE}") from error
        raise EngineUnavailable(f"the NVIDIA driver does not start ({error}); {DRIVER_CURE}") from error


def find_gpu(index: int = 0, *, library: Any = None) -> Gpu:
    """The GPU of this number; EngineUnavailable says why there is none."""
    driver = open_driver(library)
    try:
        count = driver.number("cuDeviceGetCount")
        if index >= count:
            found = f"{count} NVIDIA GPU{'' if count == 1 else 's'}"
            raise EngineUnavailable(f"found {found}, expected at least {index + 1}; {DRIVER_CURE}")
        return driver.gpu(index)
    except DriverError as error:
        raise EngineUnavailable(
            f"the NVIDIA driver cannot describe its GPU ({error}); {DRIVER_CURE}"
        ) from error
