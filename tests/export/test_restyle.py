# SPDX-License-Identifier: MIT
"""ReStyle's encoders come out as one graph that runs the published loop, and as no near miss of it."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")

import method_reference
from checkpoint_files import W_DIM, as_tensors, rosinality_state
from method_files import joined, restyle_encoder_state, save

from engines import open_engine
from export import export_checkpoint
from export.checkpoints.identify import import_checkpoint
from export.checkpoints.imported import Imported
from export.checkpoints.restyle import TYPES
from export.onnx_export import save_graph
from face.errors import BadCheckpoint

W_TOLERANCE = 1e-5  # relative to the largest w: float32 against float64, over all steps of the loop
TELLING = 100
ROWS = 8
STEPS = 2
PICTURE = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(4)) * 2 - 1
MEAN = np.random.default_rng(6).standard_normal((ROWS, W_DIM)).astype(np.float32)
CALM = 0.05  # of the last layers' weights, so that the loop comes to rest as a trained one does


def encoder(kind: str, *, seed: int = 0) -> dict[str, np.ndarray]:
    head, backbone, _ = TYPES[kind]
    state = restyle_encoder_state(head, backbone, ROWS, seed=seed)
    for name in state:
        if name.startswith("styles.") and ".linear." in name:
            state[name] = state[name] * np.float32(CALM)
    return state


def checkpoint(kind: str, **more: Any) -> dict[str, Any]:
    """What ReStyle saves; `opts` are added to its options."""
    options = {
        "encoder_type": kind, "output_size": 32, "input_nc": 6, "dataset_type": "ffhq_encode",
        "start_from_latent_avg": True, "n_iters_per_batch": STEPS, "lpips_lambda": 0.8, "device": "cuda:0",
        **more.pop("opts", {}),
    }  # fmt: skip
    saved = {
        "state_dict": joined(encoder=encoder(kind), decoder=rosinality_state()),
        "opts": options,
        "latent_avg": torch.from_numpy(MEAN),
        **more,
    }
    return {name: value for name, value in saved.items() if value is not None}


def encoded(folder: Path, picture: Any = PICTURE, backend: str = "onnx") -> np.ndarray:
    with open_engine(folder / "encoder", backend=backend) as engine:
        return engine.run(image=np.asarray(picture))["w"]


def run(imported: Imported) -> np.ndarray:
    """What the imported encoder makes of the picture; that its graph does too is a test of its own."""
    with torch.no_grad():
        return imported.networks["encoder"].eval()(PICTURE).numpy()


def published(kind: str, *, iterations: int = STEPS, fault: str = "") -> np.ndarray:
    head, _, progressive = TYPES[kind]
    return method_reference.restyle(
        encoder(kind), rosinality_state(), MEAN, PICTURE,
        head=head, progressive=progressive, iterations=iterations, fault=fault,
    )  # fmt: skip


@pytest.mark.parametrize("kind", TYPES)
def test_each_encoder_runs_the_published_loop(tmp_path: Path, kind: str) -> None:
    imported = import_checkpoint(save(tmp_path / "r.pt", checkpoint(kind)))
    assert imported.origin == "restyle"
    assert set(imported.networks) == {"generator", "mapping", "encoder"}
    w, expected = run(imported), published(kind)
    assert w.shape == (1, ROWS, W_DIM)
    assert np.abs(expected - MEAN).max() > 0.3  # the loop says something
    np.testing.assert_allclose(w, expected, atol=W_TOLERANCE * np.abs(w).max(), rtol=0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The e4e branch in the older container, options a Namespace, weights for torch beside the graphs."""
    folder = tmp_path_factory.mktemp("restyle")
    saved = checkpoint("ProgressiveBackboneEncoder", global_step=3, optimizer={}, best_val_loss=None)
    saved["opts"] = argparse.Namespace(**saved["opts"])
    export_checkpoint(save(folder / "r.pt", saved, old=True), folder / "model", safetensors=True)
    return folder / "model"


@pytest.fixture(scope="module")
def w_of_graph(model: Path) -> np.ndarray:
    return encoded(model)


@pytest.mark.parametrize(
    "fault",
    [
        "latent_avg missing", "BGR", "pictures swapped", "one step fewer", "not residual", "clamped",
        "first picture black", "progressive", "noise off", "mean's rows turned round",
    ],
)  # fmt: skip
def test_the_loop_is_no_near_miss(w_of_graph: np.ndarray, fault: str) -> None:
    w = w_of_graph
    wrong = published("ProgressiveBackboneEncoder", fault=fault)
    assert np.abs(w - wrong).max() > TELLING * W_TOLERANCE * np.abs(w).max()


def test_the_torch_engine_runs_the_same_loop(model: Path, w_of_graph: np.ndarray) -> None:
    w = w_of_graph
    np.testing.assert_allclose(encoded(model, backend="torch"), w, atol=W_TOLERANCE * np.abs(w).max(), rtol=0)


def test_each_picture_of_a_batch_has_its_own_loop(model: Path) -> None:
    both = encoded(model, torch.cat([PICTURE, -PICTURE]))
    for index, picture in enumerate((PICTURE, -PICTURE)):
        alone = encoded(model, picture)
        np.testing.assert_allclose(
            both[index : index + 1], alone, atol=W_TOLERANCE * np.abs(alone).max(), rtol=0
        )
    assert np.abs(both[0] - both[1]).max() > 0.01


def test_the_graph_gives_what_the_loop_does(w_of_graph: np.ndarray) -> None:
    w, expected = w_of_graph, published("ProgressiveBackboneEncoder")
    np.testing.assert_allclose(w, expected, atol=W_TOLERANCE * np.abs(w).max(), rtol=0)


