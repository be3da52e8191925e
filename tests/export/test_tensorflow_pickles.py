# SPDX-License-Identifier: MIT
"""Pickles of the TensorFlow releases come out as their formulas say; other networks of theirs are refused."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")

from tensorflow_files import (
    W_DIM,
    Z_DIM,
    TensorFlowFaults,
    TensorFlowGenerator,
    tensorflow_variables,
    write_tensorflow,
)

from engines import open_engine
from export import export_checkpoint
from export.checkpoints.identify import import_checkpoint
from face.errors import BadCheckpoint

IMAGE_TOLERANCE = 1e-4  # absolute, on images of range about 10: float32 against float64
W_TOLERANCE = 1e-5
TELLING = 100  # a wrong variant is at least this many tolerances away
ROWS = 6  # of w at 16 pixels
CLAMP = 1.5  # low enough to bite


def random_w(n: int = 2) -> np.ndarray:
    return np.random.default_rng(9).standard_normal((n, ROWS, W_DIM)).astype(np.float32) * 1.5


def random_z(n: int = 2) -> np.ndarray:
    return np.random.default_rng(8).standard_normal((n, Z_DIM)).astype(np.float32)


def run(folder: Path, role: str, **arrays: Any) -> np.ndarray:
    with open_engine(folder / role, backend="onnx") as engine:
        return engine.run(**arrays)[engine.outputs[0].name]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TensorFlowGenerator]:
    folder = tmp_path_factory.mktemp("tensorflow")
    variables = tensorflow_variables()
    options = {"conv_clamp": CLAMP, "num_fp16_res": 4, "mapping_layers": 3}
    write_tensorflow(folder / "g.pkl", variables, options=options)
    export_checkpoint(folder / "g.pkl", folder / "model")
    return folder / "model", TensorFlowGenerator(variables, clamp=CLAMP)


def test_image_is_the_published_one(exported: tuple[Path, TensorFlowGenerator]) -> None:
    folder, reference = exported
    expected = reference.image(random_w())
    assert 2 < np.abs(expected).max() < 100  # a range that means something
    np.testing.assert_allclose(run(folder, "generator", w=random_w()), expected, atol=IMAGE_TOLERANCE, rtol=0)


@pytest.mark.parametrize("fault", [field.name for field in fields(TensorFlowFaults)])
def test_image_is_no_near_miss(exported: tuple[Path, TensorFlowGenerator], fault: str) -> None:
    folder, reference = exported
    wrong = reference.image(random_w(1), TensorFlowFaults(**{fault: True}))
    difference = np.abs(run(folder, "generator", w=random_w(1)) - wrong).max()
    assert difference > TELLING * IMAGE_TOLERANCE


def test_moving_average_is_taken_and_not_the_generator_beside_it(
    exported: tuple[Path, TensorFlowGenerator],
) -> None:
    folder, reference = exported
    halved = {name: value * 0.5 for name, value in reference.variables.items()}  # what the first network has
    other = TensorFlowGenerator(halved, clamp=CLAMP)
    difference = np.abs(run(folder, "generator", w=random_w(1)) - other.image(random_w(1))).max()
    assert difference > TELLING * IMAGE_TOLERANCE


@pytest.mark.parametrize("psi", [0.0, 0.7, 1.0])
def test_mapping_truncates_towards_the_stored_mean(
    exported: tuple[Path, TensorFlowGenerator], psi: float
) -> None:
    folder, reference = exported
    w = run(folder, "mapping", z=random_z(), psi=np.array(psi, np.float32))
    assert w.shape == (2, ROWS, W_DIM)
    for row in range(ROWS):
        np.testing.assert_allclose(w[:, row], reference.w(random_z(), psi), atol=W_TOLERANCE, rtol=0)


@pytest.mark.parametrize(
    ("version", "builder", "protocol"),
    [(4, "G_synthesis_stylegan2", 2), (4, "G_synthesis_stylegan2", 4), (5, "G_synthesis", 3)],
)
def test_both_releases_load_with_their_own_defaults(
    tmp_path: Path, version: int, builder: str, protocol: int
) -> None:
    variables = tensorflow_variables(8, seed=3)
    builders = ("G_main", "G_mapping", builder)
    write_tensorflow(tmp_path / "g.pkl", variables, version=version, builders=builders, protocol=protocol)
    imported = import_checkpoint(tmp_path / "g.pkl")
    assert imported.origin == "nvlabs-tensorflow"
    w = random_w()[:, :4]
    image = imported.networks["generator"].eval()(torch.tensor(w)).detach().numpy()
    expected = TensorFlowGenerator(variables).image(w)  # no clamp
    np.testing.assert_allclose(image, expected, atol=IMAGE_TOLERANCE, rtol=0)


def test_low_pass_of_the_file_is_the_one_that_runs(tmp_path: Path) -> None:
    variables = tensorflow_variables()
    taps = [1, 2, 4, 1]
    write_tensorflow(tmp_path / "g.pkl", variables, options={"resample_kernel": taps})
    image = import_checkpoint(tmp_path / "g.pkl").networks["generator"](torch.tensor(random_w()))
    expected = TensorFlowGenerator(variables, taps=np.array(taps, np.float64)).image(random_w())
    np.testing.assert_allclose(image.detach().numpy(), expected, atol=IMAGE_TOLERANCE, rtol=0)
    mirrored = TensorFlowGenerator(variables, taps=np.array(taps[::-1], np.float64)).image(random_w())
    assert np.abs(expected - mirrored).max() > TELLING * IMAGE_TOLERANCE


def test_labels_are_embedded_in_the_way_of_the_second_release(tmp_path: Path) -> None:
    variables = tensorflow_variables(8, labels=4)
    write_tensorflow(tmp_path / "g.pkl", variables, options={"label_size": 4})
    mapping = import_checkpoint(tmp_path / "g.pkl").networks["mapping"]
    label = np.eye(4, dtype=np.float32)[:2]
    w = mapping(torch.tensor(random_z()), torch.tensor(1.0), torch.tensor(label)).detach().numpy()
    v = {name: np.asarray(value, np.float64) for name, value in variables.items()}
    y = label @ v["mapping/LabelEmbed/weight"] / 2 + v["mapping/LabelEmbed/bias"]  # 2 = sqrt(4 labels)
    x = random_z().astype(np.float64)
    x = np.concatenate([a / np.sqrt((a**2).mean(axis=1, keepdims=True) + 1e-8) for a in (x, y)], axis=1)
    for index in range(3):
        weight = v[f"mapping/Dense{index}/weight"]
        x = x @ weight * 0.01 / np.sqrt(len(weight)) + v[f"mapping/Dense{index}/bias"] * 0.01
        x = np.where(x < 0, 0.2 * x, x) * np.sqrt(2)
    np.testing.assert_allclose(w[:, 0], x, atol=W_TOLERANCE, rtol=0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"architecture": "resnet"}, "architecture"),
        ({"nonlinearity": "relu"}, "nonlinearity"),
        ({"mapping_nonlinearity": "relu"}, "mapping_nonlinearity"),
        ({"normalize_latents": False}, "normalize_latents"),
        ({"resample_kernel": None}, "resample_kernel"),
        ({"resample_kernel": [1, 2, 1]}, "resample_kernel"),
        ({"resample_kernel": [1, 0, -1, 0]}, "resample_kernel"),
        ({"conv_clamp": -1}, "clamp"),
        ({"num_fp16_res": 1 << 70}, "num_fp16_res"),
        ({"use_spectral_norm": True}, "use_spectral_norm"),
    ],
)
def test_variant_that_is_not_known_is_refused(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    write_tensorflow(tmp_path / "g.pkl", tensorflow_variables(8), options=options)
    with pytest.raises(BadCheckpoint, match=said) as raised:
        import_checkpoint(tmp_path / "g.pkl")
    assert "g.pkl" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("synthesis/8x8/Conv1/stranger", np.zeros(3, np.float32), "synthesis/8x8/Conv1/stranger"),
        ("stranger", np.float32(1), "stranger"),
        ("synthesis/8x8/Conv0_up/bias", None, "Conv0_up/bias"),
        ("synthesis/noise1", None, "noise1"),
        ("synthesis/noise1", np.zeros((1, 3, 8, 8), np.float32), "noise1"),
        ("synthesis/8x8/Conv1/noise_strength", None, "noise"),
        ("synthesis/8x8/Conv1/weight", np.zeros((3, 3, 5, 16), np.float32), "conv1.weight"),
        ("synthesis/4x4/Const/const", np.zeros((2, 16, 4, 4), np.float32), "const"),
        ("dlatent_avg", None, "dlatent_avg"),
        ("synthesis/8x8/Conv1/bias", np.full(16, np.nan, np.float32), "not finite"),
        ("mapping/LabelConcat/weight", np.zeros((2, 20), np.float32), "labels"),
        ("synthesis/32x32/Conv1/weight", np.zeros((3, 3, 8, 8), np.float32), "blocks"),
    ],
)
def test_variable_that_does_not_belong_is_named(tmp_path: Path, name: str, value: Any, said: str) -> None:
    variables = tensorflow_variables(8)
    if value is None:
        del variables[name]
    else:
        variables[name] = value
    write_tensorflow(tmp_path / "g.pkl", variables)
    with pytest.raises(BadCheckpoint, match=said) as raised:
        export_checkpoint(tmp_path / "g.pkl", tmp_path / "model")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": 3}, "version 3"),  # the first StyleGAN
        ({"builders": ("G_style", "G_mapping", "G_synthesis")}, "G_style"),
        (
            {"builders": ("G_main", "G_mapping", "G_synthesis_stylegan_revised")},
            "G_synthesis_stylegan_revised",
        ),
        ({"fields": {"components": {}}}, "mapping and a synthesis"),
        ({"fields": {"static_kwargs": None}}, "not stored as one"),
        ({"fields": {"variables": [((), np.float32(1))]}}, "without a name"),
    ],
)
def test_other_networks_of_that_time_are_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    write_tensorflow(tmp_path / "g.pkl", tensorflow_variables(8), **changes)
    with pytest.raises(BadCheckpoint, match=said) as raised:
        import_checkpoint(tmp_path / "g.pkl")
    assert "\n" not in str(raised.value)
