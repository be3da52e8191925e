# SPDX-License-Identifier: MIT
"""Generators of every layout come out as the published formulas say, and as no near miss of them."""

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")

from checkpoint_files import (
    W_DIM,
    Z_DIM,
    as_tensors,
    nvlabs_state,
    rosinality_state,
    write_nvlabs,
)
from stylegan_reference import Faults, Generator

from engines import open_engine
from export import export_checkpoint
from face.errors import BadCheckpoint

IMAGE_TOLERANCE = 1e-4  # absolute, on images of range about 10: float32 against float64
W_TOLERANCE = 1e-5
TELLING = 100  # a wrong variant is at least this many tolerances away
ROWS = 8  # of w at 32 pixels
CLAMP = 1.0  # low enough to bite


def random_w(n: int = 2) -> np.ndarray:
    """Rows that differ from each other, so that reading the wrong one shows."""
    return np.random.default_rng(9).standard_normal((n, ROWS, W_DIM)).astype(np.float32) * 1.5


def random_z(n: int = 2, width: int = Z_DIM) -> np.ndarray:
    return np.random.default_rng(8).standard_normal((n, width)).astype(np.float32)


def run(folder: Path, role: str, **arrays: Any) -> np.ndarray:
    with open_engine(folder / role, backend="onnx") as engine:
        return engine.run(**arrays)[engine.outputs[0].name]


def write(path: Path, layout: str) -> Generator:
    """A checkpoint of the layout at `path`, and its slow twin."""
    if layout == "rosinality":
        state = rosinality_state()
        torch.save({"g_ema": as_tensors(state), "latent_avg": torch.arange(W_DIM) / 10}, path)
        return Generator(state, layout)
    state = nvlabs_state()
    write_nvlabs(path, state, options={"conv_clamp": CLAMP}, attributes={"conv_clamp": CLAMP})
    return Generator(state, layout, clamp=CLAMP)


@pytest.fixture(scope="module", params=["nvlabs", "rosinality"])
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Generator]:
    folder = tmp_path_factory.mktemp(request.param)
    reference = write(folder / "checkpoint", request.param)
    export_checkpoint(folder / "checkpoint", folder / "model")
    return folder / "model", reference


def test_image_is_the_published_one(exported: tuple[Path, Generator]) -> None:
    folder, reference = exported
    expected = reference.image(random_w())
    assert 3 < np.abs(expected).max() < 100  # a range that means something
    np.testing.assert_allclose(run(folder, "generator", w=random_w()), expected, atol=IMAGE_TOLERANCE, rtol=0)


@pytest.mark.parametrize("fault", [field.name for field in fields(Faults)])
def test_image_is_no_near_miss(exported: tuple[Path, Generator], fault: str) -> None:
    folder, reference = exported
    if fault == "no_clamp" and reference.clamp is None:
        pytest.skip("this layout has no clamp")
    wrong = reference.image(random_w(1), Faults(**{fault: -1 if fault == "image_row" else True}))
    difference = np.abs(run(folder, "generator", w=random_w(1)) - wrong).max()
    assert difference > TELLING * IMAGE_TOLERANCE


def test_any_batch_gives_what_its_samples_give_alone(exported: tuple[Path, Generator]) -> None:
    folder, _ = exported
    together = run(folder, "generator", w=random_w(5))
    alone = np.concatenate([run(folder, "generator", w=w[None]) for w in random_w(5)])
    np.testing.assert_allclose(together, alone, atol=IMAGE_TOLERANCE, rtol=0)


def test_noise_is_stored_and_never_drawn(exported: tuple[Path, Generator]) -> None:
    folder, _ = exported
    np.testing.assert_array_equal(
        run(folder, "generator", w=random_w()), run(folder, "generator", w=random_w())
    )


@pytest.mark.parametrize("psi", [0.0, 0.7, 1.0])
def test_nvlabs_mapping_truncates_towards_the_stored_mean(tmp_path: Path, psi: float) -> None:
    state = nvlabs_state()
    write_nvlabs(tmp_path / "g.pkl", state)
    export_checkpoint(tmp_path / "g.pkl", tmp_path / "model")
    w = run(tmp_path / "model", "mapping", z=random_z(), psi=np.array(psi, np.float32))
    expected = Generator(state, "nvlabs").w(random_z(), psi, state["mapping.w_avg"])
    assert w.shape == (2, ROWS, W_DIM)
    for row in range(ROWS):
        np.testing.assert_allclose(w[:, row], expected, atol=W_TOLERANCE, rtol=0)
    if psi < 1:
        untruncated = Generator(state, "nvlabs").w(random_z(), 1.0, state["mapping.w_avg"])
        assert np.abs(w[:, 0] - untruncated).max() > TELLING * W_TOLERANCE


