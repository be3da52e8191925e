# SPDX-License-Identifier: MIT
"""StyleGAN3 pickles of both kinds come out as the published formulas say, and as no near miss of them."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed: the player does without it")
torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")

from stylegan3_files import (
    W_DIM,
    Z_DIM,
    grids,
    layer_names,
    stylegan3_state,
    write_stylegan3,
)
from stylegan3_reference import AliasFreeFaults, AliasFreeGenerator

from engines import open_engine
from engines.model_folder import read_model
from export import export_checkpoint
from export.checkpoints.identify import import_checkpoint
from export.onnx_export import save_graph
from export.verify import TOLERANCE, verify_graph
from face.errors import BadCheckpoint

IMAGE_TOLERANCE = 1e-4  # absolute, on images of range about 10: float32 against float64
W_TOLERANCE = 1e-5
TELLING = 100  # a wrong variant is at least this many tolerances away
ROWS = 6  # of w for four layers, the input and the image
CLAMP = 16.0  # low enough to bite, in the image


def random_w(n: int = 2) -> np.ndarray:
    """Rows that differ from each other, so that reading the wrong one shows."""
    return np.random.default_rng(9).standard_normal((n, ROWS, W_DIM)).astype(np.float32)


def random_z(n: int = 2) -> np.ndarray:
    return np.random.default_rng(8).standard_normal((n, Z_DIM)).astype(np.float32)


def run(folder: Path, role: str, **arrays: Any) -> np.ndarray:
    with open_engine(folder / role, backend="onnx") as engine:
        return engine.run(**arrays)[engine.outputs[0].name]


@pytest.fixture(scope="module", params=["T", "R"])
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, AliasFreeGenerator, str]:
    kind = request.param
    folder = tmp_path_factory.mktemp(f"stylegan3{kind}")
    state = stylegan3_state(kind)
    write_stylegan3(folder / "g.pkl", kind, state, clamp=CLAMP)
    export_checkpoint(folder / "g.pkl", folder / "model")
    return folder / "model", AliasFreeGenerator(state, grids(kind), clamp=CLAMP), kind


def test_image_is_the_published_one(exported: tuple[Path, AliasFreeGenerator, str]) -> None:
    folder, reference, _ = exported
    expected = reference.image(random_w())
    assert expected.shape == (2, 3, 32, 32)
    assert 3 < np.abs(expected).max() < 100  # a range that means something
    np.testing.assert_allclose(run(folder, "generator", w=random_w()), expected, atol=IMAGE_TOLERANCE, rtol=0)


@pytest.mark.parametrize("fault", [field.name for field in fields(AliasFreeFaults)])
def test_image_is_no_near_miss(exported: tuple[Path, AliasFreeGenerator, str], fault: str) -> None:
    folder, reference, kind = exported
    if fault == "mirrored_kernel" and kind == "R":
        pytest.skip("its kernels are 1 by 1")
    wrong = reference.image(random_w(1), AliasFreeFaults(**{fault: True}))
    difference = np.abs(run(folder, "generator", w=random_w(1)) - wrong).max()
    assert difference > TELLING * IMAGE_TOLERANCE


def test_any_batch_gives_what_its_samples_give_alone(exported: tuple[Path, AliasFreeGenerator, str]) -> None:
    folder = exported[0]
    together = run(folder, "generator", w=random_w(4))
    alone = np.concatenate([run(folder, "generator", w=w[None]) for w in random_w(4)])
    np.testing.assert_allclose(together, alone, atol=IMAGE_TOLERANCE, rtol=0)
    np.testing.assert_array_equal(together, run(folder, "generator", w=random_w(4)))


@pytest.mark.parametrize("psi", [0.0, 0.7, 1.0])
def test_mapping_truncates_towards_the_stored_mean(
    exported: tuple[Path, AliasFreeGenerator, str], psi: float
) -> None:
    folder, reference, _ = exported
    w = run(folder, "mapping", z=random_z(), psi=np.array(psi, np.float32))
    assert w.shape == (2, ROWS, W_DIM)
    for row in range(ROWS):
        np.testing.assert_allclose(w[:, row], reference.w(random_z(), psi), atol=W_TOLERANCE, rtol=0)


def test_graph_is_valid_and_holds_no_arithmetic_on_constants(
    exported: tuple[Path, AliasFreeGenerator, str],
) -> None:
    graph = onnx.load(exported[0] / "generator.onnx")
    onnx.checker.check_model(graph, full_check=True)
    constants = {constant.name for constant in graph.graph.initializer}
    for node in graph.graph.node:
        assert not set(node.input) <= constants, f"{node.name} could have been computed"


def test_report_says_what_was_stored_besides(exported: tuple[Path, AliasFreeGenerator, str]) -> None:
    model = read_model(exported[0])
    assert model.origin == "nvlabs-stylegan3"
    assert "NVIDIA" in model.licence
    assert any("transform" in note for note in model.notes)


@pytest.mark.parametrize("kind", ["T", "R"])
def test_full_size_has_the_published_geometry(kind: str) -> None:
    layers = grids(kind, resolution=1024, layers=14, base=32768, widest=512 if kind == "T" else 1024)
    names = layer_names(layers)
    wide = "512 323 203 128 81 51 32 32 3" if kind == "T" else "1024 645 406 256 161 102 64 64 3"
    assert [name.rsplit("_", 1)[1] for name in names[6:]] == wide.split()
    sizes = "36 36 52 52 84 148 148 276 276 532 1044 1044 1044 1024 1024"
    assert [str(grid.size) for grid in layers] == sizes.split()


@pytest.mark.parametrize(
    ("options", "attributes", "clamped"),
    [
        ({}, {}, 256.0),  # the layers' own word, where nothing was asked for
        ({"conv_clamp": None}, {}, 256.0),
        ({"conv_clamp": 256}, {"conv_clamp": None}, None),
        ({}, {"conv_clamp": 1.5}, 1.5),
    ],
)
def test_clamp_is_the_layers(
    tmp_path: Path, options: dict[str, Any], attributes: dict[str, Any], clamped: float | None
) -> None:
    layers = grids("T")
    state = stylegan3_state("T")
    name = f"synthesis.{layer_names(layers)[1]}"
    state[f"{name}.bias"] = state[f"{name}.bias"] + 600  # so that 256 is reached
    changes = {f"synthesis.{n}": attributes for n in layer_names(layers)}
    write_stylegan3(tmp_path / "g.pkl", "T", state, options=options, attributes=changes)
    generator = import_checkpoint(tmp_path / "g.pkl").networks["generator"]
    image = generator(torch.tensor(random_w(1))).detach().numpy()
    expected = AliasFreeGenerator(state, layers, clamp=clamped).image(random_w(1))
    np.testing.assert_allclose(image, expected, atol=1e-5 * np.abs(expected).max(), rtol=0)


@pytest.mark.parametrize("protocol", [2, 3, 5])
def test_every_pickle_protocol_loads(tmp_path: Path, protocol: int) -> None:
    write_stylegan3(tmp_path / "g.pkl", "R", stylegan3_state("R"), protocol=protocol)
    assert set(import_checkpoint(tmp_path / "g.pkl").networks) == {"generator", "mapping"}


def test_untouched_transform_is_not_spoken_of(tmp_path: Path) -> None:
    state = stylegan3_state("T")
    state["synthesis.input.transform"] = np.eye(3, dtype=np.float32)
    write_stylegan3(tmp_path / "g.pkl", "T", state)
    assert import_checkpoint(tmp_path / "g.pkl").notes == ()


SECOND = f"synthesis.{layer_names(grids('T'))[1]}"
LAST = f"synthesis.{layer_names(grids('T'))[-1]}"


@pytest.mark.parametrize(
    ("at", "changes", "said"),
    [
        (SECOND, {"padding": [9, 9, 9, 9]}, "padding"),
        (SECOND, {"padding": None}, "padding"),
        (SECOND, {"up_factor": 3}, "up_factor"),
        (SECOND, {"down_factor": 4}, "down_factor"),
        (SECOND, {"in_size": np.array([44, 44])}, "reads"),
        (SECOND, {"out_size": np.array([44, 36])}, "out_size"),
        (SECOND, {"out_size": np.array([], np.int64)}, "out_size"),
        (SECOND, {"out_sampling_rate": 1 << 40}, "out_sampling_rate"),
        (SECOND, {"out_sampling_rate": 24}, "leave out"),
        (SECOND, {"conv_clamp": 3}, "clamp"),
        (SECOND, {"is_torgb": True}, "last layer"),
        (LAST, {"is_torgb": False}, "last layer"),
        (LAST, {"out_size": np.array([16, 16])}, "pixels"),
        ("synthesis.input", {"size": np.array([9000, 9000])}, "wider than the picture"),
        ("synthesis.input", {"bandwidth": float("nan")}, "bandwidth"),
        ("synthesis.input", {"bandwidth": 100.0}, "bandwidth"),
        ("synthesis", {"layer_names": ["L0_36_8"]}, "layers run as"),
        ("synthesis", {"output_scale": 0}, "output scale"),
        ("synthesis", {"num_fp16_res": 1 << 70}, "num_fp16_res"),
        ("mapping.fc1", {"activation": "relu"}, "activation"),
    ],
)
def test_layer_that_says_something_else_is_refused(
    tmp_path: Path, at: str, changes: dict[str, Any], said: str
) -> None:
    write_stylegan3(tmp_path / "g.pkl", "T", stylegan3_state("T"), attributes={at: changes})
    with pytest.raises(BadCheckpoint, match=said) as raised:
        import_checkpoint(tmp_path / "g.pkl")
    assert "g.pkl" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        (f"{SECOND}.stranger", np.zeros(3, np.float32), "stranger"),
        ("synthesis.stranger", np.zeros(3, np.float32), "stranger"),
        (f"{SECOND}.up_filter", None, "up_filter"),
        (f"{SECOND}.up_filter", np.zeros(7, np.float32), "up_filter"),
        (f"{SECOND}.down_filter", np.zeros((12, 12), np.float32), "padding|down_filter"),
        (f"{SECOND}.weight", None, "layers"),
        (f"{SECOND}.magnitude_ema", np.array(np.inf, np.float32), "not finite"),
        (f"{LAST}.up_filter", np.zeros(12, np.float32), "image.up_filter"),
        ("synthesis.input.freqs", np.zeros((3, 2), np.float32), "freqs"),
        ("synthesis.input.transform", np.zeros((2, 2), np.float32), "transform"),
    ],
)
def test_tensor_that_does_not_belong_is_named(tmp_path: Path, name: str, value: Any, said: str) -> None:
    state = stylegan3_state("T")
    if value is None:
        del state[name]
    else:
        state[name] = value
    write_stylegan3(tmp_path / "g.pkl", "T", state)
    if name == f"{SECOND}.down_filter":  # a radial filter where others are not is a geometry of its own
        assert import_checkpoint(tmp_path / "g.pkl").networks["generator"].config.radial[1]
        return
    with pytest.raises(BadCheckpoint, match=said):
        export_checkpoint(tmp_path / "g.pkl", tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_magnitude_of_nothing_is_refused_before_anyone_gets_a_graph(tmp_path: Path) -> None:
    state = stylegan3_state("T")
    state[f"{SECOND}.magnitude_ema"] = np.zeros((), np.float32)
    write_stylegan3(tmp_path / "g.pkl", "T", state)
    with pytest.raises(BadCheckpoint, match="no finite image"):
        export_checkpoint(tmp_path / "g.pkl", tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_network_that_magnifies_rounding_is_kept_and_a_wrong_graph_of_it_is_not(tmp_path: Path) -> None:
    state = stylegan3_state("R")
    rng = np.random.default_rng(
        0
    )  # turns by less than a hundredth of itself for an input of the verification
    state["synthesis.input.affine.weight"] = rng.standard_normal((4, W_DIM)).astype(np.float32)
    state["synthesis.input.affine.bias"] = np.array([1, 0, 0, 0], np.float32)
    write_stylegan3(tmp_path / "g.pkl", "R", state)
    network = import_checkpoint(tmp_path / "g.pkl").networks["generator"].eval()
    save_graph(network, tmp_path / "g.onnx")
    found = verify_graph(network, tmp_path / "g.onnx")
    assert found.max_difference > TOLERANCE * found.max_value  # or it would not be such a network
    with torch.no_grad():
        network.layers[0].bias.add_(0.05)
    with pytest.raises(BadCheckpoint, match="differs from torch"):
        verify_graph(network, tmp_path / "g.onnx")


def test_unknown_option_is_named(tmp_path: Path) -> None:
    write_stylegan3(tmp_path / "g.pkl", "T", stylegan3_state("T"), options={"use_wavelets": True})
    with pytest.raises(BadCheckpoint, match="use_wavelets"):
        import_checkpoint(tmp_path / "g.pkl")
