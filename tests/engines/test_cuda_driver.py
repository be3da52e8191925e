# SPDX-License-Identifier: MIT
"""The driver is asked with the right types, what is missing is said, and a device gives back all it took."""

import ctypes
import threading
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from fake_cuda import FakeCuda

from engines import cuda_driver
from engines.base import Provenance, TensorSpec
from engines.cuda_driver import SIGNATURES, find_gpu, open_driver
from engines.device import DeviceBuffer, DeviceError
from engines.device_runner import DeviceRunner
from engines.driver_device import DriverDevice
from face.errors import EngineUnavailable

DELTA = TensorSpec("delta", (2, 3))
IMAGE = TensorSpec("image", (2, 3), "uint8")
PROVENANCE = Provenance(Path("live.onnx"), "tensorrt-rtx", "fake 1", "fake GPU")


class Doubling:
    """A network that reads and writes device memory by address, as a runtime does."""

    name, inputs, outputs = "doubling", (DELTA,), (IMAGE,)

    def __init__(self, library: FakeCuda) -> None:
        self._library = library

    def enqueue(self, buffers: Mapping[str, DeviceBuffer], stream: object) -> None:
        source, target = buffers["delta"].address, buffers["image"].address

        def work() -> None:
            values = np.ctypeslib.as_array((ctypes.c_float * 6).from_address(source))
            ctypes.memmove(target, (values * 2).astype(np.uint8).tobytes(), 6)

        self._library.launch(work)

    def close(self) -> None:
        pass


def test_gpu_is_described_by_its_driver() -> None:
    gpu = find_gpu(library=FakeCuda(capability=(9, 0), name=b"NVIDIA H200"))
    assert (gpu.name, gpu.capability, gpu.driver, gpu.memory_mib) == ("NVIDIA H200", (9, 0), "13.0", 12288)


@pytest.mark.parametrize(
    ("library", "said"),
    [
        (FakeCuda(gpus=0), "finds no GPU"),
        (FakeCuda(broken={"cuInit": 999}), "does not start .cuInit: error 999"),
        (FakeCuda(broken={"cuDeviceTotalMem_v2": 700}), "cannot describe its GPU"),
        (SimpleNamespace(cuInit=lambda flags: 0), "too old .*cuDriverGetVersion"),
    ],
)
def test_what_is_wrong_with_the_driver_is_one_line_with_a_cure(library: object, said: str) -> None:
    with pytest.raises(EngineUnavailable, match=said) as raised:
        find_gpu(library=library)
    assert "\n" not in str(raised.value) and "nvidia-smi" in str(raised.value)


def test_missing_driver_and_missing_second_gpu_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    with pytest.raises(EngineUnavailable, match="found 1 NVIDIA GPU, expected at least 2"):
        find_gpu(1, library=FakeCuda())
    monkeypatch.setattr(cuda_driver.ctypes, "CDLL", nowhere)
    with pytest.raises(EngineUnavailable, match="no NVIDIA driver is installed"):
        find_gpu()


def test_fake_refuses_a_wrong_type_as_ctypes_would() -> None:
    driver = open_driver(FakeCuda())
    with pytest.raises(TypeError, match="wrong type"):
        driver.call("cuInit", "zero")
    with pytest.raises(DeviceError, match="cuMemFree_v2: error 400"):
        driver.call("cuMemFree_v2", 4096)


@pytest.mark.parametrize("graphs", [True, False])
def test_frames_pass_through_addresses_and_everything_is_given_back(graphs: bool) -> None:
    library = FakeCuda()
    device = DriverDevice(library=library)
    runner = DeviceRunner(device, [Doubling(library)], provenance=PROVENANCE, graphs=graphs)
    made = len(library.living)
    for level in range(5):
        image = runner.run(delta=np.full((2, 3), level, np.float32))["image"]
        np.testing.assert_array_equal(image, np.full((2, 3), 2 * level, np.uint8))
    assert len(library.living) == made  # nothing was made in the loop
    assert bool(library.launches) is graphs
    assert runner.times is not None and runner.times.stages[0] > 0
    runner.close()
    assert not library.living and library.retained == 0


def test_another_thread_gets_the_context_before_its_first_call() -> None:
    library = FakeCuda()
    with DeviceRunner(DriverDevice(library=library), [Doubling(library)], provenance=PROVENANCE) as runner:
        library.calls.clear()
        thread = threading.Thread(target=lambda: runner.run(delta=np.zeros((2, 3), np.float32)))
        thread.start()
        thread.join()
        assert library.calls[0] == "cuCtxSetCurrent"
        assert library.calls.count("cuCtxSetCurrent") == 1


def test_a_lost_gpu_is_said_and_still_closed() -> None:
    library = FakeCuda()
    runner = DeviceRunner(DriverDevice(library=library), [Doubling(library)], provenance=PROVENANCE)
    library.broken["cuEventSynchronize"] = 700
    with pytest.raises(EngineUnavailable, match="RTX 3060 failed .*illegal memory access"):
        runner.run(delta=np.zeros((2, 3), np.float32))
    runner.close()
    assert library.retained == 0


def test_a_capture_that_fails_is_ended() -> None:
    library = FakeCuda()
    device = DriverDevice(library=library)
    stream = device.stream()

    def refuse() -> None:
        raise DeviceError("operation not permitted when stream is capturing")

    with pytest.raises(DeviceError, match="not permitted"):
        device.capture(stream, refuse)
    assert "cuStreamEndCapture" in library.calls
    device.close()


def test_every_function_named_is_called_by_these_tests_or_their_fake_has_it() -> None:
    assert set(SIGNATURES) == {name for name in dir(FakeCuda()) if name.startswith("cu")}


@pytest.mark.gpu
def test_real_driver_copies_and_times() -> None:
    """On a GPU: what goes in comes out, and events tell a time."""
    device = DriverDevice()
    into, out, event, after = device.stream(), device.stream(), device.event(), device.event()
    spec = TensorSpec("x", (64, 1024))
    here, there, back = device.host_buffer(spec), device.device_buffer(spec), device.host_buffer(spec)
    here.array[:] = np.arange(here.array.size).reshape(here.array.shape)
    graph = None
    for _ in range(3):
        device.record(event, into)
        device.copy_in(there, here, into)
        device.record(after, into)
        device.wait(out, after)
        device.copy_out(back, there, out)
        device.record(after, out)
        device.synchronise(after)
        np.testing.assert_array_equal(here.array, back.array)
        assert device.elapsed_ms(event, after) > 0
        here.array[:] += 1
    graph = device.capture(into, lambda: device.copy_in(there, here, into))
    device.replay(graph, into)
    device.copy_out(back, there, into)
    device.record(after, into)
    device.synchronise(after)
    np.testing.assert_array_equal(here.array, back.array)
    device.close()
