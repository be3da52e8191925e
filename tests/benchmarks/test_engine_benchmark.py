# SPDX-License-Identifier: MIT
"""The floor is counted right, the yardstick draws our image, the GPU's part is rehearsed on a CPU device."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")
onnx = pytest.importorskip("onnx", reason="onnx is not installed: graphs are counted with it")

from benchmarks import engine as bench_engine
from benchmarks.engine import config_of, main, network_of
from benchmarks.floor import Layer, Rates, floor_ms, layers_of
from benchmarks.original import original_formulation
from benchmarks.rows import Bench, Row, percentiles
from engines.base import TensorSpec
from engines.networks.stylegan2 import Synthesis, SynthesisConfig
from engines.torch_device import DeviceTensor, PinnedTensor
from export.tape import record

CPU = torch.device("cpu")
TINY = ["--device", "cpu", "--resolutions", "16", "--base", "128", "--runs", "3"]


@dataclass
class Moment:
    number: int = 0


class CpuDevice:
    """Torch on the CPU with a GPU's manners: everything at once, in order, on one stream that is none."""

    name = "CPU device"

    def __init__(self) -> None:
        self._count = 0
        self._taped: list[Callable[[], None]] = []

    def stream(self) -> None:
        return None

    def stream_address(self, stream: None) -> int:
        return 0

    def event(self) -> Moment:
        return Moment()

    def host_buffer(self, spec: TensorSpec) -> PinnedTensor:
        tensor = torch.empty(spec.shape, dtype=getattr(torch, spec.dtype))
        return PinnedTensor(tensor, tensor.numpy())

    def device_buffer(self, spec: TensorSpec) -> DeviceTensor:
        return DeviceTensor(spec, torch.empty(spec.shape, dtype=getattr(torch, spec.dtype)))

    def copy_in(self, target: DeviceTensor, source: PinnedTensor, stream: None) -> None:
        target.tensor.copy_(source.tensor)

    def copy_out(self, target: PinnedTensor, source: DeviceTensor, stream: None) -> None:
        target.tensor.copy_(source.tensor)

    def record(self, event: Moment, stream: None) -> None:
        self._count += 1
        event.number = self._count

    def wait(self, stream: None, event: Moment) -> None: ...
    def synchronise(self, event: Moment) -> None: ...

    def elapsed_ms(self, start: Moment, end: Moment) -> float:
        return float(end.number - start.number)

    def capture(self, stream: None, work: Callable[[], None]) -> Callable[[], None]:
        return work

    def replay(self, graph: Callable[[], None], stream: None) -> None:
        graph()

    def close(self) -> None: ...


