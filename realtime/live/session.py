# SPDX-License-Identifier: MIT
"""One live run: the line, the portrait on show, the commands of keys and page. Knows no device, no method."""

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from face.arrays import Image
from face.errors import WrongUse
from face.frame import Frame
from face.motion import Motion
from methods.method import Puppet
from realtime.control import GAIN_RANGE, GAINS, MODES, SMOOTHING_RANGE, SessionState
from realtime.frame import Sink, Source
from realtime.live.outlet import Look, Outlet
from realtime.live.portraits import Opener, Wardrobe
from realtime.live.reference import ReferenceSearch
from realtime.live.slot import ZOOM_STEP, Framing, PuppetSlot
from realtime.live.slowness import slowness
from realtime.pipeline import Item, Pipeline, Step
from realtime.stats import LineStats

SEARCH_S = 10.0  # how long `find_best_reference` watches
MESSAGE_S, PROBLEM_S = 4.0, 12.0  # how long a message stays on the picture
FIGURES_S = 0.25  # how often the figures on the picture change
SMALL_FACE = 0.1  # of the picture that a face should be wide: below, detail is lost
FACE_FOUND = 0.5  # confidence from which a face counts as found


class LiveTracker(Protocol):
    """A tracker whose settings may be changed from any thread while it runs."""

    def __call__(self, frame: Frame) -> Motion: ...
    def calibrate(self, instant: Motion | None = None) -> None: ...
    def tracked(self) -> Motion | None: ...
    def news(self) -> str: ...
    def set_gain(self, region: str, value: float) -> None: ...
    def set_smoothing(self, value: float) -> None: ...
    def set_mirror(self, on: bool) -> None: ...


