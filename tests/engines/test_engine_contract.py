# SPDX-License-Identifier: MIT
"""Every engine of the registry keeps the same contract; a choice that cannot be had is an error."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from engines import BACKENDS, Engine, TensorSpec, open_engine
from engines.base import check_arrays
from face.errors import EngineUnavailable, ModelUnavailable, WrongUse

HAS_TORCH = importlib.util.find_spec("torch") is not None
needs_torch = pytest.mark.skipif(
    not HAS_TORCH, reason="torch is not installed: it is needed to make a network"
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


def delta(n: int = 3) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((n, 5)).astype(np.float32)


@pytest.mark.parametrize("backend", BACKENDS)
def test_engine_says_what_it_takes_gives_and_is(backend: str, model: Path) -> None:
    with open_engine(model, backend=backend) as engine:
        assert engine.inputs == (TensorSpec("delta", ("n", 5)),)
        assert engine.outputs == (TensorSpec("shift", ("n", 2, 8)),)
        assert engine.provenance.backend == backend
        assert engine.provenance.artefact == model.with_suffix(BACKENDS[backend].suffix)
        assert any(character.isdigit() for character in engine.provenance.runtime)  # a version
        assert "CPU" in engine.provenance.device or "NVIDIA" in engine.provenance.device


@pytest.mark.parametrize("backend", BACKENDS)
def test_engine_gives_the_same_answer_twice_in_arrays_the_caller_owns(backend: str, model: Path) -> None:
    with open_engine(model, backend=backend) as engine:
        first = engine.run(delta=delta())["shift"]
        kept = first.copy()
        engine.run(delta=delta() + 1)
        np.testing.assert_array_equal(first, kept)
        np.testing.assert_array_equal(engine.run(delta=delta())["shift"], kept)
        assert first.shape == (3, 2, 8)
        assert first.dtype == np.float32


@pytest.mark.parametrize("backend", BACKENDS)
def test_engine_takes_any_size_of_a_free_dimension(backend: str, model: Path) -> None:
    with open_engine(model, backend=backend) as engine:
        together = engine.run(delta=delta(4))["shift"]
        alone = np.concatenate([engine.run(delta=row[None])["shift"] for row in delta(4)])
    np.testing.assert_allclose(together, alone, atol=TOLERANCE)


@pytest.mark.parametrize("backend", BACKENDS)
def test_engine_refuses_arrays_that_do_not_fit(backend: str, model: Path) -> None:
    with open_engine(model, backend=backend) as engine:
        with pytest.raises(TypeError, match="expected \\['delta'\\]"):
            engine.run(w=delta())
        with pytest.raises(TypeError, match="float64, expected an array of float32"):
            engine.run(delta=delta().astype(np.float64))
        with pytest.raises(ValueError, match="shape \\(3, 4\\)"):
            engine.run(delta=delta()[:, :4])


@pytest.mark.parametrize("backend", BACKENDS)
def test_closed_engine_does_not_run(backend: str, model: Path) -> None:
    engine: Engine = open_engine(model, backend=backend)
    engine.close()
    engine.close()
    with pytest.raises(ValueError, match="closed"):
        engine.run(delta=delta())


@needs_torch
def test_engines_agree(model: Path) -> None:
    results = {}
    for backend in BACKENDS:
        with open_engine(model, backend=backend) as engine:
            results[backend] = engine.run(delta=delta())["shift"]
    for backend, result in results.items():
        np.testing.assert_allclose(result, results["torch"], atol=TOLERANCE, err_msg=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_engine_asked_for_without_its_file_is_an_error_and_no_other_engine(
    backend: str, model: Path, tmp_path: Path
) -> None:
    other = next(b for b in BACKENDS.values() if b.name != backend)
    source = model.with_suffix(other.suffix)
    (tmp_path / source.name).write_bytes(source.read_bytes())
    with pytest.raises(EngineUnavailable, match=f"engine {backend} runs") as raised:
        open_engine(tmp_path / "directions", backend=backend)
    assert "\n" not in str(raised.value)
    with open_engine(tmp_path / "directions") as engine:  # auto may take what is there, and says so
        assert engine.provenance.backend == other.name


@pytest.mark.parametrize("backend", BACKENDS)
def test_damaged_file_is_one_line_that_names_it(backend: str, tmp_path: Path) -> None:
    path = tmp_path / f"generator{BACKENDS[backend].suffix}"
    path.write_bytes(b"neither a graph nor weights")
    if backend == "torch" and not HAS_TORCH:
        pytest.skip("torch is not installed")
    with pytest.raises(ModelUnavailable, match=path.name) as raised:
        open_engine(path, backend=backend)
    assert "\n" not in str(raised.value)


def test_engine_without_its_library_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "engines.torch_engine", None)  # importing it fails
    (tmp_path / "generator.safetensors").write_bytes(b"")
    with pytest.raises(EngineUnavailable, match="needs torch \\(pip install"):
        open_engine(tmp_path / "generator", backend="torch")


def test_unknown_engine_is_wrong_use_and_names_the_known(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="onnx, torch"):
        open_engine(tmp_path / "generator.onnx", backend="cuda")


def test_auto_without_any_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="export it first"):
        open_engine(tmp_path / "generator")


def test_equal_free_names_must_have_equal_sizes() -> None:
    specs = (TensorSpec("a", ("n", 2)), TensorSpec("b", ("n",)))
    check_arrays(specs, {"a": np.zeros((3, 2), np.float32), "b": np.zeros(3, np.float32)})
    with pytest.raises(ValueError, match="b has shape"):
        check_arrays(specs, {"a": np.zeros((3, 2), np.float32), "b": np.zeros(2, np.float32)})
