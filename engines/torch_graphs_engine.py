# SPDX-License-Identifier: MIT
"""Runs one of our networks in torch as one CUDA graph, by the device runner. Not yet run on a GPU.

One sample a call: a graph has the addresses and the sizes it was captured with. Live networks compute in half
precision, as their exported fp16 graphs do. Knows no graph file.
"""

from pathlib import Path

import torch

from engines.base import Provenance, one_sample
from engines.device_runner import DeviceRunner
from engines.networks.frozen import frozen
from engines.networks.half import load_runnable
from engines.torch_device import TorchDevice, TorchStage, why_no_cuda
from face.errors import EngineUnavailable


def check() -> str:
    """What would run it; EngineUnavailable says what is missing."""
    why = why_no_cuda()
    if why:
        raise EngineUnavailable(why)
    return f"torch {torch.__version__}, {torch.cuda.get_device_name()}"


def open_artefact(path: Path, threads: int) -> DeviceRunner:
    """What the registry calls."""
    check()
    device = TorchDevice()
    network = frozen(load_runnable(path, half=True).to("cuda").eval().requires_grad_(False))
    inputs, outputs = one_sample(network.inputs), one_sample(network.outputs)
    stage = TorchStage(path.stem, network, inputs, outputs)
    provenance = Provenance(path, "torch-graphs", f"torch {torch.__version__}", f"{device.name}, CUDA graph")
    return DeviceRunner(device, [stage], provenance=provenance, slots=1)