def test_the_steps_share_their_weights(tmp_path: Path) -> None:
    sizes = []
    for steps in (1, 3):
        saved = checkpoint("BackboneEncoder", opts={"n_iters_per_batch": steps})
        network = import_checkpoint(save(tmp_path / "r.pt", saved)).networks["encoder"]
        save_graph(network, tmp_path / "encoder.onnx")
        sizes.append((tmp_path / "encoder.onnx").stat().st_size)
    decoder = sum(value.nbytes for value in rosinality_state().values())
    assert sizes[1] - sizes[0] < decoder + 300_000  # the decoder once, which one step does not run; the nodes


def test_five_steps_where_the_options_do_not_say(tmp_path: Path) -> None:
    saved = checkpoint("BackboneEncoder")
    del saved["opts"]["n_iters_per_batch"]
    saved["latent_avg"] = torch.from_numpy(MEAN[0])  # one row for all, as some files have it
    imported = import_checkpoint(save(tmp_path / "r.pt", saved))
    assert any("5 times" in note for note in imported.notes)
    expected = method_reference.restyle(
        encoder("BackboneEncoder"), rosinality_state(), MEAN[:1], PICTURE,
        head="last", progressive=False, iterations=5,
    )  # fmt: skip
    w = run(imported)
    np.testing.assert_allclose(w, expected, atol=W_TOLERANCE * np.abs(w).max(), rtol=0)


def without(part: str) -> dict[str, Any]:
    saved = checkpoint("BackboneEncoder")
    saved["state_dict"] = {n: v for n, v in saved["state_dict"].items() if not n.startswith(part)}
    return saved


def with_tensor(name: str, value: Any) -> dict[str, Any]:
    saved = checkpoint("BackboneEncoder")
    saved["state_dict"][name] = value
    return saved


@pytest.mark.parametrize(
    ("saved", "said"),
    [
        (lambda: checkpoint("BackboneEncoder", latent_avg=None), "no latent_avg"),
        (lambda: checkpoint("BackboneEncoder", latent_avg=torch.zeros(ROWS, W_DIM + 1)), "latent_avg has"),
        (lambda: checkpoint("BackboneEncoder", opts={"encoder_type": "GradualStyleEncoder"}), "Progressive"),
        (lambda: checkpoint("GradualStyleEncoder", opts={"encoder_type": "BackboneEncoder"}), "Gradual"),
        (lambda: checkpoint("BackboneEncoder", opts={"encoder_type": None}), "encoder_type is None"),
        (lambda: checkpoint("BackboneEncoder", opts={"encoder_type": "ResNetBackboneEncoder"}), "ResNet"),
        (lambda: checkpoint("BackboneEncoder", opts={"dataset_type": "cars_encode"}), "192x256"),
        (lambda: checkpoint("BackboneEncoder", opts={"output_size": 64}), "output_size is 64"),
        (lambda: checkpoint("BackboneEncoder", opts={"n_iters_per_batch": 1000}), "n_iters_per_batch"),
        (lambda: checkpoint("BackboneEncoder", opts={"n_iters_per_batch": "5"}), "n_iters_per_batch"),
        (lambda: checkpoint("BackboneEncoder", secret=torch.zeros(2)), "'secret'"),
        (lambda: without("decoder."), "no decoder"),
        (lambda: without("encoder.body.2."), "body.2|stages|missing"),
        (lambda: with_tensor("encoder.body.0.gate", torch.zeros(2)), "body.0.gate"),
        (lambda: with_tensor("decoder.gate", torch.zeros(2)), "gate"),
        (lambda: with_tensor("mapper.gate", torch.zeros(2)), "mapper.gate"),
        (lambda: with_tensor("encoder.input_layer.0.weight", torch.zeros(8, 3, 3, 3)), "expected 6"),
        (lambda: with_tensor("encoder.styles.0.linear.bias", torch.full((W_DIM,), np.nan)), "not finite"),
    ],
)  # fmt: skip
def test_what_does_not_belong_is_named(tmp_path: Path, saved: Any, said: str) -> None:
    save(tmp_path / "r.pt", saved())
    with pytest.raises(BadCheckpoint, match=said) as raised:
        export_checkpoint(tmp_path / "r.pt", tmp_path / "model")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "model").exists()


def test_an_encoder_with_fewer_rows_than_its_decoder_is_refused(tmp_path: Path) -> None:
    saved = checkpoint("BackboneEncoder")
    saved["state_dict"] = {
        n: v for n, v in saved["state_dict"].items() if not n.startswith(f"encoder.styles.{ROWS - 1}.")
    }
    with pytest.raises(BadCheckpoint, match="rows of w"):
        export_checkpoint(save(tmp_path / "r.pt", saved), tmp_path / "model")


def test_half_precision_weights_are_read_as_what_they_are(tmp_path: Path) -> None:
    saved = checkpoint("BackboneEncoder")
    tensors = as_tensors(encoder("BackboneEncoder"))
    rounded = {
        n: v.half().float().numpy() if v.is_floating_point() else v.numpy() for n, v in tensors.items()
    }
    saved["state_dict"].update(
        {f"encoder.{n}": v.half() for n, v in tensors.items() if v.is_floating_point()}
    )
    imported = import_checkpoint(save(tmp_path / "r.pt", saved))
    expected = method_reference.restyle(
        rounded, rosinality_state(), MEAN, PICTURE, head="last", progressive=False, iterations=STEPS
    )
    w = run(imported)
    np.testing.assert_allclose(w, expected, atol=W_TOLERANCE * np.abs(w).max(), rtol=0)
