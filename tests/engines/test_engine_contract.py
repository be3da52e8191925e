# SPDX-License-Identifier: MIT
"""Every engine of the registry keeps the same contract; a choice that cannot be had is an error."""

import importlib.util
import logging
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engines import BACKENDS, Engine, TensorSpec, check_backend, open_engine
from engines.base import check_arrays
from face.errors import EngineUnavailable, ModelUnavailable, WrongUse
from realtime.options import engines

HAS_TORCH = importlib.util.find_spec("torch") is not None
needs_torch = pytest.mark.skipif(
    not HAS_TORCH, reason="torch is not installed: it is needed to make a network"
)
pytestmark = pytest.mark.filterwarnings(  # torch's compiler loads what torch itself deprecates
    "ignore:`torch.jit.script_method` is deprecated:DeprecationWarning"
)
TOLERANCE = 1e-5  # float32 rounding of a 64-term sum


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A matrix of directions in every form an engine reads: `<folder>/directions`."""
    if not HAS_TORCH:
        pytest.skip("torch is not installed: it is needed to make a network")
    from engines.networks.directions import Directions, DirectionsConfig
    from engines.networks.store import save_network
    from export.onnx_export import save_graph

    folder = tmp_path_factory.mktemp("model")
    network = Directions(DirectionsConfig(parameters=5, rows=2, w_dim=8)).eval()
    save_network(network, folder / "directions.safetensors")
    save_graph(network, folder / "directions.onnx")
    return folder / "directions"


def usable(backend: str) -> bool:
    try:
        check_backend(backend)
    except EngineUnavailable:
        return False
    return True


HERE = [backend for backend in BACKENDS if usable(backend)]
NOT_HERE = [backend for backend in BACKENDS if backend not in HERE]


@pytest.fixture(scope="module")
def opened(model: Path) -> Iterator[Callable[[str], Engine]]:
    """Each backend's engine, opened once: compiling takes seconds."""
    with ExitStack() as stack:
        engines: dict[str, Engine] = {}

        def engine(backend: str) -> Engine:
            if backend not in engines:
                engines[backend] = stack.enter_context(open_engine(model, backend=backend))
            return engines[backend]

        yield engine


def delta(n: int = 3) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((n, 5)).astype(np.float32)


def fitting(engine: Engine) -> np.ndarray:
    """A delta of as many samples as the engine takes: several where it is free."""
    size = engine.inputs[0].shape[0]
    return delta(3 if isinstance(size, str) else size)


def test_what_runs_here_is_what_is_installed() -> None:
    """Nothing is left out of the tests below unseen: a usable backend is one whose library is there."""
    assert "onnx" in HERE
    if HAS_TORCH:
        import torch

        assert "torch" in HERE
        assert ("torch-compiled" in HERE) == any(map(shutil.which, ("g++", "clang++", "cl")))
        assert ("torch-graphs" in HERE) == torch.cuda.is_available()


@pytest.mark.parametrize("backend", HERE)
def test_engine_says_what_it_takes_gives_and_is(
    backend: str, model: Path, opened: Callable[[str], Engine]
) -> None:
    engine = opened(backend)
    size = engine.inputs[0].shape[0]
    assert size in ("n", 1)
    assert engine.inputs == (TensorSpec("delta", (size, 5)),)
    assert engine.outputs == (TensorSpec("shift", (size, 2, 8)),)
    assert engine.provenance.backend == backend
    assert engine.provenance.artefact == model.with_suffix(BACKENDS[backend].suffix)
    assert any(character.isdigit() for character in engine.provenance.runtime)  # a version
    assert "CPU" in engine.provenance.device or "NVIDIA" in engine.provenance.device
    assert engine.provenance.runtime.split()[0] in check_backend(backend)


@pytest.mark.parametrize("backend", HERE)
def test_engine_gives_the_same_answer_twice_in_arrays_the_caller_owns(
    backend: str, opened: Callable[[str], Engine]
) -> None:
    engine = opened(backend)
    given = fitting(engine)
    first = engine.run(delta=given)["shift"]
    kept = first.copy()
    engine.run(delta=given + 1)
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(engine.run(delta=given)["shift"], kept)
    assert first.shape == (len(given), 2, 8)
    assert first.dtype == np.float32


@pytest.mark.parametrize("backend", HERE)
def test_engine_takes_any_size_of_a_free_dimension(backend: str, opened: Callable[[str], Engine]) -> None:
    engine = opened(backend)
    if BACKENDS[backend].gpu:
        assert engine.inputs[0].shape[0] == 1  # one sample, by design
        return
    together = engine.run(delta=delta(4))["shift"]
    alone = np.concatenate([engine.run(delta=row[None])["shift"] for row in delta(4)])
    np.testing.assert_allclose(together, alone, atol=TOLERANCE)


@pytest.mark.parametrize("backend", HERE)
def test_engine_refuses_arrays_that_do_not_fit(backend: str, opened: Callable[[str], Engine]) -> None:
    engine = opened(backend)
    given = fitting(engine)
    with pytest.raises(TypeError, match="expected \\['delta'\\]"):
        engine.run(w=given)
    with pytest.raises(TypeError, match="float64, expected an array of float32"):
        engine.run(delta=given.astype(np.float64))
    with pytest.raises(ValueError, match="shape \\(\\d, 4\\)"):
        engine.run(delta=given[:, :4])


@pytest.mark.parametrize("backend", [b for b in HERE if b != "torch-compiled"])
def test_closed_engine_does_not_run(backend: str, model: Path) -> None:
    engine: Engine = open_engine(model, backend=backend)
    given = fitting(engine)
    engine.close()
    engine.close()
    with pytest.raises(ValueError, match="closed"):
        engine.run(delta=given)


