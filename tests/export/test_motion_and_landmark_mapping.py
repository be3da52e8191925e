# SPDX-License-Identifier: MIT
"""The maps of motion and of landmark drawings come out as published, by halves too, and as no near miss."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")

import encoder_reference
import method_reference
from checkpoint_files import W_DIM, as_tensors
from method_files import LANDMARK_ROWS, joined, landmark_state, motion_files, save
from stylegan_reference import Generator

from engines import TensorSpec, open_engine
from engines.networks.motion_mapping import MotionMapping, MotionMappingConfig
from export import export_checkpoint
from export.checkpoints.identify import import_checkpoint
from face.errors import BadCheckpoint

TOLERANCE = 1e-5  # of w and of the shift, relative to the largest
IMAGE_TOLERANCE = 1e-4
TELLING = 100
ROWS = 8  # of w at 32 pixels
RNG = np.random.default_rng(3)
IDENTITY = RNG.standard_normal((2, ROWS, W_DIM)).astype(np.float32) * 3
DRIVER = RNG.standard_normal((2, ROWS, W_DIM)).astype(np.float32)
PICTURE = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(4)) * 2 - 1
DIFFERENCE = RNG.uniform(-1, 1, (1, 3, 580, 580)).astype(np.float32)


def run(folder: Path, role: str, **arrays: Any) -> np.ndarray:
    with open_engine(folder / role, backend="onnx") as engine:
        return engine.run(**arrays)[engine.outputs[0].name]


def close(found: np.ndarray, wanted: np.ndarray) -> None:
    np.testing.assert_allclose(found, wanted, atol=TOLERANCE * max(1, np.abs(wanted).max()), rtol=0)


def tells(found: np.ndarray, wrong: np.ndarray) -> bool:
    return bool(np.abs(found - wrong).max() > TELLING * TOLERANCE * max(1, np.abs(found).max()))


def checkpoint(**more: Any) -> dict[str, Any]:
    # Their training's options name another encoder than the one it builds.
    options = argparse.Namespace(encoder_type="GradualStyleEncoder", input_nc=3, output_size=32, lr=1e-4)
    return {"state_dict": joined(**motion_files(ROWS)), "opts": options, **more}


@pytest.fixture(scope="module", params=[False, True], ids=["zip", "older"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("motion")
    export_checkpoint(save(folder / "best_model.pt", checkpoint(), old=request.param), folder / "model")
    return folder / "model"


def test_motion_takes_identity_and_motion_to_w(model: Path) -> None:
    with open_engine(model / "motion.onnx", backend="onnx") as engine:
        assert engine.inputs == tuple(TensorSpec(name, ("n", ROWS, W_DIM)) for name in ("identity", "motion"))
        assert engine.outputs == (TensorSpec("w", ("n", ROWS, W_DIM)),)
    w = run(model, "motion", identity=IDENTITY, motion=DRIVER)
    close(w, method_reference.motion(motion_files(ROWS)["mapping_net"], IDENTITY, DRIVER))


@pytest.mark.parametrize("fault", ["identity and motion swapped", "bias dropped", "activated", "rows last"])
def test_motion_is_no_near_miss(model: Path, fault: str) -> None:
    w = run(model, "motion", identity=IDENTITY, motion=DRIVER)
    assert tells(w, method_reference.motion(motion_files(ROWS)["mapping_net"], IDENTITY, DRIVER, fault=fault))


def test_the_identity_half_is_computed_once_and_for_all(model: Path) -> None:
    base = run(model, "motion_identity", identity=IDENTITY)
    w = run(model, "motion_live", base=base, motion=DRIVER)
    close(w, run(model, "motion", identity=IDENTITY, motion=DRIVER))
    assert tells(base, w)
    half = (model / "motion_live.onnx").stat().st_size / (model / "motion.onnx").stat().st_size
    assert 0.45 < half < 0.55  # of the bytes a frame must read


def test_halves_share_the_weights_of_the_whole() -> None:
    whole = MotionMapping(MotionMappingConfig(2, 3))
    identity, motion = whole.split()
    assert identity.weight.data_ptr() == whole.linear.weight.data_ptr()
    assert motion.weight.untyped_storage().data_ptr() == whole.linear.weight.untyped_storage().data_ptr()


def test_the_driver_is_encoded_without_any_mean(tmp_path: Path) -> None:
    mean = torch.randn(ROWS, W_DIM, generator=torch.Generator().manual_seed(1))
    export_checkpoint(save(tmp_path / "m.pt", checkpoint(latent_avg=mean)), tmp_path / "model")
    w = run(tmp_path / "model", "encoder", image=PICTURE.numpy())
    expected = encoder_reference.run(as_tensors(motion_files(ROWS)["encoder"]), PICTURE, "flat").numpy()
    close(w, expected)
    assert tells(w, expected + mean.numpy())


def test_motion_file_yields_its_decoder(model: Path) -> None:
    w = run(model, "motion", identity=IDENTITY, motion=DRIVER)
    expected = Generator(motion_files(ROWS)["decoder"], "rosinality").image(w)
    found = run(model, "generator", w=w)
    np.testing.assert_allclose(
        found, expected, atol=IMAGE_TOLERANCE * max(1, np.abs(expected).max() / 10), rtol=0
    )


def changed(name: str, value: Any) -> dict[str, Any]:
    saved = checkpoint()
    if value is None:
        del saved["state_dict"][name]
    else:
        saved["state_dict"][name] = value
    return saved


MAP = "mapping_net.linear_relu.0"
SIZE = ROWS * W_DIM


@pytest.mark.parametrize(
    ("saved", "said"),
    [
        (lambda: changed(f"{MAP}.bias", None), "linear_relu.0.bias"),
        (lambda: changed(f"{MAP}.weight", torch.zeros(SIZE, SIZE)), f"map is {SIZE} x {SIZE}"),
        (lambda: changed(f"{MAP}.bias", torch.zeros(SIZE + 1)), "does not fit"),
        (lambda: changed(f"{MAP}.bias", torch.full((SIZE,), torch.inf)), "not finite"),
        (lambda: changed("mapping_net.linear_relu.1.weight", torch.zeros(2)), "linear_relu.1.weight"),
        (lambda: changed("encoder.body.0.gate", torch.zeros(2)), "body.0.gate"),
        (lambda: changed("encoder.linear.weight", torch.zeros(3 * W_DIM, W_DIM)), "rows of w"),
        (lambda: changed("encoder.input_layer.0.weight", torch.zeros(8, 6, 3, 3)), "takes 6 channels"),
        (lambda: changed("discriminator.weight", torch.zeros(2)), "discriminator"),
        (lambda: checkpoint(extra=1), "'extra'"),
    ],
)
def test_motion_file_that_does_not_fit_is_named(tmp_path: Path, saved: Any, said: str) -> None:
    with pytest.raises(BadCheckpoint, match=said) as raised:
        import_checkpoint(save(tmp_path / "m.pt", saved()))
    assert "\n" not in str(raised.value)


def test_motion_file_with_an_encoder_into_one_row_is_refused(tmp_path: Path) -> None:
    saved = checkpoint()
    saved["state_dict"] = {
        name: value for name, value in saved["state_dict"].items() if "output_layer_2" not in name
    }
    with pytest.raises(BadCheckpoint, match="head mean"):
        import_checkpoint(save(tmp_path / "m.pt", saved))


# ---- landmark drawings


@pytest.fixture(scope="module", params=[False, True], ids=["zip", "older"])
def landmarks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("landmarks")
    path = save(folder / "model_ex1_020epochs.pth", as_tensors(landmark_state()), old=request.param)
    report = export_checkpoint(path, folder / "model")
    assert report.origin == "one-shot-landmark"
    return folder / "model"


def test_landmarks_take_a_difference_to_a_shift(landmarks: Path) -> None:
    with open_engine(landmarks / "landmarks.onnx", backend="onnx") as engine:
        assert engine.inputs == (TensorSpec("difference", ("n", 3, 580, 580)),)
        assert engine.outputs == (TensorSpec("shift", ("n", LANDMARK_ROWS, 512)),)
    shift = run(landmarks, "landmarks", difference=DIFFERENCE)
    close(shift, method_reference.landmarks(landmark_state(), DIFFERENCE))


@pytest.mark.parametrize("fault", ["BGR", "portrait less driver", "slope", "mean pooling", "bias dropped"])
def test_landmarks_are_no_near_miss(landmarks: Path, fault: str) -> None:
    shift = run(landmarks, "landmarks", difference=DIFFERENCE)
    assert tells(shift, method_reference.landmarks(landmark_state(), DIFFERENCE, fault=fault))


def test_no_difference_still_shifts(landmarks: Path) -> None:
    rest = run(landmarks, "landmarks", difference=np.zeros_like(DIFFERENCE))
    close(rest, method_reference.landmarks(landmark_state(), np.zeros_like(DIFFERENCE)))
    assert np.abs(rest).max() > 0.1


PREFIX = "landmark_encoder.landmark_encoder"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ({f"{PREFIX}.35.bias": None}, "missing"),
        ({f"{PREFIX}.33.running_var": None}, "missing"),
        ({f"{PREFIX}.0.weight": torch.zeros(3, 3, 3, 3)}, "0.weight"),
        ({f"{PREFIX}.32.weight": torch.zeros(11, 90)}, "ends in 90 features"),
        ({f"{PREFIX}.35.weight": torch.zeros(700, 11)}, "rows of 512"),
        ({f"{PREFIX}.36.weight": torch.zeros(2)}, "36.weight"),
        ({"stranger": torch.zeros(2)}, "stranger"),
        ({f"{PREFIX}.{4 * i + 1}.running_mean": None for i in range(9)}, "batch norms|has no"),
    ],
)
def test_landmark_file_that_does_not_fit_is_named(tmp_path: Path, spoil: dict[str, Any], said: str) -> None:
    state: dict[str, Any] = dict(as_tensors(landmark_state()))
    for name, value in spoil.items():
        state.pop(name, None)
        if value is not None:
            state[name] = value
    with pytest.raises(BadCheckpoint, match=said) as raised:
        import_checkpoint(save(tmp_path / "l.pth", state))
    assert "\n" not in str(raised.value)
