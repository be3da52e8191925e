# SPDX-License-Identifier: MIT
"""TensorRT and TensorRT-RTX as far as they go without a GPU: builds ahead of time and refusals by the real
library, the calls of a running engine against a fake of the documented interface. No engine was run here."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from fake_cuda import FakeCuda
from fake_tensorrt import fake_tensorrt, plan

from engines import cuda_driver, open_engine
from engines.base import TensorSpec
from engines.cache import EngineCache, default_folder
from engines.cuda_driver import find_gpu
from engines.device import DeviceError
from engines.driver_device import DriverDevice
from engines.tensorrt_build import build_plan
from face.errors import EngineUnavailable, ModelUnavailable

DELTA = np.array([[1, 2, 3, 4]], np.float32)


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    """A fake GeForce that every engine of this test finds."""
    library = FakeCuda()
    monkeypatch.setattr(cuda_driver.ctypes, "CDLL", lambda name: library)
    return library


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """Bytes for a hash; the fake library reads none."""
    path = tmp_path / "live.onnx"
    path.write_bytes(b"a graph")
    return path


def engine_module(name: str, library: Any) -> Iterator[ModuleType]:
    """engines.<name> imported anew over a stand-in for its library."""
    distribution = {"tensorrt_engine": "tensorrt", "tensorrt_rtx_engine": "tensorrt_rtx_bindings"}[name]
    before = {key: sys.modules.pop(key, None) for key in (distribution, f"engines.{name}")}
    sys.modules[distribution] = library
    try:
        yield importlib.import_module(f"engines.{name}")
    finally:
        for key, module in before.items():
            sys.modules.pop(key, None)
            if module is not None:
                sys.modules[key] = module


@pytest.fixture
def rtx(cuda: FakeCuda) -> Iterator[ModuleType]:
    yield from engine_module("tensorrt_rtx_engine", fake_tensorrt(cuda))


@pytest.fixture(params=["10.9.0.34", "11.4.0"])
def full(request: pytest.FixtureRequest, cuda: FakeCuda) -> Iterator[ModuleType]:
    yield from engine_module("tensorrt_engine", fake_tensorrt(cuda, request.param))


# -- running, against the fake


@pytest.mark.parametrize("free", [False, True])
def test_full_tensorrt_runs_by_addresses_in_our_own_graph(
    full: ModuleType, graph: Path, cuda: FakeCuda, free: bool
) -> None:
    blob = plan(full.trt.__version__, free=free)
    with full.open_plan(blob, graph, device=DriverDevice(), gpu=find_gpu()) as engine:
        assert engine.inputs == (TensorSpec("delta", (1, 4)),)
        assert engine.outputs == (TensorSpec("image", (1, 4), "uint8"),)
        context = full.trt.engines[0].contexts[0]
        warm = context.runs
        for _ in range(4):
            np.testing.assert_array_equal(engine.run(delta=DELTA)["image"], [[2, 4, 6, 8]])
        assert context.runs == warm and sum(cuda.launches.values()) == 4  # replayed, not enqueued anew
        assert engine.provenance.backend == "tensorrt"
        assert engine.provenance.runtime == f"TensorRT {full.trt.__version__}"
    assert not cuda.living and cuda.retained == 0


def test_rtx_replays_its_own_graph_and_never_compiles_in_the_loop(
    rtx: ModuleType, graph: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[tuple[int, int]] = []
    monkeypatch.setattr(
        rtx, "build_plan", lambda trt, path, *, capability: built.append(capability) or plan()
    )
    with rtx.open_artefact(graph, 1) as engine:
        config = rtx.trt.engines[0].contexts[0].config
        assert config.cuda_graph_strategy == "whole graph"
        assert config.dynamic_shapes_kernel_specialization_strategy == "eager"
        assert config.kernels.loaded == b""  # nothing was known yet
        np.testing.assert_array_equal(engine.run(delta=DELTA)["image"], [[2, 4, 6, 8]])
        assert not cuda.launches
    with rtx.open_artefact(graph, 1) as engine:
        assert rtx.trt.engines[1].contexts[0].config.kernels.loaded == b"compiled kernels"
        np.testing.assert_array_equal(engine.run(delta=DELTA * 3)["image"], [[6, 12, 18, 24]])
    assert built == [(8, 6)]  # the second time it came from the cache
    assert not cuda.living and cuda.retained == 0


def test_kernels_of_another_gpu_are_compiled_again_but_the_engine_serves(
    rtx: ModuleType, graph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[tuple[int, int]] = []
    monkeypatch.setattr(
        rtx, "build_plan", lambda trt, path, *, capability: built.append(capability) or plan()
    )
    rtx.open_artefact(graph, 1).close()
    other = FakeCuda(name=b"NVIDIA GeForce RTX 3070")
    monkeypatch.setattr(cuda_driver.ctypes, "CDLL", lambda name: other)
    monkeypatch.setattr(rtx, "trt", fake_tensorrt(other))
    rtx.open_artefact(graph, 1).close()
    assert rtx.trt.engines[0].contexts[0].config.kernels.loaded == b""
    assert built == [(8, 6)]


def test_an_engine_built_by_another_release_is_one_line(full: ModuleType, graph: Path) -> None:
    with pytest.raises(EngineUnavailable, match="built by 10.1.0, this is") as raised:
        full.open_plan(plan("10.1.0"), graph, device=DriverDevice(), gpu=find_gpu())
    assert "built again" in str(raised.value) and "\n" not in str(raised.value)


def test_a_refused_call_becomes_the_library_s_own_words(full: ModuleType, graph: Path) -> None:
    device = DriverDevice()
    with full.open_plan(plan(full.trt.__version__), graph, device=device, gpu=find_gpu()) as engine:
        (stage,) = engine._stages
        buffers = {spec.name: device.device_buffer(spec) for spec in (*stage.inputs, *stage.outputs)}
        with pytest.raises(DeviceError, match="no such stream"):
            stage.enqueue(buffers, device.event())
        with pytest.raises(DeviceError, match="other was refused: setTensorAddress"):
            stage.enqueue({"other": buffers["delta"]}, device.stream())


@pytest.mark.parametrize(
    ("capability", "version", "said"),
    [
        ((9, 0), "11.4.0", ""),  # an H200 is TensorRT's own field
        ((6, 1), "11.4.0", "7.5 and up, found 6.1"),
        ((8, 6), "8.6.1", "expected TensorRT 10 or 11"),
        ((8, 6), "12.0.0", "expected TensorRT 10 or 11"),
    ],
)
def test_full_tensorrt_knows_where_it_runs(
    capability: tuple[int, int], version: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = FakeCuda(capability=capability)
    monkeypatch.setattr(cuda_driver.ctypes, "CDLL", lambda name: library)
    for module in engine_module("tensorrt_engine", fake_tensorrt(library, version)):
        if not said:
            assert module.check() == "TensorRT 11.4.0, NVIDIA GeForce RTX 3060"
            continue
        with pytest.raises(EngineUnavailable, match=said):
            module.check()


def test_lean_runtime_is_told_from_the_whole(cuda: FakeCuda) -> None:
    library = fake_tensorrt(cuda)
    del library.Builder
    for module in engine_module("tensorrt_engine", library):
        with pytest.raises(EngineUnavailable, match="without its builder"):
            module.check()


def test_rtx_refuses_a_gpu_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    library = FakeCuda(capability=(9, 0), name=b"NVIDIA H200")
    monkeypatch.setattr(cuda_driver.ctypes, "CDLL", lambda name: library)
    for module in engine_module("tensorrt_rtx_engine", fake_tensorrt(library)):
        with pytest.raises(EngineUnavailable, match="7.5, 8.0, 8.6, 8.9, 12.0, 12.1, found 9.0"):
            module.check()


# -- the real library of TensorRT-RTX: it builds without a GPU, and says why it cannot run


@pytest.fixture
def real_rtx() -> Any:
    return pytest.importorskip(
        "tensorrt_rtx_bindings", reason="TensorRT-RTX is not installed: an extra of NVIDIA users"
    )


@pytest.fixture
def real_graph(tmp_path: Path) -> Path:
    pytest.importorskip("torch", reason="torch is not installed: it is needed to make a network")
    from engines.networks.directions import Directions, DirectionsConfig
    from export.onnx_export import save_graph

    save_graph(Directions(DirectionsConfig(5, 2, 8)).eval(), tmp_path / "directions.onnx")
    return tmp_path / "directions.onnx"


def test_real_rtx_builds_for_gpus_that_are_not_here(real_rtx: Any, real_graph: Path) -> None:
    told: list[float] = []
    ampere = build_plan(
        real_rtx, real_graph, capability=(8, 6), progress=lambda phase, share: told.append(share) or True
    )
    blackwell = build_plan(real_rtx, real_graph, capability=(12, 0))
    assert len(ampere) > 1000 and ampere != blackwell
    assert told and all(0 <= share <= 1 for share in told)


def test_real_engine_made_by_export_is_the_one_a_player_looks_for(
    real_rtx: Any, real_graph: Path, tmp_path: Path
) -> None:
    from engines.tensorrt_rtx_engine import engine_key
    from export.tensorrt_rtx import build_engines

    cache = EngineCache(default_folder())
    assert cache.load(engine_key(real_graph, (8, 6))) is None
    (made,) = build_engines([real_graph], tmp_path, capabilities=["8.6"], cache=cache)
    assert cache.load(engine_key(real_graph, (8, 6))) == (tmp_path / made.file).read_bytes()
    assert cache.load(engine_key(real_graph, (8, 9))) is None


def test_real_rtx_build_can_be_stopped(real_rtx: Any, real_graph: Path) -> None:
    with pytest.raises(EngineUnavailable, match="it was stopped"):
        build_plan(real_rtx, real_graph, capability=(8, 6), progress=lambda phase, share: False)


def test_real_rtx_refuses_unknown_gpus_and_damaged_graphs(real_rtx: Any, real_graph: Path) -> None:
    with pytest.raises(EngineUnavailable, match="12.1, found 9.0; choose --engine tensorrt"):
        build_plan(real_rtx, real_graph, capability=(9, 0))
    real_graph.write_bytes(b"no graph at all")
    with pytest.raises(ModelUnavailable, match="directions.onnx is no graph tensorrt_rtx 1") as raised:
        build_plan(real_rtx, real_graph, capability=(8, 6))
    assert "\n" not in str(raised.value)


def test_real_rtx_without_a_gpu_is_an_error_and_no_other_engine(real_rtx: Any, real_graph: Path) -> None:
    try:
        find_gpu()
    except EngineUnavailable:
        with pytest.raises(EngineUnavailable, match="driver .*--engine onnx"):
            open_engine(real_graph, backend="tensorrt-rtx")
    else:
        pytest.skip("there is a GPU here")


def test_real_rtx_says_why_a_plan_does_not_load(real_rtx: Any, tmp_path: Path) -> None:
    from engines.tensorrt_runtime import load_plan

    with pytest.raises(EngineUnavailable, match="does not load the engine of live.onnx .*magicTag") as raised:
        load_plan(real_rtx, b"neither" * 40, name="live.onnx", library="TensorRT-RTX")
    assert "\n" not in str(raised.value)


def test_real_module_has_every_name_we_use(real_rtx: Any) -> None:
    """The fake could be wrong about names; the library itself is asked."""
    for name in ("set_tensor_address", "execute_async_v3", "set_input_shape", "get_tensor_shape"):
        assert hasattr(real_rtx.IExecutionContext, name)
    for name in ("create_runtime_config", "create_execution_context", "get_tensor_profile_shape"):
        assert hasattr(real_rtx.ICudaEngine, name)
    for name in ("get_tensor_name", "get_tensor_mode", "get_tensor_dtype", "get_tensor_shape"):
        assert hasattr(real_rtx.ICudaEngine, name)
    for name in ("create_runtime_cache", "set_runtime_cache", "cuda_graph_strategy"):
        assert hasattr(real_rtx.IRuntimeConfig, name)
    assert hasattr(real_rtx.IRuntimeCache, "serialize") and hasattr(real_rtx.IRuntimeCache, "deserialize")
    assert np.dtype(real_rtx.nptype(real_rtx.DataType.UINT8)) == np.uint8