def test_rosinality_mapping_uses_latent_avg(exported: tuple[Path, Generator]) -> None:
    folder, reference = exported
    if reference.layout != "rosinality":
        pytest.skip("the other layout has its own test")
    z = random_z(width=W_DIM)
    w = run(folder, "mapping", z=z, psi=np.array(0.6, np.float32))
    np.testing.assert_allclose(w[:, 3], reference.w(z, 0.6, np.arange(W_DIM) / 10), atol=W_TOLERANCE, rtol=0)


@pytest.mark.parametrize(
    ("layout", "options", "attributes", "clamped"),
    [
        ("ada", {}, {}, None),  # the default of stylegan2-ada-pytorch is no clamp,
        ("sg3", {}, {}, 256.0),  # that of stylegan3 is 256
        ("ada", {"conv_clamp": 256}, {}, 256.0),
        ("sg3", {"conv_clamp": None}, {}, None),
        ("ada", {"conv_clamp": 256}, {"conv_clamp": 3.0}, 3.0),  # layers say what they really ran with
    ],
)
def test_clamp_comes_from_the_file_or_its_repository(
    tmp_path: Path, layout: str, options: dict[str, Any], attributes: dict[str, Any], clamped: float | None
) -> None:
    state = nvlabs_state()
    state["synthesis.b32.conv1.bias"] = state["synthesis.b32.conv1.bias"] + 400  # so that 256 is reached
    path = tmp_path / "g.pkl"
    write_nvlabs(path, state, layout=layout, options=options, attributes=attributes)
    export_checkpoint(path, tmp_path / "model")
    image = run(tmp_path / "model", "generator", w=random_w(1))
    expected = Generator(state, "nvlabs", clamp=clamped).image(random_w(1))
    scale = np.abs(expected).max()
    np.testing.assert_allclose(image, expected, atol=1e-5 * scale, rtol=0)
    other = Generator(state, "nvlabs", clamp=None if clamped else 256.0).image(random_w(1))
    assert np.abs(image - other).max() > 0.01 * scale


def test_half_precision_of_training_does_not_reach_the_graph(tmp_path: Path) -> None:
    state = nvlabs_state()
    options = {"num_fp16_res": 4, "conv_clamp": 256}
    write_nvlabs(tmp_path / "g.pkl", state, options=options, attributes={"use_fp16": True, "conv_clamp": 256})
    export_checkpoint(tmp_path / "g.pkl", tmp_path / "model")
    expected = Generator(state, "nvlabs", clamp=256.0).image(random_w(1))
    image = run(tmp_path / "model", "generator", w=random_w(1))
    np.testing.assert_allclose(image, expected, atol=IMAGE_TOLERANCE, rtol=0)


def test_conditional_generator_takes_a_label(tmp_path: Path) -> None:
    write_nvlabs(tmp_path / "g.pkl", nvlabs_state(labels=4))
    export_checkpoint(tmp_path / "g.pkl", tmp_path / "model")
    label = np.eye(4, dtype=np.float32)
    one = np.array(1, np.float32)
    ws = [run(tmp_path / "model", "mapping", z=random_z(), psi=one, label=label[k : k + 2]) for k in (0, 2)]
    assert np.abs(ws[0] - ws[1]).max() > 0.1


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])
def test_training_file_with_a_namespace_loads(tmp_path: Path, zipped: bool) -> None:
    state = rosinality_state()
    training = {
        "g": as_tensors(rosinality_state(seed=1)),
        "d": {},
        "g_ema": as_tensors(state),
        "g_optim": {
            "state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(3)}},
            "param_groups": [{"lr": 0.1}],
        },
        "args": argparse.Namespace(size=32, path="data", betas=(0.0, 0.99)),
        "ada_aug_p": 0.0,
    }
    torch.save(training, tmp_path / "train.pt", _use_new_zipfile_serialization=zipped)
    report = export_checkpoint(tmp_path / "train.pt", tmp_path / "model")
    assert any("no mean latent" in note for note in report.notes)
    image = run(tmp_path / "model", "generator", w=random_w(1))
    expected = Generator(state, "rosinality").image(random_w(1))  # the moving average, not `g`
    np.testing.assert_allclose(image, expected, atol=IMAGE_TOLERANCE, rtol=0)


