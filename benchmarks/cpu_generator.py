# SPDX-License-Identifier: MIT
"""Time StyleGAN2's synthesis on the CPU: our graph in ONNX Runtime against the original formulation in torch.

    python -m benchmarks.cpu_generator                              256 (two widths), 512 and 1024 px
    python -m benchmarks.cpu_generator --configs 64:2048 --runs 3   in seconds

Weights are random: time does not depend on them. Original formulation: each sample's own modulated weights in
one grouped convolution, noise, bias, activation, gain and clamp one after the other, eager torch. All run in
turn in one process, after a warm-up, with one thread and with two; p50, p95 and p99 are of the wall clock.
With one thread the processor time of that thread is told as well: it hardly changes when others use the
machine, so its ratio is the one to quote then. The last line is JSON.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch

from benchmarks.engine import config_of
from benchmarks.original import original_formulation
from engines import TensorSpec, open_engine
from engines.networks.stylegan2 import Synthesis
from export.onnx_export import save_graph
from export.tape import record
from export.winograd import winograd_graph
from realtime.machine import this_machine

CONFIGS = "256:16384,256:32768,512:32768,1024:32768"
PARITY = 1e-4  # of the image's largest value: another order of sums
WARMUP = 2
Call = Callable[[], np.ndarray]


@dataclass(frozen=True, slots=True)
class Row:
    resolution: int
    base: int  # channels at size s are min(base / s, 512)
    threads: int
    variant: str
    p50_ms: float
    p95_ms: float
    p99_ms: float
    processor_ms: float  # p50 of this thread's processor time; 0 with more threads than one
    ratio_wall: float  # the original's p50 over this p50
    ratio_processor: float
    difference: float  # to the original's image, of its largest value
    runs: int


def network_of(resolution: int, base: int) -> Synthesis:
    torch.manual_seed(0)
    network = Synthesis(config_of(resolution, base)).eval().requires_grad_(False)
    for parameter in network.parameters():
        if parameter.ndim == 0:
            parameter.fill_(0.1)  # noise strengths: at 0 the noise would cost but not count
    return network


def measure(resolution: int, base: int, threads: int, runs: int) -> list[Row]:
    """Every variant in turn, `runs` times over."""
    torch.set_num_threads(threads)
    network = network_of(resolution, base)
    w = torch.randn(1, network.config.num_ws, network.config.w_dim)

    def original() -> np.ndarray:
        with torch.inference_mode(), original_formulation():
            return np.asarray(network(w).numpy())

    def scaled() -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(network(w).numpy())

    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "generator.onnx"
        save_graph(network, plain)
        fast = Path(folder) / "winograd.onnx"
        winograd_graph(plain_batch_one(network, Path(folder) / "one.onnx"), fast)
        with (
            open_engine(plain, backend="onnx", threads=threads) as engine,
            open_engine(fast, backend="onnx", threads=threads) as faster,
        ):
            calls: dict[str, Call] = {
                "original formulation, torch": original,
                "activations scaled, torch": scaled,
                "ONNX Runtime": lambda: engine.run(w=w.numpy())["image"],
                "ONNX Runtime, Winograd": lambda: faster.run(w=w.numpy())["image"],
            }
            return timed(calls, resolution=resolution, base=base, threads=threads, runs=runs)


def plain_batch_one(network: Synthesis, path: Path) -> Path:
    """The generator's graph with a batch of one, as a live graph has it."""
    (w,), (image,) = network.inputs, network.outputs
    specs = [(TensorSpec(spec.name, (1, *spec.shape[1:])),) for spec in (w, image)]
    onnx.save(record(network, *specs, title="generator"), path)
    return path


def timed(calls: dict[str, Call], *, resolution: int, base: int, threads: int, runs: int) -> list[Row]:
    first = next(iter(calls))
    images = {name: call() for name, call in calls.items()}
    for _ in range(WARMUP - 1):
        for call in calls.values():
            call()
    wall: dict[str, list[float]] = {name: [] for name in calls}
    processor: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(runs):
        for name, call in calls.items():
            start, used = time.perf_counter(), time.thread_time()
            call()
            processor[name].append((time.thread_time() - used) * 1e3)
            wall[name].append((time.perf_counter() - start) * 1e3)
    rows = []
    for name, image in images.items():
        p50, p95, p99 = (float(q) for q in np.percentile(wall[name], (50, 95, 99)))
        used_ms = float(np.median(processor[name]))
        largest = float(np.abs(images[first]).max())
        rows.append(
            Row(
                resolution=resolution,
                base=base,
                threads=threads,
                variant=name,
                p50_ms=p50,
                p95_ms=p95,
                p99_ms=p99,
                processor_ms=used_ms if threads == 1 else 0.0,
                ratio_wall=float(np.median(wall[first])) / p50,
                ratio_processor=float(np.median(processor[first])) / used_ms if threads == 1 else 0.0,
                difference=float(np.abs(image - images[first]).max()) / largest,
                runs=runs,
            )
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--configs", default=CONFIGS, help="pixels:base, comma-separated")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--runs", type=int, default=15)
    options = parser.parse_args()
    print(f"{'px':>5}{'base':>7}{'threads':>8}  {'variant':<30}{'p50':>8}{'p95':>8}{'p99':>8} ms"
          f"{'original /':>12}{'processor':>11} ms{'original /':>12}")  # fmt: skip
    rows: list[Row] = []
    for config in options.configs.split(","):
        resolution, base = (int(part) for part in config.split(":"))
        for threads in (int(part) for part in options.threads.split(",")):
            for row in measure(resolution, base, threads, options.runs):
                rows.append(row)
                print(
                    f"{resolution:>5}{base:>7}{threads:>8}  {row.variant:<30}{row.p50_ms:>8.0f}"
                    f"{row.p95_ms:>8.0f}{row.p99_ms:>8.0f}   {row.ratio_wall:>12.2f}"
                    f"{row.processor_ms:>11.0f}   {row.ratio_processor:>12.2f}",
                    flush=True,
                )
    wrong = [row for row in rows if row.difference > PARITY]
    for row in wrong:
        print(
            f"{row.resolution} px, {row.variant}: differs by {row.difference:.1e}; its time is worth nothing"
        )
    versions = {"torch": torch.__version__, "onnxruntime": ort.__version__}
    print(json.dumps({"machine": asdict(this_machine()), **versions, "rows": [asdict(row) for row in rows]}))
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