def test_floor_counts_what_the_paper_s_network_computes() -> None:
    config = SynthesisConfig(resolution=16, channels=(6, 5, 4), w_dim=7, use_noise=False)
    network = Synthesis(config).eval().requires_grad_(False)
    counted = layers_of(record(network, network.inputs, network.outputs, title="counted"))
    convs = sum(layer.multiply_adds for layer in counted if layer.name.startswith("conv"))
    by_hand = 6 * 6 * 9 * 16 + 6 * 3 * 16  # 4 px: convolution, to image
    for before, after, size in ((6, 5, 8), (5, 4, 16)):
        by_hand += before * after * 9 * (size // 2) ** 2  # stride 2 transposed: every input meets every tap
        by_hand += after * 16 * size**2 + after * after * 9 * size**2 + after * 3 * size**2
        by_hand += 3 * 16 * (size // 2) ** 2  # the image's own upsampling
    assert convs == by_hand
    styles = sum(layer.multiply_adds for layer in counted) - convs
    assert styles == 7 * (6 + 6 + 6 + 5 + 5 + 5 + 4 + 4) + 6 * 6 + 6 * 5 + 5 * 5 + 5 * 4 + 4 * 4


def test_floor_is_the_longer_of_arithmetic_and_traffic_layer_by_layer() -> None:
    rates = Rates(tflops=1.0, terabytes=1.0)
    heavy, large = Layer("heavy", 10**9, 10), Layer("large", 10, 10**9)
    assert floor_ms([heavy], rates, 2) == pytest.approx(2.0)  # 2 operations a multiply-add
    assert floor_ms([large], rates, 2) == pytest.approx(2.0)
    assert floor_ms([heavy, large], rates, 4) == pytest.approx(6.0)


def test_original_formulation_draws_our_image_and_is_undone() -> None:
    network = network_of(config_of(16, 128), CPU, half=False)
    w = torch.randn(2, network.config.num_ws, 512)
    ours = network(w)
    with original_formulation():
        theirs = network(w)
    assert (
        0 < float((ours - theirs).abs().max()) < 1e-4
    )  # another order of float32 sums, on values of about 10
    torch.testing.assert_close(network(w), ours, atol=0, rtol=0)


def test_whole_benchmark_on_a_cpu_with_the_live_line_on_a_stand_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "rows.json"
    given = [*TINY, "--half", "--live", "16", "--runtimes", "--out", str(out)]
    assert main(given, open_device=CpuDevice) == 0
    told = capsys.readouterr().out
    rows = {row["variant"]: row for row in json.loads(told.splitlines()[-1])["rows"]}
    assert json.loads(out.read_text())["rows"] == list(rows.values())
    assert told.index("floor") < told.index("original formulation, eager")
    for name in ("original formulation, eager", "eager", "frozen", "engine onnx, float32, copies included"):
        row = rows[name]
        assert 0 < row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"] and row["runs"] == 3
        assert row["against_floor"] > 0 and row["against_original"] > 0 and row["deviation"] < 0.05
    for part in ("copy in", "mapping", "synthesis", "to NV12", "copy out"):
        assert rows[f"live, frozen: {part}"]["p50_ms"] > 0
    assert rows["live, frozen: call to NV12 in memory"]["deviation"] < 1


def test_second_call_goes_on_from_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "rows.json"
    assert main([*TINY, "--out", str(out), "--deadline-s", "0"], open_device=CpuDevice) == 0
    first = [row["variant"] for row in json.loads(out.read_text())["rows"]]
    assert first == ["original formulation, eager", "eager"]  # yardsticks; nothing begins after the deadline
    known = json.loads(out.read_text())
    known["rows"].append({"resolution": 16, "variant": "frozen", "p50_ms": 123.0})
    out.write_text(json.dumps(known))
    assert main([*TINY, "--out", str(out)], open_device=CpuDevice) == 0
    rows = {row["variant"]: row for row in json.loads(out.read_text())["rows"]}
    assert rows["frozen"]["p50_ms"] == 123.0 and len(rows) == 4
    known["facts"]["base"] = 256
    out.write_text(json.dumps(known))
    assert main([*TINY, "--out", str(out)], open_device=CpuDevice) == 0
    rows = {row["variant"]: row for row in json.loads(out.read_text())["rows"]}
    assert rows["frozen"]["p50_ms"] != 123.0  # other widths: measured anew


def test_a_variant_that_fails_or_deviates_is_marked_and_makes_the_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def variants(subject: bench_engine.Subject, options: object) -> list[tuple[str, Callable[[], object]]]:
        def fail() -> None:
            raise RuntimeError("out of memory\nand more")

        return [("failing", fail), ("wrong", lambda: lambda: subject.network(subject.w * 2))]

    monkeypatch.setattr(bench_engine, "variants", variants)
    assert main(TINY) == 1
    rows = {r["variant"]: r for r in json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]}
    assert rows["failing"]["note"] == "RuntimeError: out of memory and more"
    assert "its time is worth nothing" in rows["wrong"]["note"] and not rows["eager"]["note"]


def test_rows_are_strict_json_and_percentiles_are_percentiles(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "r.json", facts={}, deadline_s=math.inf, same=())
    bench.add(Row(16, "a", 3, *percentiles(np.arange(101.0).tolist())))
    (row,) = json.loads((tmp_path / "r.json").read_text())["rows"]
    assert (row["p50_ms"], row["p95_ms"], row["p99_ms"]) == (50, 95, 99) and row["deviation"] is None
