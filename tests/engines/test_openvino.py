# SPDX-License-Identifier: MIT
"""OpenVINO draws ONNX Runtime's picture within a grey level or two, and keeps numbers in float32."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("openvino", reason="OpenVINO is not installed: an extra")
torch = pytest.importorskip("torch", reason="torch is not installed: it is needed to make a network")

from live_graphs import directions_live

from engines import open_engine
from engines.networks.directions import Directions, DirectionsConfig
from engines.networks.stylegan2 import Mapping, MappingConfig, Synthesis, SynthesisConfig
from export.onnx_export import save_graph

# Mean and largest difference from ONNX Runtime in grey levels: float32's sums in another order may round to
# the next level, bfloat16's 8 bits in a network nobody trained go further.
PICTURE_TOLERANCE = {"f32": (0.01, 1), "bf16": (1.0, 8)}
W_TOLERANCE = 1e-5


@pytest.fixture
def graphs(tmp_path: Path) -> Path:
    """A generator, a mover and directions."""
    torch.manual_seed(2)
    config = SynthesisConfig(resolution=32, channels=(12, 10, 8, 6), w_dim=16)
    directions = Directions(DirectionsConfig(5, 4, 16)).eval()
    live = directions_live(Synthesis(config).eval(), directions)
    save_graph(live.generator, tmp_path / "generator_live.onnx")
    save_graph(live.mover, tmp_path / "mover.onnx")
    save_graph(directions, tmp_path / "directions.onnx")
    return tmp_path


def test_pictures_agree_within_grey_levels_of_their_precision(graphs: Path, openvino_precision: str) -> None:
    rng = np.random.default_rng(4)
    given = {
        "identity": rng.standard_normal((1, 8, 16)).astype(np.float32) / 2,
        "delta": rng.standard_normal((1, 5)).astype(np.float32),
    }
    images = {}
    for backend in ("onnx", "openvino"):
        with (
            open_engine(graphs / "mover", backend=backend) as mover,
            open_engine(graphs / "generator_live", backend=backend) as engine,
        ):
            images[backend] = engine.run(**mover.run(**given))["image"].astype(int)
            devices = mover.provenance.device, engine.provenance.device
    assert devices == ("CPU, 1 thread, f32", f"CPU, 1 thread, {openvino_precision}")
    difference = np.abs(images["onnx"] - images["openvino"])
    mean, most = PICTURE_TOLERANCE[openvino_precision]
    assert difference.mean() <= mean and difference.max() <= most
    assert images["onnx"].std() > 5  # there is something to see


def test_numbers_are_computed_in_float32(graphs: Path) -> None:
    delta = np.random.default_rng(5).standard_normal((7, 5)).astype(np.float32)
    with open_engine(graphs / "directions", backend="openvino", threads=2) as engine:
        assert engine.provenance.device == "CPU, 2 threads, f32"
        shift = engine.run(delta=delta)["shift"]
    with open_engine(graphs / "directions", backend="onnx") as engine:
        np.testing.assert_allclose(shift, engine.run(delta=delta)["shift"], atol=W_TOLERANCE)


def test_scalars_stay_scalars(tmp_path: Path) -> None:
    save_graph(Mapping(MappingConfig(6, 16, 4, 2, 16)).eval(), tmp_path / "mapping.onnx")
    z = np.random.default_rng(6).standard_normal((2, 6)).astype(np.float32)
    given = {"z": z, "psi": np.array(0.7, np.float32)}
    with open_engine(tmp_path / "mapping", backend="openvino") as engine:
        w = engine.run(**given)["w"]
    with open_engine(tmp_path / "mapping", backend="onnx") as engine:
        np.testing.assert_allclose(w, engine.run(**given)["w"], atol=W_TOLERANCE)


def test_sliced_arrays_are_read_as_they_look(graphs: Path) -> None:
    delta = np.random.default_rng(5).standard_normal((5, 7)).astype(np.float32).T  # not contiguous
    with open_engine(graphs / "directions", backend="openvino") as engine:
        shift = engine.run(delta=delta)["shift"]
        np.testing.assert_array_equal(shift, engine.run(delta=delta.copy())["shift"])