@needs_torch
def test_engines_agree(opened: Callable[[str], Engine]) -> None:
    results = {backend: opened(backend).run(delta=delta(1))["shift"] for backend in HERE}
    for backend, result in results.items():
        np.testing.assert_allclose(result, results["torch"], atol=TOLERANCE, err_msg=backend)


@pytest.mark.parametrize("backend", NOT_HERE)
def test_engine_that_cannot_be_had_says_what_is_missing_and_the_cure(backend: str, model: Path) -> None:
    with pytest.raises(EngineUnavailable) as raised:
        open_engine(model, backend=backend)
    said = str(raised.value)
    assert "\n" not in said
    assert "install" in said or "--engine" in said
    with pytest.raises(EngineUnavailable) as raised:
        check_backend(backend)
    assert str(raised.value) == said


@pytest.mark.parametrize("backend", BACKENDS)
def test_engine_asked_for_without_its_file_is_an_error_and_no_other_engine(
    backend: str, model: Path, tmp_path: Path
) -> None:
    other = {".onnx": ".safetensors", ".safetensors": ".onnx"}[BACKENDS[backend].suffix]
    source = model.with_suffix(other)
    (tmp_path / source.name).write_bytes(source.read_bytes())
    with pytest.raises(EngineUnavailable, match=f"engine {backend} runs") as raised:
        open_engine(tmp_path / "directions", backend=backend)
    assert "\n" not in str(raised.value)
    with open_engine(tmp_path / "directions") as engine:  # auto may take what is there, and says so
        assert BACKENDS[engine.provenance.backend].suffix == other


@pytest.mark.parametrize("backend", HERE)
def test_damaged_file_is_one_line_that_names_it(backend: str, tmp_path: Path) -> None:
    path = tmp_path / f"generator{BACKENDS[backend].suffix}"
    path.write_bytes(b"neither a graph nor weights")
    with pytest.raises(ModelUnavailable, match=path.name) as raised:
        open_engine(path, backend=backend)
    assert "\n" not in str(raised.value)


def test_auto_asks_in_order_and_passes_over_what_cannot_run(
    model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    able = [b for b in BACKENDS.values() if b.by_itself and b.name in HERE]
    with caplog.at_level(logging.INFO, "engines.registry"), open_engine(model) as engine:
        assert engine.provenance.backend == able[0].name
    before = list(BACKENDS)[: list(BACKENDS).index(able[0].name)]
    for passed in before:
        assert not BACKENDS[passed].by_itself or f"auto passes {passed} over" in caplog.text


@needs_torch
def test_auto_takes_what_opens_in_seconds_alone(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow_first = {name: BACKENDS[name] for name in ("torch-compiled", "torch")}
    monkeypatch.setattr("engines.registry.BACKENDS", slow_first)
    with open_engine(model) as engine:
        assert engine.provenance.backend == "torch"
    assert {b.name for b in BACKENDS.values() if not b.by_itself} == {
        "torch-compiled",
        "tensorrt",
        "torch2trt",
    }


def test_auto_says_why_nothing_that_is_there_can_run(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (b.module for b in BACKENDS.values() if b.suffix == ".onnx"):
        monkeypatch.setitem(sys.modules, module, None)  # importing it fails
    monkeypatch.setattr("engines.registry.find_gpu", lambda: None)
    with pytest.raises(
        EngineUnavailable, match="no engine can run directions.onnx .*onnx: engine onnx needs"
    ):
        open_engine(model.with_suffix(".onnx"))


@pytest.mark.parametrize("backend", BACKENDS)
def test_engine_without_its_library_says_what_to_install(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, BACKENDS[backend].module, None)  # importing it fails
    (tmp_path / f"generator{BACKENDS[backend].suffix}").write_bytes(b"")
    with pytest.raises(EngineUnavailable, match=f"engine {backend} needs .*(pip install|pytorch.org)"):
        open_engine(tmp_path / "generator", backend=backend)


def test_unknown_engine_is_wrong_use_and_names_the_known(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="onnx, torch"):
        open_engine(tmp_path / "generator.onnx", backend="cuda")


def test_builders_for_gpus_take_the_half_precision_graph_unless_one_is_named(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variants = {name: b.variant for name, b in BACKENDS.items() if b.variant}
    assert variants == {"tensorrt-rtx": "-fp16", "tensorrt": "-fp16", "onnx": "-cpu"}
    stand_in = replace(BACKENDS["onnx"], variant=BACKENDS["tensorrt-rtx"].variant)
    monkeypatch.setitem(BACKENDS, "onnx", stand_in)
    for name in ("live", "live-fp16", "alone"):
        (tmp_path / f"{name}.onnx").write_bytes(model.with_suffix(".onnx").read_bytes())
    for asked, taken in (("live", "live-fp16"), ("live.onnx", "live"), ("alone", "alone")):
        with open_engine(tmp_path / asked, backend="onnx") as engine:
            assert engine.provenance.artefact == tmp_path / f"{taken}.onnx"


def test_command_line_offers_what_there_is() -> None:
    assert sorted(engines()) == sorted(["auto", *BACKENDS])


def test_auto_without_any_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="export it first"):
        open_engine(tmp_path / "generator")


def test_equal_free_names_must_have_equal_sizes() -> None:
    specs = (TensorSpec("a", ("n", 2)), TensorSpec("b", ("n",)))
    check_arrays(specs, {"a": np.zeros((3, 2), np.float32), "b": np.zeros(3, np.float32)})
    with pytest.raises(ValueError, match="b has shape"):
        check_arrays(specs, {"a": np.zeros((3, 2), np.float32), "b": np.zeros(2, np.float32)})
