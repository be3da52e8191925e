# SPDX-License-Identifier: MIT
"""A live graph does in one call what its parts do one after the other, and nothing else."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")
onnx = pytest.importorskip("onnx", reason="onnx is not installed: the player does without it")

from small_live import PARAMETERS, ROWS, W_DIM, small_centre, small_directions, small_live, small_synthesis

from engines import TensorSpec, open_engine
from engines.networks.half import half_live
from engines.networks.live import LiveConfig, MappedLive, ShiftLive, StyleLive
from engines.networks.stylegan2 import Mapping, MappingConfig
from engines.networks.stylespace import StyleOffsets, StyleOffsetsConfig, split_at_styles
from export.live_graph import directions_live, live_of
from export.onnx_export import save_graph
from export.tape import OPSET
from export.verify import compare_pictures, random_motions, verify_live
from face.errors import BadCheckpoint, WrongUse


@pytest.fixture(scope="module")
def live() -> ShiftLive:
    return small_live()


@pytest.fixture(scope="module")
def graph(live: ShiftLive, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("live") / "live.onnx"
    save_graph(live, path)
    return path


def stepwise(identity: Any, delta: Any, *, psi: float = 0.7, limit: float = 6.0) -> Any:
    """The method as stated: first rows shifted, then truncation, then the image, then grey levels."""
    synthesis, directions, centre = small_synthesis(), small_directions(), small_centre()
    w = torch.tensor(identity).clone()
    with torch.no_grad():
        w[:, :ROWS] += directions(torch.tensor(np.clip(delta, -limit, limit)))
        w = centre + psi * (w - centre)
        image = synthesis(w).numpy()
    return np.clip(image * 127.5 + 128, 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)


def test_inputs_and_outputs_have_the_promised_names_and_shapes(graph: Path) -> None:
    with open_engine(graph, backend="onnx") as engine:
        assert engine.inputs == (
            TensorSpec("identity", (1, 8, W_DIM)),
            TensorSpec("delta", (1, PARAMETERS)),
        )
        assert engine.outputs == (TensorSpec("image", (1, 32, 32, 3), "uint8"),)


def test_one_call_gives_what_the_parts_give_one_after_the_other(live: ShiftLive, graph: Path) -> None:
    with open_engine(graph, backend="onnx") as engine:
        for arrays in random_motions(live):
            found = engine.run(**arrays)["image"].astype(int)
            expected = stepwise(**arrays).astype(int)
            assert np.abs(found - expected).max() <= 1  # a level where the last bit decides
            assert (found != expected).mean() < 0.001


@pytest.mark.parametrize(("psi", "limit"), [(1.0, 6.0), (0.7, 2.0)])
def test_truncation_and_limit_are_told_apart_from_their_absence(psi: float, limit: float) -> None:
    (arrays,) = random_motions(small_live(), count=1)
    right = stepwise(**arrays).astype(int)
    assert np.abs(stepwise(**arrays, psi=psi, limit=limit).astype(int) - right).max() > 3


def test_truncation_before_the_shift_would_be_seen(graph: Path) -> None:
    (arrays,) = random_motions(small_live(), count=1)
    before = dict(arrays)
    centre = small_centre().numpy()
    before["identity"] = centre + 0.7 * (arrays["identity"] - centre)
    with open_engine(graph, backend="onnx") as engine:
        found = engine.run(**arrays)["image"].astype(int)
    assert np.abs(stepwise(**before, psi=1.0).astype(int) - found).max() > 3


def test_graph_holds_constants_only_and_no_shape_arithmetic(graph: Path) -> None:
    model = onnx.load(graph)
    onnx.checker.check_model(model, full_check=True)
    assert model.opset_import[0].version == OPSET == 17
    assert {entry.key: entry.value for entry in model.metadata_props}["kind"] == "live-shift"
    constants = {constant.name: constant for constant in model.graph.initializer}
    inferred = onnx.shape_inference.infer_shapes(model).graph.value_info
    whole = {value.name for value in inferred if value.type.tensor_type.elem_type == onnx.TensorProto.INT64}
    assert not whole, "integers are constants, never computed"
    for node in model.graph.node:
        assert not set(node.input) <= set(constants), f"{node.name} could have been computed"
        assert node.op_type not in ("Shape", "RandomNormal", "RandomNormalLike")
        if node.op_type == "Slice":
            assert all(onnx.numpy_helper.to_array(constants[node.input[4]]) > 0), "weights are turned before"


def test_uint8_is_made_by_the_last_node(graph: Path) -> None:
    last = onnx.load(graph).graph.node[-1]
    assert (last.op_type, list(last.output)) == ("Cast", ["image"])  # TensorRT has no other uint8


def test_graph_is_verified_and_another_networks_graph_refused(live: ShiftLive, graph: Path) -> None:
    found = verify_live(live, graph)
    assert found.max_levels <= 1
    assert found.inside > 0.9
    other = small_live(psi=0.75)
    with pytest.raises(BadCheckpoint, match="differs from torch by"):
        verify_live(other, graph)


def test_black_and_white_pictures_verify_nothing(tmp_path: Path) -> None:
    synthesis = small_synthesis()
    with torch.no_grad():
        synthesis.blocks["b32"].torgb.bias.add_(200.0)
    broken = directions_live(synthesis, small_directions())
    save_graph(broken, tmp_path / "live.onnx")
    with pytest.raises(BadCheckpoint, match="black and white"):
        verify_live(broken, tmp_path / "live.onnx")


class TwoInputs(torch.nn.Module):
    """Stands for the mapping of the method motion: identity and motion to a whole W+."""

    inputs = (TensorSpec("identity", ("n", 8, W_DIM)), TensorSpec("motion", ("n", 8, W_DIM)))
    outputs = (TensorSpec("w", ("n", 8, W_DIM)),)

    def forward(self, identity: Any, motion: Any) -> Any:
        return 0.4 * identity + 0.6 * motion


def test_a_mapping_of_identity_and_motion_becomes_a_live_graph(tmp_path: Path) -> None:
    live = live_of({"generator": small_synthesis(), "motion": TwoInputs()}, LiveConfig())
    assert isinstance(live, MappedLive)
    assert [spec.name for spec in live.inputs] == ["identity", "motion"]
    save_graph(live, tmp_path / "live.onnx")
    assert verify_live(live, tmp_path / "live.onnx").max_levels <= 1


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


def test_offsets_of_styles_become_a_live_graph(tmp_path: Path) -> None:
    synthesis, offsets = small_synthesis(), small_offsets()
    live = live_of({"generator": synthesis, "offsets": offsets}, LiveConfig())
    assert isinstance(live, StyleLive)
    save_graph(live, tmp_path / "live.onnx")
    assert verify_live(live, tmp_path / "live.onnx").max_levels <= 1
    styles, rest = split_at_styles(synthesis)
    w, alpha = torch.randn(1, 8, W_DIM), torch.tensor([[2.0, -1.0]])
    with torch.no_grad():
        expected = rest(styles(w) + offsets(alpha))
        found = live(styles(w), alpha)
    np.testing.assert_array_equal(
        found.numpy(), (expected * 127.5 + 128).clamp(0, 255).permute(0, 2, 3, 1).to(torch.uint8).numpy()
    )
    half = half_live(live)
    save_graph(half, tmp_path / "half.onnx")
    assert verify_live(live, tmp_path / "half.onnx", precision="fp16").psnr_db >= 45
    assert half.synthesis.synthesis.half_above == 8


def test_live_network_is_assembled_from_a_checkpoints_parts() -> None:
    mapping = Mapping(MappingConfig(z_dim=8, w_dim=W_DIM, num_ws=8, num_layers=1))
    parts = {"generator": small_synthesis(), "mapping": mapping, "directions": small_directions()}
    live = live_of(parts, LiveConfig(psi=0.7))
    torch.testing.assert_close(live.picture.centre, mapping.w_avg.reshape(1, 1, W_DIM))
    with pytest.raises(WrongUse, match="psi is 0.7"):
        live_of({name: part for name, part in parts.items() if name != "mapping"}, LiveConfig(psi=0.7))
    with pytest.raises(WrongUse, match="one generator and one of"):
        live_of({"mapping": mapping}, LiveConfig())


def test_parts_that_do_not_fit_are_named() -> None:
    small = small_synthesis(channels=(8,))  # two rows: fewer than are shifted
    with pytest.raises(WrongUse, match="the shift is 3 x 32, the generator reads 2 x 32"):
        live_of({"generator": small, "directions": small_directions()}, LiveConfig())


def test_comparison_counts_levels_across_the_uint8_border() -> None:
    black, white = np.zeros((1, 2, 2, 3), np.uint8), np.full((1, 2, 2, 3), 255, np.uint8)
    compared = compare_pictures(black, white, "")
    assert (compared.max_levels, compared.psnr_db, compared.inside) == (255, 0.0, 0.0)
    assert compare_pictures(white, white, "").psnr_db == 99.0
