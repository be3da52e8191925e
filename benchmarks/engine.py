# SPDX-License-Identifier: MIT
"""Time StyleGAN2's synthesis against the machine's own limit and the original formulation. Knows no
checkpoint.

    python -m benchmarks.engine                                     on a GPU: 256, 512 and 1024 px in fp16
    python -m benchmarks.engine --resolutions 64 --base 2048        anywhere, in seconds

Weights are random: time does not depend on them. The floor is the least time the machine needs to do each
convolution's arithmetic or to move its input, weights and output once, whichever is longer, summed over the
layers; the
machine's rates are measured first, in the same run. Original formulation: each sample's own modulated
weights in one
grouped convolution (Karras et al. 2020, appendix B). Ours scales activations instead. The last line is JSON.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from engines.networks import stylegan2
from engines.networks.ops import DEMODULATION_EPSILON, blur
from engines.networks.stylegan2 import Synthesis, SynthesisConfig
from realtime.machine import this_machine

WARMUP_S = 1.0
PARITY = 0.05  # of the image's spread: fp16 and another order of operations, not yet measured on a GPU


@dataclass(frozen=True, slots=True)
class Rates:
    """What the machine does at best, measured."""

    tflops: float  # matrix product in the dtype used
    terabytes: float  # a second, read and written


@dataclass(frozen=True, slots=True)
class Row:
    resolution: int
    variant: str
    p50_ms: float
    p95_ms: float
    p99_ms: float
    runs: int
    floor_ms: float
    against_floor: float  # p50 over floor
    against_original: float  # p50 of the original formulation over this p50, from the same run
    deviation: float  # largest difference to the original's image, in its standard deviations


def config_of(resolution: int, base: int) -> SynthesisConfig:
    sizes = [4 << k for k in range(int(math.log2(resolution)) - 1)]
    channels = tuple(min(base // size, 512) for size in sizes)
    return SynthesisConfig(
        resolution=resolution, channels=channels, conv_clamp=256.0, fp16_blocks=len(sizes) - 1
    )


def layers(config: SynthesisConfig) -> Iterator[tuple[float, float]]:
    """Multiply-adds and numbers moved of every convolution, for one sample."""
    before = 0
    for index, channels in enumerate(config.channels):
        size = 4 << index
        if before:
            half = size // 2  # stride 2 transposed: every input pixel meets every tap once
            yield (
                before * channels * 9 * half * half,
                before * half * half + channels * size * size + before * channels * 9,
            )
            yield channels * 16 * size * size, 2 * channels * size * size  # the FIR
        yield channels * channels * 9 * size * size, 2 * channels * size * size + channels * channels * 9
        yield channels * 3 * size * size, (channels + 6) * size * size
        before = channels


def floor_ms(config: SynthesisConfig, rates: Rates, bytes_each: int) -> float:
    return 1e3 * sum(
        max(2 * multiply_adds / (rates.tflops * 1e12), numbers * bytes_each / (rates.terabytes * 1e12))
        for multiply_adds, numbers in layers(config)
    )


def measured_rates(device: torch.device, dtype: torch.dtype) -> Rates:
    side, length = (8192, 2**28) if device.type == "cuda" else (1024, 2**24)
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    product_s = min(timed(lambda: a @ b, device, runs=8))
    source = torch.randn(length, device=device)
    target = torch.empty_like(source)
    copy_s = min(timed(lambda: target.copy_(source), device, runs=8))
    return Rates(2 * side**3 / product_s / 1e12, 2 * 4 * length / copy_s / 1e12)


def timed(call: Callable[[], object], device: torch.device, *, runs: int) -> list[float]:
    """Seconds of each of `runs` calls after a warm-up, the device's work included."""

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    call()
    wait()
    end = time.perf_counter() + min(WARMUP_S, 0.02 * runs)
    while time.perf_counter() < end:
        call()
    wait()
    spans = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        wait()
        spans.append(time.perf_counter() - start)
    return spans


