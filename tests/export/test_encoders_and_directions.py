# SPDX-License-Identifier: MIT
"""Encoders under every head, and matrices of directions, come out as the published networks say."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")

import encoder_reference
from checkpoint_files import W_DIM, as_tensors, encoder_state, rosinality_state
from stylegan_reference import Generator

from engines import open_engine
from export import export_checkpoint
from face.errors import BadCheckpoint

W_TOLERANCE = 1e-5  # relative to values up to about 10
IMAGE_TOLERANCE = 1e-4
TELLING = 100
ROWS = 8  # of w at 32 pixels
PICTURE = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(4)) * 2 - 1
MEAN = np.random.default_rng(6).standard_normal((ROWS, W_DIM)).astype(np.float32)


def write(path: Path, state: dict[str, Any], options: dict[str, Any], mean: np.ndarray | None) -> None:
    """An e4e or pSp checkpoint with a 32-pixel decoder."""
    parts = {f"encoder.{name}": value for name, value in as_tensors(state).items()}
    parts.update({f"decoder.{name}": value for name, value in as_tensors(rosinality_state()).items()})
    saved: dict[str, Any] = {"state_dict": parts, "opts": {"lr": 1e-4, "device": "cuda:0", **options}}
    if mean is not None:
        saved["latent_avg"] = torch.from_numpy(mean)
    torch.save(saved, path)


def run(folder: Path, role: str, **arrays: Any) -> np.ndarray:
    with open_engine(folder / role, backend="onnx") as engine:
        return engine.run(**arrays)[engine.outputs[0].name]


@pytest.fixture(scope="module")
def e4e(tmp_path_factory: pytest.TempPathFactory) -> tuple[np.ndarray, dict[str, Any], Path]:
    """w of the picture, the encoder's tensors and the model folder."""
    folder = tmp_path_factory.mktemp("e4e")
    state = encoder_state("pyramid", ROWS)
    write(folder / "e4e.pt", state, {"encoder_type": "Encoder4Editing", "stylegan_size": 32}, MEAN)
    export_checkpoint(folder / "e4e.pt", folder / "model")
    return run(folder / "model", "encoder", image=PICTURE.numpy()), state, folder / "model"


def test_e4e_gives_the_published_w_around_latent_avg(e4e: tuple[np.ndarray, dict[str, Any], Path]) -> None:
    w, state, _ = e4e
    offsets = encoder_reference.run(state, PICTURE, "pyramid", progressive=True).numpy()
    assert np.abs(offsets).max() > 1  # the network says something
    np.testing.assert_allclose(w, offsets + MEAN, atol=W_TOLERANCE * np.abs(w).max(), rtol=0)


@pytest.mark.parametrize("fault", ["corners", "slope", "no gain", "not progressive", "batch statistics"])
def test_e4e_is_no_near_miss(e4e: tuple[np.ndarray, dict[str, Any], Path], fault: str) -> None:
    w, state, _ = e4e
    wrong = encoder_reference.run(state, PICTURE, "pyramid", progressive=True, fault=fault).numpy() + MEAN
    assert np.abs(w - wrong).max() > TELLING * W_TOLERANCE * np.abs(w).max()


def test_e4e_without_latent_avg_would_show(e4e: tuple[np.ndarray, dict[str, Any], Path]) -> None:
    w, state, _ = e4e
    without = encoder_reference.run(state, PICTURE, "pyramid", progressive=True).numpy()
    assert np.abs(w - without).max() > TELLING * W_TOLERANCE * np.abs(w).max()


def test_e4e_file_yields_its_decoder(e4e: tuple[np.ndarray, dict[str, Any], Path]) -> None:
    w, _, folder = e4e
    expected = Generator(rosinality_state(), "rosinality").image(w)
    np.testing.assert_allclose(run(folder, "generator", w=w), expected, atol=IMAGE_TOLERANCE, rtol=0)


def test_encoder_takes_any_batch(e4e: tuple[np.ndarray, dict[str, Any], Path]) -> None:
    w, _, folder = e4e
    pictures = np.concatenate([PICTURE.numpy(), -PICTURE.numpy()])
    both = run(folder, "encoder", image=pictures)
    np.testing.assert_allclose(both[:1], w, atol=W_TOLERANCE * np.abs(w).max(), rtol=0)
    assert np.abs(both[1] - both[0]).max() > 0.1


@pytest.mark.parametrize(
    ("head", "kind", "mean"),
    [
        ("pyramid", "GradualStyleEncoder", MEAN),
        ("flat", "BackboneEncoderUsingLastLayerIntoWPlus", None),
        ("mean", "BackboneEncoderUsingLastLayerIntoW", MEAN[:1]),
    ],
)
def test_psp_heads_give_the_published_w(
    tmp_path: Path, head: str, kind: str, mean: np.ndarray | None
) -> None:
    state = encoder_state(head, ROWS, seed=2)
    write(tmp_path / "psp.pt", state, {"encoder_type": kind, "output_size": 32}, mean)
    export_checkpoint(tmp_path / "psp.pt", tmp_path / "model")
    w = run(tmp_path / "model", "encoder", image=PICTURE.numpy())
    expected = encoder_reference.run(state, PICTURE, head).numpy()
    expected = (expected if expected.ndim == 3 else expected[:, None]) + (0 if mean is None else mean)
    assert w.shape == (1, ROWS, W_DIM)
    np.testing.assert_allclose(
        w, np.broadcast_to(expected, w.shape), atol=W_TOLERANCE * np.abs(w).max(), rtol=0
    )


