# SPDX-License-Identifier: MIT
"""DECA's regressor, which a user brings, comes out as published, and its licence is said."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")

import method_reference
from checkpoint_files import as_tensors
from method_files import DECA_OUTPUTS, deca_state, save

from engines import TensorSpec, open_engine
from engines.networks.deca import PARTS
from export import export_checkpoint
from export.checkpoints.identify import import_checkpoint
from face.errors import BadCheckpoint

TOLERANCE = 1e-5  # of the parameters, relative to the largest
TELLING = 100
IMAGE = np.random.default_rng(5).uniform(0, 1, (2, 3, 224, 224)).astype(np.float32)


def checkpoint(**more: Any) -> dict[str, Any]:
    """deca_model.tar: the regressor beside what is not read."""
    detail = {"encoder.conv1.weight": torch.zeros(2)}
    training = {"opt": {"state": {}, "param_groups": []}, "global_step": 7, "batch_size": 8}
    return {"E_flame": as_tensors(deca_state()), "E_detail": detail, "D_detail": detail, **training, **more}


@pytest.fixture(scope="module", params=[False, True], ids=["zip", "older"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deca")
    report = export_checkpoint(
        save(folder / "deca_model.tar", checkpoint(), old=request.param), folder / "model"
    )
    assert sum("forbids passing these weights on" in note for note in report.notes) == 1
    assert "never to be passed on" in report.licence
    assert all("\n" not in line for line in (report.licence, *report.notes))
    return folder / "model"


def tracked(folder: Path, backend: str = "onnx") -> dict[str, np.ndarray]:
    with open_engine(folder / "tracker", backend=backend) as engine:
        return engine.run(image=IMAGE)


def whole(parts: dict[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([parts[name] for name in PARTS], axis=1)


def test_the_tracker_gives_flames_parameters_by_name(model: Path) -> None:
    with open_engine(model / "tracker.onnx", backend="onnx") as engine:
        assert engine.inputs == (TensorSpec("image", ("n", 3, 224, 224)),)
        assert engine.outputs == tuple(TensorSpec(name, ("n", size)) for name, size in PARTS.items())
    assert list(PARTS.values()) == [100, 50, 50, 6, 3, 27]
    parts, wanted = tracked(model), method_reference.deca(deca_state(), IMAGE)
    assert wanted.shape == (2, DECA_OUTPUTS)
    np.testing.assert_allclose(whole(parts), wanted, atol=TOLERANCE * np.abs(wanted).max(), rtol=0)
    np.testing.assert_array_equal(parts["pose"], whole(parts)[:, 200:206])


@pytest.mark.parametrize(
    "fault",
    ["BGR", "range of -1 to 1", "mean pooling", "stride on the first", "not activated", "bias dropped"],
)
def test_the_tracker_is_no_near_miss(model: Path, fault: str) -> None:
    found, wrong = whole(tracked(model)), method_reference.deca(deca_state(), IMAGE, fault=fault)
    assert np.abs(found - wrong).max() > TELLING * TOLERANCE * np.abs(found).max()


def test_the_torch_engine_gives_the_same_parts(tmp_path: Path) -> None:
    export_checkpoint(save(tmp_path / "d.tar", checkpoint()), tmp_path / "model", safetensors=True)
    found, wanted = tracked(tmp_path / "model", "torch"), tracked(tmp_path / "model")
    for name in PARTS:
        np.testing.assert_allclose(found[name], wanted[name], atol=TOLERANCE * 10, rtol=0)


def test_what_is_not_read_of_the_file_is_said(tmp_path: Path) -> None:
    saved = checkpoint(E_mystery={"weight": torch.zeros(3)})
    notes = import_checkpoint(save(tmp_path / "d.tar", saved)).notes
    assert any("E_mystery" in note for note in notes)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            {"layers.2.weight": torch.zeros(128, 12), "layers.2.bias": torch.zeros(128)},
            "gives 128 parameters",
        ),
        ({"layers.2.bias": None}, "layers.2.bias"),
        ({"encoder.layer3.0.bn2.running_var": None}, "running_var"),
        ({"encoder.layer3.0.conv1.weight": None}, "layer3"),
        ({"encoder.fc.weight": torch.zeros(2, 2)}, "encoder.fc.weight"),
        ({"encoder.conv1.weight": torch.zeros(4, 1, 7, 7)}, "encoder.conv1.weight"),
        ({"layers.0.bias": torch.full((12,), torch.nan)}, "not finite"),
    ],
)
def test_regressor_that_does_not_fit_is_named(tmp_path: Path, spoil: dict[str, Any], said: str) -> None:
    saved = checkpoint()
    for name, value in spoil.items():
        saved["E_flame"].pop(name, None)
        if value is not None:
            saved["E_flame"][name] = value
    with pytest.raises(BadCheckpoint, match=said) as raised:
        import_checkpoint(save(tmp_path / "d.tar", saved))
    assert "\n" not in str(raised.value)