def grouped_conv2d(
    x: Tensor, weight: Tensor, style: Tensor, *, demodulate: bool = True, fir: Tensor | None = None
) -> Tensor:
    """The original formulation: N sets of weights, one grouped convolution."""
    n, inputs, height, width = x.expand(style.shape[0], -1, -1, -1).shape
    x = x.expand(n, -1, -1, -1)
    outputs, taps = weight.shape[0], weight.shape[-1]
    if x.dtype == torch.float16 and demodulate:
        weight = weight / (weight.abs().amax(dim=(1, 2, 3), keepdim=True) * math.sqrt(weight[0].numel()))
        style = style / style.abs().amax(dim=1, keepdim=True)
    own = weight[None] * style[:, None, :, None, None]  # (N, O, I, k, k)
    if demodulate:
        own = own * (own.square().sum(dim=(2, 3, 4), keepdim=True) + DEMODULATION_EPSILON).rsqrt()
    own = own.to(x.dtype)
    x = x.reshape(1, n * inputs, height, width)
    if fir is None:
        x = functional.conv2d(x, own.reshape(n * outputs, inputs, taps, taps), padding=taps // 2, groups=n)
        return x.reshape(n, outputs, height, width)
    turned = own.transpose(1, 2).reshape(n * inputs, outputs, taps, taps)
    x = functional.conv_transpose2d(x, turned, stride=2, groups=n)
    return blur(x.reshape(n, outputs, 2 * height + 1, 2 * width + 1), fir, gain=4.0)


@contextmanager
def original_formulation() -> Iterator[None]:
    ours = stylegan2.modulated_conv2d
    stylegan2.modulated_conv2d = grouped_conv2d
    try:
        yield
    finally:
        stylegan2.modulated_conv2d = ours


def graphed(network: Synthesis, w: Tensor) -> tuple[Callable[[], object], Tensor]:
    """One CUDA graph of the whole network; the call replays it, the tensor holds its image."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            network(w)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        image = network(w)
    return graph.replay, image


def variants(
    network: Synthesis, w: Tensor, device: torch.device, *, compiled: bool
) -> Iterator[tuple[str, Callable]]:
    """Name and a call that returns the image."""
    yield "eager", lambda: network(w)
    if device.type == "cuda":
        replay, image = graphed(network, w)
        yield "CUDA graph", lambda: (replay(), image)[1]
    if compiled:
        mode = "max-autotune-no-cudagraphs" if device.type == "cuda" else "default"
        fast = torch.compile(network, mode=mode, fullgraph=True)
        fast(w)
        yield "compiled", lambda: fast(w)
        if device.type == "cuda":
            replay_fast, image_fast = graphed(fast, w)
            yield "compiled, CUDA graph", lambda: (replay_fast(), image_fast)[1]


def measure(resolution: int, options: argparse.Namespace, device: torch.device, rates: Rates) -> list[Row]:
    half = device.type == "cuda"
    config = config_of(resolution, options.base)
    torch.manual_seed(0)
    network = Synthesis(config, half=half).to(device).eval().requires_grad_(False)
    for parameter in network.parameters():
        if parameter.ndim == 0:
            parameter.data.fill_(0.1)  # noise strengths: at 0 the noise would cost but not count
    w = torch.randn(1, config.num_ws, config.w_dim, device=device)
    least = floor_ms(config, rates, 2 if half else 4)
    with original_formulation():
        reference = network(w).clone()
        original = np.array(timed(lambda: network(w), device, runs=options.runs)) * 1e3
    spread = float(reference.std())

    def row(name: str, spans: np.ndarray, image: Tensor) -> Row:
        p50, p95, p99 = (float(q) for q in np.percentile(spans, (50, 95, 99)))
        deviation = float((image.float() - reference.float()).abs().max()) / spread
        return Row(
            resolution,
            name,
            p50,
            p95,
            p99,
            len(spans),
            least,
            p50 / least,
            float(np.median(original)) / p50,
            deviation,
        )

    rows = [row("original formulation, eager", original, reference)]
    for name, call in variants(network, w, device, compiled=options.compile):
        image = call().clone()
        rows.append(row(name, np.array(timed(call, device, runs=options.runs)) * 1e3, image))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--resolutions", default="256,512,1024", help="pixels, comma-separated")
    parser.add_argument("--base", type=int, default=32768, help="channels at size s are min(base / s, 512)")
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--compile", action="store_true", help="torch.compile too; takes minutes")
    parser.add_argument("--out", type=Path, help="file for the JSON, written after every resolution")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.benchmark = True
    name = torch.cuda.get_device_name() if device.type == "cuda" else this_machine().cpu
    rates = measured_rates(device, torch.float16 if device.type == "cuda" else torch.float32)
    print(f"{name}: {rates.tflops:.1f} TFLOP/s, {rates.terabytes:.2f} TB/s, batch 1")
    print(f"{'px':>5} {'variant':<28}{'p50':>9}{'p95':>9}{'p99':>9} ms{'/ floor':>9}{'original /':>12}")
    rows: list[Row] = []
    report: dict[str, object] = {}
    for resolution in (int(part) for part in options.resolutions.split(",")):
        with torch.inference_mode():
            fresh = measure(resolution, options, device, rates)
        rows += fresh
        print(f"{resolution:>5} floor {fresh[0].floor_ms:.3f} ms")
        for r in fresh:
            print(
                f"{'':>5} {r.variant:<28}{r.p50_ms:>9.3f}{r.p95_ms:>9.3f}{r.p99_ms:>9.3f}   "
                f"{r.against_floor:>8.1f}{r.against_original:>12.2f}",
                flush=True,
            )
        report = {
            "device": name, "torch": torch.__version__, "rates": asdict(rates), "base": options.base,
            "machine": asdict(this_machine()), "rows": [asdict(r) for r in rows],
        }  # fmt: skip
        if options.out:
            options.out.write_text(json.dumps(report))
    wrong = [r for r in rows if r.deviation > PARITY]
    for r in wrong:
        print(
            f"{r.resolution} px, {r.variant}: image deviates by {r.deviation:.3f} standard deviations, "
            f"expected at most {PARITY}; its time is worth nothing"
        )
    print(json.dumps(report))
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
