# SPDX-License-Identifier: MIT
"""Sources exchanged while frames flow: what was chosen comes, what fails falls back, numbers go on."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Self

import numpy as np
import pytest
from waiting import HANG_S, wait_until
from web_stage import serve

from face.errors import CameraUnavailable, WrongUse
from face.frame import Frame
from realtime.web.switch import SourceSwitch


class Tinted:
    """A source of even pictures of one grey level; raises at frame `dies_at`, ends after `frames`."""

    live = True
    fps = 100.0

    def __init__(self, level: int, *, dies_at: int = -1, frames: int = 10**9, opens: bool = True) -> None:
        self._level, self._dies_at, self._frames, self._opens = level, dies_at, frames, opens
        self.opened = 0
        self.closed = 0
        self._open = False

    def __enter__(self) -> Self:
        if not self._opens:
            raise CameraUnavailable("camera 0 is taken by another program; close it")
        self.opened += 1
        self._open = True
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.closed += 1
        self._open = False

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self._frames):
            if not self._open:
                return
            if index == self._dies_at:
                raise CameraUnavailable("camera 0 was unplugged; plug it in again")
            time.sleep(0.01)
            yield Frame(np.full((4, 4, 3), self._level, np.uint8), time.perf_counter(), index)


class Run:
    """Iterates a switch in a thread; what it saw."""

    def __init__(self, switch: SourceSwitch) -> None:
        self.switch = switch
        self.levels: list[int] = []
        self.indices: list[int] = []
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self.switch.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.switch.close()
        self._thread.join(HANG_S)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        try:
            for frame in self.switch:
                self.levels.append(int(frame.image[0, 0, 0]))
                self.indices.append(frame.index)
        except CameraUnavailable as error:
            self.error = error

    def shows(self, level: int) -> bool:
        return bool(self.levels) and self.levels[-1] == level


def openers(**sources: Tinted) -> dict[str, Callable[[], Tinted]]:
    return {name: lambda source=source: source for name, source in sources.items()}  # type: ignore[misc]


def test_the_chosen_source_comes_and_the_other_is_closed() -> None:
    browser, camera = Tinted(10), Tinted(20)
    switch = SourceSwitch(openers(browser=browser, camera=camera))
    with Run(switch) as run:
        assert wait_until(lambda: run.shows(10))
        switch.choose("camera")
        assert switch.chosen == "camera" and switch.names == ("browser", "camera")
        assert wait_until(lambda: run.shows(20)) and browser.closed == 1
        switch.choose("browser")
        assert wait_until(lambda: run.shows(10)) and camera.closed == 1
    assert (browser.opened, camera.opened) == (2, 1)
    assert run.indices == sorted(set(run.indices))  # numbers go on over a change


@pytest.mark.parametrize(
    ("camera", "why"),
    [
        (Tinted(20, opens=False), "taken"),
        (Tinted(20, dies_at=5), "unplugged"),
        (Tinted(20, frames=5), "ended"),
    ],
    ids=["cannot be opened", "dies", "ends"],
)
def test_a_source_that_fails_gives_way_to_the_first_and_says_why(camera: Tinted, why: str) -> None:
    switch = SourceSwitch(openers(browser=Tinted(10), camera=camera), chosen="camera")
    with Run(switch) as run:
        assert wait_until(lambda: run.shows(10))
        number, line = switch.message
        assert number == 1 and why in line and "\n" not in line
        assert switch.chosen == "browser"


@pytest.mark.parametrize(
    "error", [OSError(19, "No such device"), ValueError("a decoder's own"), MemoryError()]
)
def test_a_source_that_fails_oddly_gives_way_too(error: Exception) -> None:
    class Odd(Tinted):
        def __iter__(self) -> Iterator[Frame]:
            raise error

    switch = SourceSwitch(openers(browser=Tinted(10), camera=Odd(20)), chosen="camera")
    with Run(switch) as run:
        assert wait_until(lambda: run.shows(10))
        assert type(error).__name__ in switch.message[1]


def test_the_first_sources_failure_is_the_lines_failure() -> None:
    with Run(SourceSwitch(openers(camera=Tinted(10, dies_at=3)))) as run:
        assert wait_until(lambda: run.error is not None)
    assert "unplugged" in str(run.error)


def test_the_first_sources_end_is_the_lines_end() -> None:
    with Run(SourceSwitch(openers(clip=Tinted(10, frames=3)))) as run:
        assert wait_until(lambda: len(run.levels) == 3)
        run._thread.join(HANG_S)
        assert not run._thread.is_alive()


def test_a_stranger_is_wrong_use() -> None:
    switch = SourceSwitch(openers(browser=Tinted(10)))
    with pytest.raises(WrongUse, match="expected one of: browser"):
        switch.choose("webcam")
    with pytest.raises(ValueError):
        SourceSwitch({})


def test_the_page_chooses_the_source() -> None:
    second = Tinted(20)
    with serve(
        sources=lambda camera: SourceSwitch({"browser": lambda: camera, "0": lambda: second})
    ) as stage:
        switch = stage.server._sources
        assert switch is not None
        with Run(switch) as run, stage.socket("/control") as control:
            state = json.loads(control.recv(timeout=HANG_S))["state"]
            assert state["sources"] == ["browser", "0"] and state["source"] == "browser"
            control.send('{"do": "source", "value": "0"}')
            assert wait_until(lambda: run.shows(20))
