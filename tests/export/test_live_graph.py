# SPDX-License-Identifier: MIT
"""Mover and generator do what their method says, one after the other, and nothing else."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")
onnx = pytest.importorskip("onnx", reason="onnx is not installed: the player does without it")

from live_graphs import directions_live
from small_live import (
    PARAMETERS,
    ROWS,
    W_DIM,
    latents,
    small_alias_free,
    small_centre,
    small_directions,
    small_live,
    small_synthesis,
)

from engines import TensorSpec, open_engine
from engines.networks.directions import Directions, DirectionsConfig
from engines.networks.half import half_generator
from engines.networks.live import Live, MappedMover, StyleMover
from engines.networks.stylegan2 import Mapping, MappingConfig
from engines.networks.stylespace import StyleOffsets, StyleOffsetsConfig, split_at_styles
from export.live_graph import live_of
from export.onnx_export import save_graph
from export.tape import OPSET
from export.verify import (
    PictureVerification,
    compare_pictures,
    random_motions,
    verify_generator,
    verify_graph,
    verify_live,
)
from face.errors import BadCheckpoint, WrongUse


@pytest.fixture(scope="module")
def live() -> Live:
    return small_live()


@pytest.fixture(scope="module")
def folder(live: Live, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(live, tmp_path_factory.mktemp("live"))


def saved(live: Live, folder: Path) -> Path:
    save_graph(live.generator, folder / "generator_live.onnx")
    save_graph(live.mover, folder / "mover.onnx")
    return folder


def verified(live: Live, folder: Path) -> PictureVerification:
    return verify_live(live, folder / "generator_live.onnx", folder / "mover.onnx", random_motions(live))


def drawn(folder: Path, arrays: dict[str, Any]) -> Any:
    """Both graphs in a row, as whole numbers."""
    with (
        open_engine(folder / "mover.onnx", backend="onnx") as mover,
        open_engine(folder / "generator_live.onnx", backend="onnx") as generator,
    ):
        return generator.run(**mover.run(**arrays))["image"].astype(int)


def stepwise(identity: Any, delta: Any, *, psi: float = 0.7, limit: float = 6.0) -> Any:
    """The method as stated: first rows shifted, then truncation, then the image, then grey levels."""
    synthesis, directions, centre = small_synthesis(), small_directions(), small_centre()
    w = torch.tensor(identity).clone()
    with torch.no_grad():
        w[:, :ROWS] += directions(torch.tensor(np.clip(delta, -limit, limit)))
        w = centre + psi * (w - centre)
        image = synthesis(w).numpy()
    return np.clip(image * 127.5 + 128, 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)


def test_inputs_and_outputs_have_the_promised_names_and_shapes(folder: Path) -> None:
    with open_engine(folder / "mover.onnx", backend="onnx") as engine:
        assert engine.inputs == (
            TensorSpec("identity", (1, 8, W_DIM)),
            TensorSpec("delta", (1, PARAMETERS)),
        )
        assert engine.outputs == (TensorSpec("w", (1, 8, W_DIM)),)
    with open_engine(folder / "generator_live.onnx", backend="onnx") as engine:
        assert engine.inputs == (TensorSpec("w", (1, 8, W_DIM)),)
        assert engine.outputs == (TensorSpec("image", (1, 32, 32, 3), "uint8"),)


def test_both_in_a_row_give_what_the_method_says(live: Live, folder: Path) -> None:
    for arrays in random_motions(live):
        found, expected = drawn(folder, arrays), stepwise(**arrays).astype(int)
        assert np.abs(found - expected).max() <= 1  # a level where the last bit decides
        assert (found != expected).mean() < 0.001


@pytest.mark.parametrize(("psi", "limit"), [(1.0, 6.0), (0.7, 2.0)])
def test_truncation_and_limit_are_told_apart_from_their_absence(psi: float, limit: float) -> None:
    (arrays,) = random_motions(small_live(), count=1)
    right = stepwise(**arrays).astype(int)
    assert np.abs(stepwise(**arrays, psi=psi, limit=limit).astype(int) - right).max() > 3


def test_truncation_before_the_shift_would_be_seen(live: Live, folder: Path) -> None:
    (arrays,) = random_motions(live, count=1)
    before = dict(arrays)
    centre = small_centre().numpy()
    before["identity"] = centre + 0.7 * (arrays["identity"] - centre)
    assert np.abs(stepwise(**before, psi=1.0).astype(int) - drawn(folder, arrays)).max() > 3


@pytest.mark.parametrize(("role", "kind"), [("generator_live", "live-generator"), ("mover", "shift-mover")])
def test_graphs_hold_constants_only_and_no_shape_arithmetic(folder: Path, role: str, kind: str) -> None:
    model = onnx.load(folder / f"{role}.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert model.opset_import[0].version == OPSET == 17
    assert {entry.key: entry.value for entry in model.metadata_props}["kind"] == kind
    constants = {constant.name: constant for constant in model.graph.initializer}
    inferred = onnx.shape_inference.infer_shapes(model).graph.value_info
    whole = {value.name for value in inferred if value.type.tensor_type.elem_type == onnx.TensorProto.INT64}
    assert not whole, "integers are constants, never computed"
    for node in model.graph.node:
        assert not set(node.input) <= set(constants), f"{node.name} could have been computed"
        assert node.op_type not in ("Shape", "RandomNormal", "RandomNormalLike")
        if node.op_type == "Slice":
            assert all(onnx.numpy_helper.to_array(constants[node.input[4]]) > 0), "weights are turned before"


def test_uint8_is_made_by_the_last_node(folder: Path) -> None:
    last = onnx.load(folder / "generator_live.onnx").graph.node[-1]
    assert (last.op_type, list(last.output)) == ("Cast", ["image"])  # TensorRT has no other uint8


def test_graphs_are_verified_alone_and_in_a_row_and_another_networks_refused(
    live: Live, folder: Path
) -> None:
    given = latents(live)
    found = verify_generator(live.generator, folder / "generator_live.onnx", given)
    assert found.max_levels <= 1 and found.inside > 0.9
    assert verify_graph(live.mover, folder / "mover.onnx").batches == (1,)
    assert verified(live, folder).max_levels <= 1
    other = small_live(psi=0.75)  # its mover truncates less
    with pytest.raises(BadCheckpoint, match="mover.onnx differs from torch by"):
        verify_graph(other.mover, folder / "mover.onnx")
    with pytest.raises(BadCheckpoint, match="generator_live.onnx after mover.onnx differs from torch by"):
        verified(other, folder)
    clamped = small_live(clamp=0.5)
    with pytest.raises(BadCheckpoint, match="generator_live.onnx differs from torch by"):
        verify_generator(clamped.generator, folder / "generator_live.onnx", given)


def test_black_and_white_pictures_verify_nothing(tmp_path: Path) -> None:
    synthesis = small_synthesis()
    with torch.no_grad():
        synthesis.blocks["b32"].torgb.bias.add_(200.0)
    broken = directions_live(synthesis, small_directions())
    with pytest.raises(BadCheckpoint, match="black and white"):
        verified(broken, saved(broken, tmp_path))


class TwoInputs(torch.nn.Module):
    """Stands for the mapping of the method motion: identity and motion to a whole W+."""

    kind, config = "two-inputs", None
    inputs = (TensorSpec("identity", ("n", 8, W_DIM)), TensorSpec("motion", ("n", 8, W_DIM)))
    outputs = (TensorSpec("w", ("n", 8, W_DIM)),)

    def forward(self, identity: Any, motion: Any) -> Any:
        return 0.4 * identity + 0.6 * motion


def test_a_mapping_of_identity_and_motion_becomes_a_mover(tmp_path: Path) -> None:
    live = live_of({"generator": small_synthesis(), "motion": TwoInputs()})
    assert isinstance(live.mover, MappedMover)
    assert [spec.name for spec in live.inputs] == ["identity", "motion"]
    assert verified(live, saved(live, tmp_path)).max_levels <= 1


def small_offsets() -> StyleOffsets:
    layers = split_at_styles(small_synthesis())[0].layout.layers
    config = StyleOffsetsConfig(
        layer_channels=tuple(layer.channels for layer in layers), names=("smile", "gaze"), layers=(0, 4),
        channels=(3, 7),
    )  # fmt: skip
    offsets = StyleOffsets(config)
    with torch.no_grad():
        for value in offsets.state_dict().values():
            value.uniform_(0.5, 1.5)
    return offsets.eval().requires_grad_(False)


def test_offsets_of_styles_are_added_in_one_generator(tmp_path: Path) -> None:
    synthesis, offsets = small_synthesis(), small_offsets()
    live = live_of({"generator": synthesis, "offsets": offsets})
    assert isinstance(live.mover, StyleMover)
    assert [spec.name for spec in live.mover.outputs] == ["styles"]
    assert [spec.name for spec in live.generator.inputs] == ["w", "styles"]
    assert [spec.name for spec in live.inputs] == ["alpha", "w"]
    saved(live, tmp_path)
    assert verified(live, tmp_path).max_levels <= 1
    styles, rest = split_at_styles(synthesis)
    w, alpha = torch.randn(1, 8, W_DIM), torch.tensor([[2.0, -1.0]])
    with torch.no_grad():
        expected = rest(styles(w) + offsets(alpha))
        found, still = live(alpha, w), live(0 * alpha, w)
        own = live.generator(w, torch.zeros(live.generator.inputs[1].shape))
    np.testing.assert_array_equal(
        found.numpy(), (expected * 127.5 + 128).clamp(0, 255).permute(0, 2, 3, 1).to(torch.uint8).numpy()
    )
    assert torch.equal(still, own) and not torch.equal(found, own)
    half = half_generator(live.generator)
    save_graph(half, tmp_path / "half.onnx")
    found = verify_generator(live.generator, tmp_path / "half.onnx", latents(live), precision="fp16")
    assert found.psnr_db >= 45
    assert half.network.half_above == 8


def test_both_are_assembled_from_a_checkpoints_parts() -> None:
    mapping = Mapping(MappingConfig(z_dim=8, w_dim=W_DIM, num_ws=8, num_layers=1))
    mapping.w_avg.normal_()
    parts = {"generator": small_synthesis(), "mapping": mapping, "directions": small_directions()}
    live = live_of(parts, psi=0.7)
    torch.testing.assert_close(live.mover.centre, mapping.w_avg.expand(1, 8, W_DIM))
    with pytest.raises(WrongUse, match="psi is 0.7"):
        live_of({name: part for name, part in parts.items() if name != "mapping"}, psi=0.7)
    with pytest.raises(WrongUse, match="one generator and one of"):
        live_of({"mapping": mapping})


def test_parts_that_do_not_fit_are_named() -> None:
    small = small_synthesis(channels=(8,))  # two rows: fewer than are shifted
    with pytest.raises(WrongUse, match="the shift has 3 rows, the generator reads 2"):
        live_of({"generator": small, "directions": small_directions()})
    narrow = Directions(DirectionsConfig(PARAMETERS, ROWS, W_DIM // 2))
    with pytest.raises(WrongUse, match=r"w is \(1, 8, 16\), the generator reads \(1, 8, 32\)"):
        live_of({"generator": small_synthesis(), "directions": narrow})
    with pytest.raises(WrongUse, match="offsets are of a StyleGAN2's styles, the generator is stylegan3"):
        live_of({"generator": small_alias_free(), "offsets": small_offsets()})
    with pytest.raises(WrongUse, match="styles are not truncated"):
        live_of(
            {
                "generator": small_synthesis(),
                "offsets": small_offsets(),
                "mapping": Mapping(MappingConfig(z_dim=8, w_dim=W_DIM, num_ws=8)),
            },
            psi=0.7,
        )


def test_comparison_counts_levels_across_the_uint8_border() -> None:
    black, white = np.zeros((1, 2, 2, 3), np.uint8), np.full((1, 2, 2, 3), 255, np.uint8)
    compared = compare_pictures(black, white, "")
    assert (compared.max_levels, compared.psnr_db, compared.inside) == (255, 0.0, 0.0)
    assert compare_pictures(white, white, "").psnr_db == 99.0
