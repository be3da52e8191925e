# SPDX-License-Identifier: MIT
"""Torch as a device: refused without CUDA, errors told apart; with a GPU, frames as they should be.

What is marked gpu was not yet run."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")

from engines.base import Provenance, TensorSpec
from engines.device import DeviceError
from engines.device_runner import DeviceRunner
from engines.networks.frozen import frozen
from engines.networks.stylegan2 import Synthesis, SynthesisConfig
from engines.networks.yuv import ToYuv
from engines.torch_device import (
    DeviceTensor,
    TorchDevice,
    TorchStage,
    device_errors,
    why_no_cuda,
)
from face.errors import EngineUnavailable

X, Y = TensorSpec("x", (1, 4)), TensorSpec("y", (1, 4))
GPU_TOLERANCE = 2  # grey levels: TF32 on the GPU, float32 here


def test_torch_without_cuda_is_refused_with_the_cure() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(EngineUnavailable, match="torch .*(pytorch.org|driver).*--engine onnx"):
        TorchDevice()


@pytest.mark.parametrize(
    ("cuda", "said"), [(None, "built without CUDA"), ("13.0", "(CUDA 13.0) finds no NVIDIA GPU")]
)
def test_the_reason_tells_a_build_from_a_driver(
    cuda: str | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert said in why_no_cuda()
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert why_no_cuda() == ""


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nmore"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("CUDA driver error: unspecified launch failure"),
    ],
)
def test_device_s_errors_become_one_line(error: Exception) -> None:
    with pytest.raises(DeviceError, match="CUDA") as raised, device_errors():
        raise error
    assert "\n" not in str(raised.value)


def test_programmer_s_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), device_errors():
        torch.ones(2, 3) @ torch.ones(2, 3)


def test_stage_writes_into_its_buffers_where_a_graph_would_find_them() -> None:
    buffers = {spec.name: DeviceTensor(spec, torch.zeros(spec.shape)) for spec in (X, Y)}
    stage = TorchStage("double", lambda x: x * 2, (X,), (Y,))
    address = buffers["y"].address
    buffers["x"].tensor.fill_(3)
    stage.enqueue(buffers, None)  # on the CPU there is no stream
    assert buffers["y"].address == address and buffers["y"].tensor.tolist() == [[6.0] * 4]
    stage.close()
    with pytest.raises(ValueError, match="closed"):
        stage.enqueue(buffers, None)


@pytest.mark.gpu
@pytest.mark.parametrize("graphs", [True, False])
def test_frames_on_a_gpu_are_those_of_the_cpu(graphs: bool) -> None:
    config = SynthesisConfig(resolution=64, channels=(32, 32, 16, 16, 8))
    torch.manual_seed(0)
    network, convert = Synthesis(config).eval().requires_grad_(False), ToYuv(64)
    frames = [torch.randn(1, config.num_ws, 512) for _ in range(6)]
    with torch.inference_mode():
        expected = [convert(network(w)).numpy().astype(int) for w in frames]
    w = TensorSpec("w", (1, config.num_ws, 512))
    stages = [
        TorchStage("synthesis", frozen(network.cuda()), (w,), convert.inputs),
        TorchStage("to NV12", convert.cuda(), convert.inputs, convert.outputs),
    ]
    device = TorchDevice()
    provenance = Provenance(Path("random"), "torch-graphs", torch.__version__, device.name)
    with DeviceRunner(device, stages, provenance=provenance, graphs=graphs) as runner:
        before = torch.cuda.memory_allocated()
        runner.submit(w=frames[0].numpy())
        for index, frame in enumerate([*frames[1:], None]):
            if frame is not None:
                runner.submit(w=frame.numpy())
            made = runner.collect()["nv12"].astype(int)
            assert np.abs(made - expected[index]).max() <= GPU_TOLERANCE, index
            assert runner.times is not None and 0 < runner.times.stages[0] < 1000
        assert not graphs or torch.cuda.memory_allocated() == before  # nothing was made in the loop


@pytest.mark.gpu
def test_graph_engine_agrees_with_the_eager_one(tmp_path: Path) -> None:
    from engines import open_engine
    from engines.networks.store import save_network

    torch.manual_seed(0)
    config = SynthesisConfig(resolution=32, channels=(16, 16, 8, 8))
    save_network(Synthesis(config).eval(), tmp_path / "generator.safetensors")
    w = np.random.default_rng(1).standard_normal((1, config.num_ws, 512)).astype(np.float32)
    images = {}
    for backend in ("torch", "torch-graphs", "torch-compiled"):
        with open_engine(tmp_path / "generator", backend=backend) as engine:
            images[backend] = engine.run(w=w)["image"]
            np.testing.assert_array_equal(engine.run(w=w)["image"], images[backend])
    for backend, image in images.items():
        spread = float(images["torch"].std())
        np.testing.assert_allclose(image, images["torch"], atol=0.02 * spread, err_msg=backend)  # TF32


@pytest.mark.gpu
def test_live_network_in_half_precision_draws_the_reference_s_picture(tmp_path: Path) -> None:
    from engines import open_engine
    from engines.networks.live import LiveGenerator, LiveGeneratorConfig
    from engines.networks.store import save_network

    torch.manual_seed(0)
    config = SynthesisConfig(resolution=64, channels=(32, 32, 16, 16, 8), conv_clamp=256.0)
    live = LiveGenerator(LiveGeneratorConfig("stylegan2-synthesis", config)).eval()
    save_network(live, tmp_path / "live.safetensors")
    images = {}
    for backend in ("torch", "torch-graphs", "torch-compiled"):
        with open_engine(tmp_path / "live", backend=backend) as engine:
            rng = np.random.default_rng(1)
            given = {s.name: rng.standard_normal(s.shape).astype(np.float32) for s in engine.inputs}
            images[backend] = engine.run(**given)["image"].astype(int)
    for backend, image in images.items():
        assert np.abs(image - images["torch"]).mean() < 1, backend  # grey level: fp16 against TF32