class Session:
    """Owns the line of one live run. `run` blocks; every other method may be called from any thread.

    The caller opens and closes source, tracker and sinks. Statistics, landmarks and messages are drawn on the
    `previews`; the `sinks` (a virtual camera, a recording) never show them.
    """

    def __init__(
        self,
        source: Source,
        tracker: LiveTracker,
        *,
        sinks: Sequence[Sink],
        previews: Sequence[Sink] = (),
        open_puppet: Opener,
        portraits: Sequence[Path],
        method: str,
        methods: Sequence[str],
        badge: Callable[[Image], Image],
        modes: Mapping[str, bool] | None = None,
        gains: Mapping[str, float] | None = None,
        smoothing: float = 1.0,
        on_delivered: Callable[[Frame], None] | None = None,
    ) -> None:
        self._tracker = tracker
        self._methods = tuple(methods)
        self._lock = threading.Lock()
        self._modes = dict.fromkeys(MODES, False) | dict(modes or {})
        self._gains = dict.fromkeys(GAINS, 1.0) | dict(gains or {})
        self._smoothing = smoothing
        self._framing = Framing(flip=self._modes["flip"])
        self._message, self._message_number, self._message_problem = "", 0, False
        self._message_until_s = -math.inf
        self._figures: tuple[str, ...] = ()
        self._hint = ""
        self._figures_due_s = -math.inf
        self._motion: Motion | None = None
        self._search: ReferenceSearch | None = None
        complain = partial(self.say, problem=True)
        self._wardrobe = Wardrobe(
            open_puppet, portraits, method=method, wear=self._wear, say=self.say, complain=complain
        )
        first = self._wardrobe.first()
        self._rest = first.rest
        self._slot = PuppetSlot(first)
        self._line = Pipeline(
            source,
            Step("tracker", self._track),
            Step("puppet", self._move, wants_item=True),
            sink=Outlet(sinks, previews, badge=badge, look=self._look),
            on_delivered=on_delivered,
        )

    def run(self) -> None:
        """Until the source ends or `quit`; raises the first error of any stage."""
        with self._wardrobe:
            self._line.run()

    def quit(self) -> None:
        self._line.stop()

    def stats(self) -> LineStats:
        return self._line.stats()

    def state(self) -> SessionState:
        stats, wardrobe = self._line.stats(), self._wardrobe
        latency = stats.latency_recent
        with self._lock:
            return SessionState(
                fps=stats.fps,
                latency_p50_ms=latency.p50_ms if latency.count else math.nan,
                latency_p95_ms=latency.p95_ms if latency.count else math.nan,
                delivered=stats.delivered,
                dropped=stats.dropped,
                face_found=self._motion is not None and self._motion.confidence >= FACE_FOUND,
                portraits=wardrobe.portraits,
                portrait=wardrobe.worn,
                enrolling=wardrobe.enrolling,
                method=wardrobe.method,
                methods=self._methods,
                gains=dict(self._gains),
                smoothing=self._smoothing,
                zoom=self._framing.zoom,
                modes=dict(self._modes),
                message=self._message,
                message_number=self._message_number,
                message_problem=self._message_problem,
                slow=slowness(stats, method=wardrobe.method, size=self._slot.size)
                or small_face(self._motion),
                stages=stats.stages,
            )

    def say(self, line: str, *, problem: bool = False) -> None:
        """Show the user one line: on previews, on the page and in the state."""
        with self._lock:
            self._message, self._message_problem = line, problem
            self._message_until_s = time.perf_counter() + (PROBLEM_S if problem else MESSAGE_S)
            self._message_number += 1

    # Portraits

    def select_portrait(self, index: int) -> None:
        """Show a portrait by its place, from 0; WrongUse when there are fewer."""
        self._wardrobe.select(index)

    def next_portrait(self) -> None:
        self._wardrobe.step(1)

    def previous_portrait(self) -> None:
        self._wardrobe.step(-1)

    def add_portrait(self, path: Path) -> None:
        """Enrol a file in the background; it joins the list and is shown once it proved usable."""
        self._wardrobe.add(path)

    def reload_portraits(self) -> None:
        """Look again into the folders the portraits came from."""
        self._wardrobe.reload()

    def set_method(self, name: str) -> None:
        if name not in self._methods:
            raise WrongUse(f"method is {name!r}, expected one of {', '.join(self._methods)}")
        self._wardrobe.set_method(name)

    # The driver

    def calibrate(self) -> None:
        """Take the driver's face of this moment as its rest."""
        self._search = None
        self._tracker.calibrate()
        self.say("hold your face at rest: it is calibrated in half a second")

    def find_best_reference(self) -> None:
        """Watch for a while and calibrate at the driver's closest to the portrait's rest; twice: stop."""
        if self._search is not None:
            self._end_search()
            return
        self._search = ReferenceSearch(self._rest, ends_s=time.perf_counter() + SEARCH_S)
        self.say(f"look like the portrait: the best moment of {SEARCH_S:.0f} s becomes your rest")

    def set_gain(self, region: str, value: float) -> None:
        """How much of the driver's movement is passed on; 0 holds still, 1 is the driver's own."""
        if region not in GAINS:
            raise WrongUse(f"gain {region!r} is not known, expected one of {', '.join(GAINS)}")
        value = _within(value, GAIN_RANGE)
        self._tracker.set_gain(region, value)
        with self._lock:
            self._gains[region] = value
        self.say(f"{region} gain {value:.1f}")

    def change_gain(self, by: float) -> None:
        """All gains up or down."""
        for region, gain in self.state().gains.items():
            self.set_gain(region, gain + by)
        self.say("gain " + ", ".join(f"{region} {gain:.1f}" for region, gain in self.state().gains.items()))

    def set_smoothing(self, value: float) -> None:
        """0 is none, 1 the default, 2 the calmest."""
        value = _within(value, SMOOTHING_RANGE)
        self._tracker.set_smoothing(value)
        with self._lock:
            self._smoothing = value
        self.say(f"smoothing {value:.2f}")

    def change_smoothing(self, by: float) -> None:
        self.set_smoothing(self.state().smoothing + by)

    # The picture

    def set_mode(self, name: str, on: bool) -> None:
        if name not in MODES:
            raise WrongUse(f"mode {name!r} is not known, expected one of {', '.join(MODES)}")
        if name == "mirror":
            self._tracker.set_mirror(on)
        with self._lock:
            self._modes[name] = on
            if name == "flip":
                self._framing = Framing(self._framing.zoom, self._framing.x, self._framing.y, on)
        self.say(f"{name} {'on' if on else 'off'}")

    def toggle(self, name: str) -> None:
        """Switch a mode over."""
        self.set_mode(name, not self.state().modes.get(name, False))

    def zoom_in(self) -> None:
        self._reframe(self._framing.zoomed(ZOOM_STEP))

    def zoom_out(self) -> None:
        self._reframe(self._framing.zoomed(1 / ZOOM_STEP))

    def move_crop(self, right: float, down: float) -> None:
        """Shift the part that is shown, by parts of the picture's sides; it has room once zoomed in."""
        self._reframe(self._framing.moved(right, down))

    def reset_crop(self) -> None:
        self._reframe(Framing(flip=self._framing.flip))

    # Steps of the line, each called by its own thread

    def _track(self, frame: Frame) -> Motion:
        motion = self._tracker(frame)
        self._motion = motion
        if news := self._tracker.news():
            self.say(news, problem=True)
        search = self._search
        if search is not None:
            instant = self._tracker.tracked()  # before gains and smoothing, which are not the driver's
            if instant is not None and search(instant):
                self._tracker.calibrate(instant)
            if time.perf_counter() > search.ends_s:
                self._end_search()
        return motion

    def _move(self, item: Item) -> Image:
        if self._modes["passthrough"]:
            image = item.frame.image
            return image[:, ::-1].copy() if self._modes["mirror"] else image
        motion = item.value
        if not isinstance(motion, Motion):
            raise TypeError(f"the tracker returned a {type(motion).__name__}, expected a Motion")
        return self._slot(motion, item.frame)

    def _look(self) -> Look:
        now_s = time.perf_counter()
        if now_s >= self._figures_due_s:  # counted a few times a second only
            state = self.state()
            self._figures, self._hint, self._figures_due_s = (
                figures_of(state),
                state.slow,
                now_s + FIGURES_S,
            )
        return Look(
            framing=self._framing,
            badge=self._modes["badge"],
            lines=self._figures if self._modes["statistics"] else (),
            landmarks=self._motion if self._modes["landmarks"] else None,
            message=self._message if now_s < self._message_until_s else self._hint,
        )

    def _wear(self, puppet: Puppet, path: Path) -> None:
        self._rest = puppet.rest
        self._slot.swap(puppet)
        self.say(path.name)

    def _reframe(self, framing: Framing) -> None:
        self._framing = framing
        self.say(f"zoom {framing.zoom:.1f}")

    def _end_search(self) -> None:
        search, self._search = self._search, None
        if search is not None:
            found = math.isfinite(search.best)
            self.say("calibrated on the best moment" if found else "no face was seen; press F to try again")


def _within(value: float, limits: tuple[float, float]) -> float:
    return min(max(round(value, 3), limits[0]), limits[1])


def small_face(motion: Motion | None) -> str:
    """What to say to a driver whose face fills little of the picture; "" where it is large enough."""
    if motion is None or motion.seen is None:
        return ""
    wide = float(np.ptp(motion.seen[:, 0])) / motion.image_size[0]
    return f"face {100 * wide:.0f} % wide, sit nearer" if wide < SMALL_FACE else ""


def figures_of(state: SessionState) -> tuple[str, ...]:
    """The statistics as lines: the rate and latency of the line, then each stage."""
    face = "face" if state.face_found else "no face"
    head = f"{state.fps:.1f} fps  {state.latency_p50_ms:.0f}/{state.latency_p95_ms:.0f} ms  {face}"
    stages = (f"{s.name} {s.recent.p50_ms:.1f} ms, {s.dropped} dropped" for s in state.stages)
    return (head, f"method {state.method}", *stages)
