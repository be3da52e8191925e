# SPDX-License-Identifier: MIT
"""Runs one of our networks converted by torch2trt, for those who have it. Not yet run on a GPU.

torch2trt is in git alone and ended at TensorRT 10; on 11 it cannot work, as the flags it sets are gone. The
usual way is --engine tensorrt. Imported only when asked for. Knows no graph file.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from engines.base import Provenance, TensorSpec, one_sample
from engines.device_runner import DeviceRunner
from engines.networks.half import load_runnable
from engines.torch_device import TorchDevice, TorchStage, why_no_cuda
from face.errors import EngineUnavailable

FIRST_REFUSED = 11
TENSORRT_CURE = "pip install 'tensorrt<11', or choose --engine tensorrt"
CURE = "it is in git alone: github.com/NVIDIA-AI-IOT/torch2trt, installed after torch and tensorrt"


def check() -> str:
    """What would run it; EngineUnavailable says what is missing."""
    tensorrt = _library("tensorrt", TENSORRT_CURE)
    if int(tensorrt.__version__.partition(".")[0]) >= FIRST_REFUSED:
        raise EngineUnavailable(
            f"torch2trt works with TensorRT 10 and older, found {tensorrt.__version__}; {TENSORRT_CURE}"
        )
    _library("torch2trt", CURE)
    why = why_no_cuda()
    if why:
        raise EngineUnavailable(why)
    return f"torch2trt on TensorRT {tensorrt.__version__}, {torch.cuda.get_device_name()}"


def open_artefact(path: Path, threads: int) -> DeviceRunner:
    """What the registry calls; converting takes minutes."""
    runtime = check().partition(",")[0]
    device = TorchDevice()
    network = load_runnable(path).to("cuda").eval().requires_grad_(False)
    inputs, outputs = one_sample(network.inputs), one_sample(network.outputs)
    converted = _library("torch2trt", CURE).torch2trt(network, [_example(spec) for spec in inputs])
    stage = TorchStage(path.stem, converted, inputs, outputs)
    provenance = Provenance(path, "torch2trt", runtime, device.name)
    return DeviceRunner(device, [stage], provenance=provenance, slots=1, graphs=False)


def _library(name: str, cure: str) -> Any:
    try:
        return import_module(name)
    except (ImportError, OSError) as error:
        raise EngineUnavailable(f"engine torch2trt needs {name} ({error}); {cure}") from error


def _example(spec: TensorSpec) -> torch.Tensor:
    return torch.zeros(spec.shape, dtype=getattr(torch, spec.dtype), device="cuda")
