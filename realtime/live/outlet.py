# SPDX-License-Identifier: MIT
"""The end of a live line: frames, marks and hands a picture to every sink. Knows no tracker, no puppet."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Self

from face.arrays import Image
from face.frame import Frame
from face.motion import Motion
from realtime.frame import Sink
from realtime.live.overlay import draw_landmarks, draw_lines
from realtime.live.slot import Framing


@dataclass(frozen=True, slots=True)
class Look:
    """How the next picture is to be shown."""

    framing: Framing = Framing()
    badge: bool = False
    lines: tuple[str, ...] = ()  # statistics, on previews only
    landmarks: Motion | None = None  # drawn on previews only
    message: str = ""  # on previews only


class Outlet:
    """A Sink in front of sinks. Only `previews` carry statistics, landmarks and messages, a meeting never.

    `badge` returns a marked picture and leaves the one it was given alone.
    """

    name = "sink"

    def __init__(
        self,
        sinks: Sequence[Sink],
        previews: Sequence[Sink],
        *,
        badge: Callable[[Image], Image],
        look: Callable[[], Look],
    ) -> None:
        self._sinks, self._previews = tuple(sinks), tuple(previews)
        self._badge, self._look = badge, look
        self._open = ExitStack()
        pumps = [pump for sink in (*sinks, *previews) if (pump := getattr(sink, "pump", None)) is not None]
        if pumps:  # the line gives a sink with `pump` the word while no frame comes

            def pump() -> None:
                for each in pumps:
                    each()

            self.pump = pump

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            for sink in (*self._sinks, *self._previews):
                opening.enter_context(sink)
            self._open = opening.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._open.close()

    def __call__(self, frame: Frame) -> None:
        look = self._look()
        image = look.framing(frame.image)
        if look.badge:
            image = self._badge(image)
        shown = replace(frame, image=image)
        for sink in self._sinks:
            sink(shown)
        if not self._previews:
            return
        if look.lines or look.message or look.landmarks is not None:
            shown = replace(frame, image=_annotated(image, look))
        for sink in self._previews:
            sink(shown)


def _annotated(image: Image, look: Look) -> Image:
    drawn = image.copy()
    if look.landmarks is not None:
        draw_landmarks(drawn, look.landmarks)
    draw_lines(drawn, look.lines)
    if look.message:
        draw_lines(drawn, (look.message,), at_bottom=True)
    return drawn