def test_generator_without_noise_images_runs_without_noise_and_says_so(tmp_path: Path) -> None:
    state = rosinality_state()
    kept = {name: value for name, value in state.items() if not name.startswith("noises.")}
    torch.save({"g_ema": as_tensors(kept), "latent_avg": torch.zeros(W_DIM)}, tmp_path / "g.pt")
    report = export_checkpoint(tmp_path / "g.pt", tmp_path / "model")
    assert any("without noise" in note for note in report.notes)
    expected = Generator(state, "rosinality").image(random_w(1), Faults(noise_off=True))
    image = run(tmp_path / "model", "generator", w=random_w(1))
    np.testing.assert_allclose(image, expected, atol=IMAGE_TOLERANCE, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_other_precision_are_widened(tmp_path: Path, dtype: Any) -> None:
    state = {name: tensor.to(dtype) for name, tensor in as_tensors(rosinality_state()).items()}
    torch.save({"g_ema": state, "latent_avg": torch.zeros(W_DIM)}, tmp_path / "g.pt")
    export_checkpoint(tmp_path / "g.pt", tmp_path / "model")
    rounded = {name: tensor.float().numpy() for name, tensor in state.items()}
    image = run(tmp_path / "model", "generator", w=random_w(1))
    expected = Generator(rounded, "rosinality").image(random_w(1))
    np.testing.assert_allclose(image, expected, atol=IMAGE_TOLERANCE, rtol=0)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_pickle_protocol_loads(tmp_path: Path, protocol: int) -> None:
    write_nvlabs(tmp_path / "g.pkl", nvlabs_state(8), protocol=protocol)
    report = export_checkpoint(tmp_path / "g.pkl", tmp_path / "model")
    assert set(report.graphs) == {"generator", "mapping"}


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ({"synthesis.b8.stranger": np.zeros(3, np.float32)}, "stranger"),
        ({"extra_head.weight": np.zeros(3, np.float32)}, "extra_head.weight"),
        ({"synthesis.b8.conv0.bias": np.zeros(3, np.float32)}, "conv0.bias"),
        ({"synthesis.b8.conv0.noise_strength": np.array(np.nan, np.float32)}, "not finite"),
        ({"synthesis.b8.conv1.affine.weight": np.zeros((16, 7), np.float32)}, "affine.weight"),
    ],
)
def test_nvlabs_tensor_that_does_not_belong_is_named(
    tmp_path: Path, spoil: dict[str, Any], said: str
) -> None:
    write_nvlabs(tmp_path / "g.pkl", nvlabs_state(8), extra=spoil)
    with pytest.raises(BadCheckpoint, match=said) as raised:
        export_checkpoint(tmp_path / "g.pkl", tmp_path / "model")
    assert "g.pkl" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"architecture": "resnet"}, "architecture"),
        ({"activation": "relu"}, "activation"),
        ({"conv_clamp": "wide"}, "clamp"),
    ],
)
def test_nvlabs_variant_that_is_not_known_is_refused(
    tmp_path: Path, attributes: dict[str, Any], said: str
) -> None:
    write_nvlabs(tmp_path / "g.pkl", nvlabs_state(8), attributes=attributes)
    with pytest.raises(BadCheckpoint, match=said):
        export_checkpoint(tmp_path / "g.pkl", tmp_path / "model")


def test_unknown_option_is_named(tmp_path: Path) -> None:
    write_nvlabs(tmp_path / "g.pkl", nvlabs_state(8), options={"swin_window": 8})
    with pytest.raises(BadCheckpoint, match="swin_window"):
        export_checkpoint(tmp_path / "g.pkl", tmp_path / "model")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("convs.9.conv.weight", torch.zeros(1, 2, 2, 3, 3), "convolutions"),
        ("stranger", torch.zeros(2), "stranger"),
        ("noises.noise_3", None, "noise images"),
        ("convs.0.conv.blur.kernel", torch.zeros(4, 4), "filters"),
        ("conv1.activate.bias", None, "conv1.activate.bias"),
    ],
)
def test_rosinality_tensor_that_does_not_belong_is_named(
    tmp_path: Path, name: str, value: Any, said: str
) -> None:
    state = as_tensors(rosinality_state(16))
    if value is None:
        del state[name]
    else:
        state[name] = value
    torch.save({"g_ema": state}, tmp_path / "g.pt")
    with pytest.raises(BadCheckpoint, match=said):
        export_checkpoint(tmp_path / "g.pt", tmp_path / "model")
