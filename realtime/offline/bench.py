# SPDX-License-Identifier: MIT
"""How fast the whole line is here: a clip played as a camera into a sink that keeps nothing."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import numpy as np
from numpy.typing import NDArray

from face.arrays import Image
from face.frame import Frame
from face.motion import Motion
from methods.method import OnFrame, Opening, Puppet
from methods.registry import open_puppet
from methods.subject import resolve
from realtime.badge import Badge
from realtime.frame import EndOfLine
from realtime.live.figures import STAGE_COLUMNS, line_values, stage_rows, summary
from realtime.live.session import Session
from realtime.machine import Machine, resident_mib, this_machine
from realtime.offline.builtin import CAMERA_SIZE, portrait_path, write_driver
from realtime.offline.report import Curve, Goal, goals, histogram, page, plot, table
from realtime.pipeline import play
from realtime.sinks.file import FileSink
from realtime.sinks.fit import Fitter
from realtime.sources import open_source
from realtime.stats import LineStats
from realtime.tracker.face_tracker import FaceTracker

SAMPLE_S = 1.0
FPS_SHARE = 28 / 30  # of the camera's rate that has to arrive
P50_MS, P95_MS, DROP_RATE = 50.0, 75.0, 0.03
GROWTH_MIB = 24.0  # memory at the end above that after the first tenth; what the allocator breathes


@dataclass(frozen=True, slots=True)
class Sample:
    """The line at one second."""

    at_s: float  # since the measured part began
    fps: float
    p50_ms: float
    p95_ms: float
    memory_mib: float


@dataclass(frozen=True, slots=True)
class Bench:
    """What was measured."""

    machine: Machine
    clip: str
    camera_fps: float
    camera_size: tuple[int, int]
    sink_size: tuple[int, int]
    method: str
    line: LineStats
    latencies_ms: NDArray[np.float64]  # of every frame, in order
    samples: tuple[Sample, ...]

    @property
    def memory_start_mib(self) -> float:
        """After the first tenth, when every buffer has been made once."""
        return self.samples[len(self.samples) // 10].memory_mib if self.samples else 0.0

    @property
    def memory_end_mib(self) -> float:
        return self.samples[-1].memory_mib if self.samples else 0.0

    @property
    def memory_max_mib(self) -> float:
        return max((sample.memory_mib for sample in self.samples), default=0.0)

    @property
    def goals(self) -> tuple[Goal, ...]:
        latency = self.line.latency_total
        return (
            Goal("frames a second", self.line.mean_fps, self.camera_fps * FPS_SHARE, False, "fps"),
            Goal("capture to sink, p50", latency.p50_ms, P50_MS, True, "ms"),
            Goal("capture to sink, p95", latency.p95_ms, P95_MS, True, "ms"),
            Goal("frames dropped", 100 * self.line.drop_rate, 100 * DROP_RATE, True, "%"),
            Goal("memory grown", self.memory_end_mib - self.memory_start_mib, GROWTH_MIB, True, "MiB"),
        )


def run_bench(
    clip: Path | None,
    *,
    seconds: float,
    warmup_s: float,
    portrait: Path | None,
    method: str,
    sink_size: tuple[int, int],
    opening: Opening,
    on_sample: Callable[[Sample], None] | None = None,
) -> Bench:
    """Play `clip` (None: the built-in one) as a 640x480 camera, `warmup_s` to warm up, then measured."""
    photo = portrait or portrait_path()
    puppet = open_puppet(method, resolve(photo), opening)
    with ExitStack() as stack:
        stack.callback(puppet.close)
        camera = stack.enter_context(_as_camera(clip))
        tracker = stack.enter_context(FaceTracker())
        _run(camera, tracker, puppet, photo, method, _Meter(warmup_s, sink_size, None))
        meter = _Meter(seconds, sink_size, on_sample)
        camera_fps = _run(camera, tracker, puppet, photo, method, meter)
    assert meter.session is not None
    return Bench(
        machine=this_machine(),
        clip=clip.name if clip else "built-in driver",
        camera_fps=camera_fps,
        camera_size=CAMERA_SIZE,
        sink_size=sink_size,
        method=method,
        line=meter.session.stats(),
        latencies_ms=meter.latencies_ms(),
        samples=tuple(meter.samples),
    )


def _run(
    camera: Path, tracker: FaceTracker, puppet: Puppet, photo: Path, method: str, meter: "_Meter"
) -> float:
    """One session over the clip; its frame rate."""
    with open_source(str(camera), live=True, loop=True) as source:
        meter.session = Session(
            source,
            tracker,
            sinks=(meter,),
            open_puppet=lambda name, path: _Lent(puppet),
            portraits=(photo,),
            method=method,
            methods=(method,),
            badge=Badge(),
            on_delivered=meter.after,
        )
        meter.session.run()
        return source.fps


@contextmanager
def _as_camera(clip: Path | None) -> Iterator[Path]:
    """The clip as a file of CAMERA_SIZE pictures, written for the occasion unless it is one already."""
    with TemporaryDirectory(prefix="facepuppet-") as folder:
        camera = Path(folder) / "camera.mp4"
        if clip is None:
            write_driver(camera)
        else:
            with (
                open_source(str(clip), live=False) as source,
                FileSink(camera, fps=source.fps, live=False, size=CAMERA_SIZE) as sink,
            ):
                play(source, sink=sink)
        yield camera


class _Lent:
    """A puppet that stays open when the session that moved it ends."""

    def __init__(self, puppet: Puppet) -> None:
        self.size, self.rest, self.portrait = puppet.size, puppet.rest, puppet.portrait
        self.reads_frame, self._puppet = puppet.reads_frame, puppet

    def __call__(self, motion: Motion, frame: Frame | None = None) -> Image:
        return self._puppet(motion, frame)

    def refined(self, motions: Sequence[Motion], *, on_frame: OnFrame | None = None) -> Puppet:
        return self._puppet.refined(motions, on_frame=on_frame)

    def close(self) -> None:
        """It stays open."""


class _Meter:
    """The Sink of the benchmark, and the clock that ends it."""

    def __init__(
        self, seconds: float, size: tuple[int, int], on_sample: Callable[[Sample], None] | None
    ) -> None:
        self.session: Session | None = None
        self.samples: list[Sample] = []
        self._fitter = Fitter(size)
        self._seconds = seconds
        self._on_sample = on_sample
        self._began_s = self._due_s = 0.0
        self._latencies_ms = np.zeros(
            1 + round(seconds * 250)
        )  # made before: the loop allocates nothing that stays
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        return None

    def __call__(self, frame: Frame) -> None:
        self._fitter(frame.image)

    def after(self, frame: Frame) -> None:
        """Counts a delivered frame; raises EndOfLine when the time is over."""
        now_s = time.perf_counter()
        if not self._began_s:
            self._began_s, self._due_s = now_s, now_s + SAMPLE_S
        if self._count < len(self._latencies_ms):
            self._latencies_ms[self._count] = 1000 * (now_s - frame.captured_s)
            self._count += 1
        if now_s >= self._due_s:
            self._due_s += SAMPLE_S
            self._sample(now_s - self._began_s)
        if now_s - self._began_s >= self._seconds:
            raise EndOfLine

    def latencies_ms(self) -> NDArray[np.float64]:
        return self._latencies_ms[: self._count]

    def _sample(self, at_s: float) -> None:
        assert self.session is not None
        stats = self.session.stats()
        latency = stats.latency_recent
        sample = Sample(at_s, stats.fps, latency.p50_ms, latency.p95_ms, resident_mib())
        self.samples.append(sample)
        if self._on_sample is not None:
            self._on_sample(sample)


def bench_values(bench: Bench) -> dict[str, object]:
    """The figures for a JSON line."""
    return {
        "machine": asdict(bench.machine),
        "clip": bench.clip,
        "camera_fps": bench.camera_fps,
        "camera_size": bench.camera_size,
        "sink_size": bench.sink_size,
        "method": bench.method,
        **line_values(bench.line),
        "memory_mib": {
            "start": round(bench.memory_start_mib, 1),
            "end": round(bench.memory_end_mib, 1),
            "max": round(bench.memory_max_mib, 1),
        },
        "goals": {
            goal.name: {"found": round(goal.found, 3), "limit": round(goal.limit, 3), "met": goal.met}
            for goal in bench.goals
        },
    }


def bench_page(bench: Bench, command: str) -> str:
    """A self-contained HTML page with plots."""
    machine = bench.machine
    facts = (
        ("command", command),
        ("result", summary(bench.line)),
        ("clip", f"{bench.clip}, {bench.camera_size[0]}x{bench.camera_size[1]} at {bench.camera_fps:g} fps"),
        ("sink", f"{bench.sink_size[0]}x{bench.sink_size[1]}, method {bench.method}"),
        ("processor", f"{machine.cpu}, {machine.cores} cores, {machine.memory_mib} MiB"),
        ("system", f"{machine.system}, Python {machine.python}"),
        ("facepuppet", f"{machine.version} {machine.commit}"),
    )
    x = np.array([sample.at_s for sample in bench.samples])

    def curve(name: str, field: str) -> Curve:
        return Curve(name, x, np.array([getattr(sample, field) for sample in bench.samples], np.float64))

    return page(
        "facepuppet bench",
        facts,
        (
            goals(bench.goals),
            table("Stages", STAGE_COLUMNS, stage_rows(bench.line)),
            histogram("Capture to sink", bench.latencies_ms, x_label="ms"),
            plot(
                "Capture to sink over time",
                (curve("p50", "p50_ms"), curve("p95", "p95_ms")),
                x_label="s",
                y_label="ms",
            ),
            plot("Delivered", (curve("last 10 s", "fps"),), x_label="s", y_label="frames a second"),
            plot("Memory", (curve("resident", "memory_mib"),), x_label="s", y_label="MiB"),
        ),
    )
