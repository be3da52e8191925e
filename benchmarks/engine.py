# SPDX-License-Identifier: MIT
"""Time StyleGAN2's synthesis against the machine's own limit, eager torch and the authors' formulation.

    python -m benchmarks.engine --compile --live 512 --out engine.json               on a GPU, in fp16
    python -m benchmarks.engine --device cpu --resolutions 64 --base 2048            anywhere, in seconds

Weights are random: time does not depend on them. Every variant's image is held against the original
formulation's of the same run; one that deviates is marked and makes the status 1. --out keeps what was
measured after every row, and a second call with the same file goes on from there. --live adds mapping,
synthesis and conversion to NV12 through the device runner. The last line is JSON. Knows no checkpoint.
"""

import argparse
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from benchmarks.floor import Layer, Rates, floor_ms, layers_of, measured_rates, timed
from benchmarks.live_line import Parts, measure_live
from benchmarks.original import original_formulation
from benchmarks.rows import HEADING, Bench, Row, percentiles
from engines import BACKENDS, check_backend, open_engine
from engines.device import Device
from engines.networks.frozen import NEVER, frozen
from engines.networks.stylegan2 import Synthesis, SynthesisConfig
from engines.torch_device import TorchDevice
from export.onnx_export import save_graph
from face.errors import PuppetError
from realtime.machine import this_machine

PARITY = 0.05  # of the image's spread: half precision in another order; 0.005 at 64 px on a CPU
GOALS_MS = {256: 0.6, 512: 1.0, 1024: 1.6}  # p95, H200, torch and CUDA graphs
FOLDED_FROM = 128  # pixels; tried beside never
CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Subject:
    """What is timed at one size, and what it is held against."""

    network: Synthesis
    w: Tensor
    reference: Tensor  # the original formulation's image
    floor_ms: float
    eager_ms: float
    original_ms: float

    @property
    def resolution(self) -> int:
        return self.network.config.resolution


Call = Callable[[], Tensor]