def test_options_decide_whether_latent_avg_is_added(tmp_path: Path) -> None:
    state = encoder_state("flat", ROWS)
    kind = {"encoder_type": "BackboneEncoderUsingLastLayerIntoWPlus", "start_from_latent_avg": False}
    write(tmp_path / "psp.pt", state, kind, MEAN)
    report = export_checkpoint(tmp_path / "psp.pt", tmp_path / "model")
    assert any("not added" in note for note in report.notes)
    w = run(tmp_path / "model", "encoder", image=PICTURE.numpy())
    expected = encoder_reference.run(state, PICTURE, "flat").numpy()
    np.testing.assert_allclose(w, expected, atol=W_TOLERANCE * np.abs(w).max(), rtol=0)


def test_bare_encoder_of_key_e_adds_no_mean(tmp_path: Path) -> None:
    state = encoder_state("pyramid", 4, seed=3)
    torch.save({"e": as_tensors(state), "latent_avg": torch.ones(W_DIM)}, tmp_path / "e4e-voxceleb.pt")
    report = export_checkpoint(tmp_path / "e4e-voxceleb.pt", tmp_path / "model")
    assert list(report.graphs) == ["encoder"]
    w = run(tmp_path / "model", "encoder", image=PICTURE.numpy())
    expected = encoder_reference.run(state, PICTURE, "pyramid", progressive=True).numpy()
    np.testing.assert_allclose(w, expected, atol=W_TOLERANCE * np.abs(w).max(), rtol=0)


@pytest.mark.parametrize(
    ("head", "options", "said"),
    [
        ("flat", {"encoder_type": "Encoder4Editing"}, "encoder_type"),
        ("pyramid", {"encoder_type": "ResNetEncoder"}, "encoder_type"),
    ],
)
def test_encoder_whose_options_and_tensors_disagree_is_refused(
    tmp_path: Path, head: str, options: dict[str, Any], said: str
) -> None:
    write(tmp_path / "psp.pt", encoder_state(head, ROWS), options, None)
    with pytest.raises(BadCheckpoint, match=said):
        export_checkpoint(tmp_path / "psp.pt", tmp_path / "model")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ({"body.1.res_layer.0.weight": None}, "body.1.res_layer.0.weight"),
        ({"stranger": torch.zeros(2)}, "stranger"),
        ({"linear.weight": torch.zeros(3 * W_DIM, W_DIM)}, "rows of w"),
    ],
)
def test_encoder_tensor_that_does_not_belong_is_named(
    tmp_path: Path, spoil: dict[str, Any], said: str
) -> None:
    state = encoder_state("flat", ROWS)
    for name, value in spoil.items():
        state.pop(name, None)
        if value is not None:
            state[name] = value.numpy()
    write(tmp_path / "psp.pt", state, {"encoder_type": "BackboneEncoderUsingLastLayerIntoWPlus"}, None)
    with pytest.raises(BadCheckpoint, match=said) as raised:
        export_checkpoint(tmp_path / "psp.pt", tmp_path / "model")
    assert "\n" not in str(raised.value)


def matrix(**more: Any) -> dict[str, Any]:
    draw = torch.Generator().manual_seed(5)
    weight, bias = torch.randn(8 * 512, 15, generator=draw), torch.randn(8 * 512, generator=draw)
    state = {"linear.weight": weight, "linear.bias": bias}
    return {
        "step": 100,
        "A_matrix": state,
        "learned_directions": 15,
        "shift_scale": 6.0,
        "w_plus": True,
        "num_layers_shift": 8,
        **more,
    }


@pytest.mark.parametrize("more", [{}, {"shift_dim": 512}], ids=["shift_dim left out", "shift_dim given"])
def test_directions_are_the_linear_map_with_its_bias(tmp_path: Path, more: dict[str, Any]) -> None:
    saved = matrix(**more)
    torch.save(saved, tmp_path / "A_matrix.pt")
    export_checkpoint(tmp_path / "A_matrix.pt", tmp_path / "model")
    delta = np.random.default_rng(1).standard_normal((3, 15)).astype(np.float32)
    weight, bias = (saved["A_matrix"][f"linear.{part}"].double().numpy() for part in ("weight", "bias"))
    shift = run(tmp_path / "model", "directions", delta=delta)
    assert shift.shape == (3, 8, 512)
    np.testing.assert_allclose(shift, (delta @ weight.T + bias).reshape(3, 8, 512), atol=1e-5, rtol=0)
    rest = run(tmp_path / "model", "directions", delta=np.zeros((1, 15), np.float32))
    np.testing.assert_allclose(rest, bias.reshape(1, 8, 512), atol=1e-6)  # no change of face still shifts


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"w_plus": False}, "w_plus"),
        ({"shift_dim": 500}, "shift_dim"),
        ({"num_layers_shift": 14}, "num_layers_shift"),
        ({"learned_directions": 12}, "learned_directions"),
        (
            {"A_matrix": {"linear.weight": torch.zeros(512, 3), "gate": torch.zeros(1)}},
            "directions|gate|layers",
        ),
    ],
)
def test_directions_that_contradict_themselves_are_refused(
    tmp_path: Path, more: dict[str, Any], said: str
) -> None:
    torch.save(matrix(**more), tmp_path / "A_matrix.pt")
    with pytest.raises(BadCheckpoint, match=said):
        export_checkpoint(tmp_path / "A_matrix.pt", tmp_path / "model")
