# SPDX-License-Identifier: MIT
"""The GPU's part of the live line, timed: mapping, synthesis, conversion to NV12 by the device runner.

Knows no file and no engine of graphs.
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.rows import Bench, Row, percentiles
from engines.base import Array, Provenance, TensorSpec
from engines.device import Device
from engines.device_runner import DeviceRunner
from engines.networks.frozen import frozen
from engines.networks.stylegan2 import Mapping, MappingConfig, Synthesis
from engines.networks.yuv import ToYuv
from engines.torch_device import TorchStage

GOAL_MS = 2.0  # p95 at 512 px on an H200, from numpy's z to numpy's NV12
PARITY = 4.0  # grey levels on average against float32 on the CPU; half precision at 64 px differs by 0.03
Prepare = Callable[[nn.Module], Callable[..., Tensor]]  # what is done to a network before it runs


class Mapped(nn.Module):
    """z to W+ with the truncation the authors show pictures at."""

    psi: Tensor

    def __init__(self, num_ws: int, w_dim: int) -> None:
        super().__init__()
        self.mapping = Mapping(MappingConfig(num_ws=num_ws, w_dim=w_dim, hidden_dim=w_dim))
        self.register_buffer("psi", torch.tensor(0.7))

    def forward(self, z: Tensor) -> Tensor:
        return self.mapping(z, self.psi)


class Parts:
    """The three networks of one size with random weights, and what they make together."""

    def __init__(self, synthesis: Synthesis, device: torch.device) -> None:
        config = synthesis.config
        torch.manual_seed(1)
        self.mapping = Mapped(config.num_ws, config.w_dim).to(device).eval().requires_grad_(False)
        self.synthesis = synthesis
        self.to_nv12 = ToYuv(config.resolution).to(device)

    def at_once(self, z: Tensor) -> Tensor:
        return self.to_nv12(self.synthesis(self.mapping(z)))

    def stages(self, prepare: Prepare) -> list[TorchStage]:
        config = self.synthesis.config
        z = TensorSpec("z", (1, 512))
        w = TensorSpec("w", (1, config.num_ws, config.w_dim))
        return [
            TorchStage("mapping", prepare(self.mapping), (z,), (w,)),
            TorchStage("synthesis", prepare(frozen(self.synthesis)), (w,), self.to_nv12.inputs),
            TorchStage("to NV12", prepare(self.to_nv12), self.to_nv12.inputs, self.to_nv12.outputs),
        ]


def measure_live(
    device: Device, parts: Parts, exact: Parts, *, prepare: Prepare, bench: Bench, runs: int, how: str
) -> None:
    """One frame at a time with the device's own times, then two under way; `exact` is float32 on the CPU."""
    size = parts.synthesis.config.resolution
    z: Array = np.random.default_rng(3).standard_normal((1, 512)).astype(np.float32)
    expected = exact.at_once(torch.from_numpy(z)).numpy().astype(int)
    provenance = Provenance(Path("random"), "torch-graphs", f"torch {torch.__version__}", device.name)
    start = time.perf_counter()
    with DeviceRunner(device, parts.stages(prepare), provenance=provenance) as runner:
        ready_s = time.perf_counter() - start
        deviation = float(np.abs(runner.run(z=z)["nv12"].astype(int) - expected).mean())
        spans, parts_ms = _one_by_one(runner, z, runs)
        pace_ms = _overlapped(runner, z, runs)
    names = ("copy in", *runner.stage_names, "copy out", "first copy to last, on the device")
    for name, column in zip(names, parts_ms.T, strict=True):
        bench.add(Row(size, f"live, {how}: {name}", runs, *percentiles(column)))
    note = "" if deviation <= PARITY else f"NV12 deviates by {deviation:.1f} grey levels: worth nothing"
    p50, p95, p99 = percentiles(spans)
    bench.add(
        Row(
            size, f"live, {how}: call to NV12 in memory", runs, p50, p95, p99,
            deviation=deviation, ready_s=ready_s, note=note,
        )
    )  # fmt: skip
    bench.add(Row(size, f"live, {how}: a frame, two under way (mean)", runs, pace_ms))
    verdict = "met" if p95 < GOAL_MS else "missed"
    print(f"{size:>5} live goal of 512 px: p95 under {GOAL_MS} ms; found {p95:.3f} ({how}): {verdict}")


def _one_by_one(runner: DeviceRunner, z: Array, runs: int) -> tuple[list[float], Array]:
    """Wall time of each call, and its parts by events."""
    spans, parts = [], []
    for _ in range(runs):
        begun = time.perf_counter()
        runner.run(z=z)
        spans.append((time.perf_counter() - begun) * 1e3)
        times = runner.times
        assert times is not None
        parts.append((times.copy_in, *times.stages, times.copy_out, times.total))
    return spans, np.array(parts)


def _overlapped(runner: DeviceRunner, z: Array, runs: int) -> float:
    """Mean time a frame when the next is given before the last is fetched."""
    runner.submit(z=z)
    begun = time.perf_counter()
    for _ in range(runs):
        runner.submit(z=z)
        runner.collect()
    pace_ms = (time.perf_counter() - begun) * 1e3 / runs
    runner.collect()
    return pace_ms