def config_of(resolution: int, base: int) -> SynthesisConfig:
    sizes = [4 << k for k in range(int(math.log2(resolution)) - 1)]
    channels = tuple(min(base // size, 512) for size in sizes)
    half = max(len(sizes) - 2, 0)  # all but 4 and 8 px, as the export has it
    return SynthesisConfig(resolution=resolution, channels=channels, conv_clamp=256.0, fp16_blocks=half)


def network_of(config: SynthesisConfig, device: torch.device, *, half: bool) -> Synthesis:
    torch.manual_seed(0)
    network = Synthesis(config, half=half).to(device).eval().requires_grad_(False)
    for parameter in network.parameters():
        if parameter.ndim == 0:
            parameter.data.fill_(0.1)  # noise strengths: at 0 the noise would cost but not count
    return network


def graphed(call: Call) -> Call:
    """The call captured in one CUDA graph; replaying it returns the same tensor with a new image."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        image = call()

    def replay() -> Tensor:
        graph.replay()
        return image

    return replay


def made_ready(
    network: nn.Module,
    w: Tensor,
    *,
    folded_from: int = NEVER,
    last: bool = False,
    mode: str = "",
    graph: bool = False,
) -> Call:
    """The network frozen; `last`: channels last in memory; `mode`: compiled so; `graph`: captured."""
    fast: Callable[[Tensor], Tensor] = frozen(network, folded_from=folded_from)
    if last:
        fast = fast.to(memory_format=torch.channels_last)
    if mode:
        fast = torch.compile(fast, mode=mode, fullgraph=True)
    fast(w)
    return graphed(lambda: fast(w)) if graph else lambda: fast(w)


def variants(subject: Subject, options: argparse.Namespace) -> Iterator[tuple[str, Callable[[], Call]]]:
    """Name and a function that makes a call ready; the cheap ones first."""
    network, w = subject.network, subject.w
    forms = {"": NEVER, f", folded from {FOLDED_FROM} px": FOLDED_FROM}
    if w.device.type == "cpu":
        for name, size in forms.items():
            yield f"frozen{name}", lambda size=size: made_ready(network, w, folded_from=size)
        if options.compile:
            yield "frozen, compiled", lambda: made_ready(network, w, mode="default")
        return

    def original() -> Call:
        with original_formulation():  # a capture keeps what was called
            return graphed(lambda: network(w))

    yield "original formulation, CUDA graph", original
    yield "eager, CUDA graph", lambda: graphed(lambda: network(w))
    yield "frozen", lambda: made_ready(network, w)
    modes = {"": "", ", compiled": "default", ", autotuned": "max-autotune-no-cudagraphs"}
    for how, mode in modes.items():
        if (how == ", compiled" and not options.compile) or (how == ", autotuned" and not options.autotune):
            continue
        for last in (False, True) if not how else (True,):
            for name, size in forms.items():
                order = ", channels last" if last else ""
                yield (
                    f"frozen{name}{order}{how}, CUDA graph",
                    lambda size=size, last=last, mode=mode: made_ready(
                        network, w, folded_from=size, last=last, mode=mode, graph=True
                    ),
                )


def runtimes(subject: Subject, folder: Path, threads: int) -> Iterator[tuple[str, Callable[[], Call]]]:
    """Engines of graphs that are usable here; the others say why not."""
    graph = folder / "counted.onnx"
    for name, backend in BACKENDS.items():
        if backend.suffix != ".onnx":
            continue
        try:
            check_backend(name)
        except PuppetError as error:
            print(f"{'':>5} engine {name} is not here: {error}")
            continue

        def ready(name: str = name) -> Call:
            engine = open_engine(graph, backend=name, threads=threads)
            w = subject.w.cpu().numpy()
            return lambda: torch.from_numpy(engine.run(w=w)["image"])

        yield f"engine {name}, float32, copies included", ready


def time_variant(
    subject: Subject, name: str, prepare: Callable[[], Call], *, bench: Bench, runs: int
) -> None:
    if not bench.wants(subject.resolution, name):
        return
    start = time.perf_counter()
    try:
        call = prepare()
        ready_s = time.perf_counter() - start
        image = call().to(subject.w.device).float().clone()
        spans = timed(call, subject.w.device, runs=runs)
    except Exception as error:  # one variant that fails must not cost the others their time on a GPU
        said = " ".join(str(error).split())[:200]
        bench.add(Row(subject.resolution, name, note=f"{type(error).__name__}: {said}"))
        return
    bench.add(row_of(subject, name, spans, image, ready_s))


def row_of(subject: Subject, name: str, spans: list[float], image: Tensor, ready_s: float | None) -> Row:
    p50, p95, p99 = percentiles([1e3 * span for span in spans])
    deviation = float((image - subject.reference).abs().max() / subject.reference.std())
    return Row(
        subject.resolution, name, len(spans), p50, p95, p99,
        against_floor=p50 / subject.floor_ms,
        against_eager=subject.eager_ms / p50,
        against_original=subject.original_ms / p50,
        deviation=deviation,
        ready_s=ready_s,
        note="" if deviation <= PARITY else f"deviates by {deviation:.2f}: its time is worth nothing",
    )  # fmt: skip


def measure(
    resolution: int, options: argparse.Namespace, device: torch.device, rates: Rates, bench: Bench
) -> None:
    """Every variant at one size; the original formulation and eager torch first, as the yardsticks."""
    config = config_of(resolution, options.base)
    network = network_of(config, device, half=options.half)
    w = torch.randn(1, config.num_ws, config.w_dim, device=device)
    with tempfile.TemporaryDirectory() as scratch:
        with torch.inference_mode(False):  # the recorder needs torch's usual dispatch
            save_graph(network_of(config, CPU, half=False), Path(scratch) / "counted.onnx")
        layers = layers_of(onnx.load(Path(scratch) / "counted.onnx"))
        least = told_floor(resolution, layers, rates, 2 if options.half else 4)
        with original_formulation():
            reference = network(w).float().clone()
            first = timed(lambda: network(w), device, runs=options.runs)
        image = network(w).float().clone()
        plain = timed(lambda: network(w), device, runs=options.runs)
        eager_ms, original_ms = (1e3 * float(np.median(spans)) for spans in (plain, first))
        subject = Subject(network, w, reference, least, eager_ms, original_ms)
        bench.add(row_of(subject, "original formulation, eager", first, reference, None))
        bench.add(row_of(subject, "eager", plain, image, None))
        for name, prepare in variants(subject, options):
            time_variant(subject, name, prepare, bench=bench, runs=options.runs)
        for name, prepare in runtimes(subject, Path(scratch), options.threads) if options.runtimes else ():
            time_variant(subject, name, prepare, bench=bench, runs=options.runs)


def told_floor(resolution: int, layers: list[Layer], rates: Rates, bytes_each: int) -> float:
    least = floor_ms(layers, rates, bytes_each)
    work = sum(layer.multiply_adds for layer in layers) / 1e9
    moved = sum(layer.numbers for layer in layers) * bytes_each / 1e6
    print(f"{resolution:>5} floor {least:.3f} ms: {work:.2f} GMAC and {moved:.0f} MB in {len(layers)} layers")
    return least


def live(
    options: argparse.Namespace, device: torch.device, open_device: Callable[[], Device], bench: Bench
) -> None:
    """The device runner at --live pixels: as captured, and compiled where that was asked for."""
    config = config_of(options.live, options.base)
    exact = Parts(network_of(config, CPU, half=False), CPU)

    def in_place(network: nn.Module) -> Callable[..., Tensor]:
        return network.to(memory_format=torch.channels_last)

    def compiled(network: nn.Module) -> Callable[..., Tensor]:
        fast: Callable[..., Tensor] = torch.compile(in_place(network), fullgraph=True)
        return fast

    ways = {"frozen": in_place, **({"compiled": compiled} if options.compile else {})}
    for how, prepare in ways.items():
        if bench.wants(options.live, f"live, {how}: a frame, two under way (mean)"):
            parts = Parts(network_of(config, device, half=options.half), device)
            measure_live(
                open_device(), parts, exact, prepare=prepare, bench=bench, runs=options.runs, how=how
            )


def told_goals(rows: list[Row]) -> None:
    """The best of each size against what was set for an H200."""
    for resolution, goal in GOALS_MS.items():
        here = [(r.p95_ms, r.variant) for r in rows if r.resolution == resolution and not r.note]
        done = [(p95, name) for p95, name in here if p95 is not None and not name.startswith("live")]
        if done:
            p95, name = min(done)
            word = "met" if p95 <= goal else "missed"
            print(f"{resolution:>5} goal on an H200: p95 {goal} ms; best {p95:.3f} ({name}): {word}")


def arguments(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--resolutions", default="256,512,1024", help="pixels, comma-separated")
    parser.add_argument("--base", type=int, default=32768, help="channels at size s are min(base / s, 512)")
    parser.add_argument("--half", action="store_true", help="half precision on a CPU too, to rehearse")
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--threads", type=int, default=1, help="of the CPU")
    parser.add_argument("--compile", action="store_true", help="torch.compile too; takes minutes")
    parser.add_argument("--autotune", action="store_true", help="and with every kernel tried; takes longer")
    parser.add_argument(
        "--runtimes", action="store_true", help="engines of graphs too: onnx, tensorrt-rtx..."
    )
    parser.add_argument("--live", type=int, default=0, metavar="PX", help="the device runner at this size")
    parser.add_argument("--deadline-s", type=float, default=math.inf, help="begin nothing new after this")
    parser.add_argument("--out", type=Path, help="JSON, written after every row; read to go on from")
    return parser.parse_args(given)


def main(given: list[str] | None = None, *, open_device: Callable[[], Device] = TorchDevice) -> int:
    options = arguments(given)
    kind = options.device if options.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(kind)
    options.half = options.half or kind == "cuda"
    torch.backends.cudnn.benchmark = True
    torch.set_num_threads(options.threads)
    name = torch.cuda.get_device_name() if kind == "cuda" else this_machine().cpu
    rates = measured_rates(device, torch.float16 if kind == "cuda" else torch.float32)
    facts: dict[str, object] = {
        "device": name, "torch": torch.__version__, "half": options.half, "base": options.base,
        "threads": options.threads, "rates": asdict(rates), "machine": asdict(this_machine()),
    }  # fmt: skip
    same = ("device", "torch", "half", "base", "threads")
    bench = Bench(options.out, facts=facts, deadline_s=options.deadline_s, same=same)
    print(f"{name}: {rates.tflops:.2f} TFLOP/s and {rates.terabytes:.3f} TB/s measured; batch 1, ms")
    print(HEADING)
    with torch.inference_mode():
        if options.live:
            live(options, device, open_device, bench)
        for resolution in (int(part) for part in options.resolutions.split(",") if part):
            measure(resolution, options, device, rates, bench)
    if kind == "cuda":
        told_goals(bench.rows)
    print(bench.as_json())
    return 1 if any(row.note for row in bench.rows) else 0


if __name__ == "__main__":
    raise SystemExit(main())
