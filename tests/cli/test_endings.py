# SPDX-License-Identifier: MIT
"""Whatever signal ends the program, it ends as by Ctrl-C: what is open is closed, what is half made goes."""

import errno
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn

import numpy as np
import pytest

from face.frame import Frame
from realtime.cli import main
from realtime.console import note
from realtime.sinks.file import FileSink

HERE = [name for name in ("SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]
CLOSED = "SIGHUP" if hasattr(signal, "SIGHUP") else "SIGBREAK"


def unheard(number: int, frame: FrameType | None) -> NoReturn:
    raise AssertionError(f"signal {number} would have killed the program")


@pytest.fixture(autouse=True)
def _handlers_as_before() -> Iterator[None]:
    before = {name: signal.signal(getattr(signal, name), unheard) for name in HERE}
    yield
    for name, handler in before.items():
        signal.signal(getattr(signal, name), handler)


def tell(name: str) -> None:
    """Send the signal to this process; its handler runs before the next lines."""
    signal.raise_signal(getattr(signal, name))
    time.sleep(0.001)


def tell_without_effect(name: str) -> None:
    try:
        tell(name)
    except KeyboardInterrupt:
        pytest.fail("interrupted")


@pytest.mark.parametrize("name", HERE)
def test_every_ending_is_an_interrupt(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    with pytest.raises(KeyboardInterrupt):
        tell(name)


def test_a_terminal_that_is_closed_leaves_no_unfinished_file(tmp_path: Path) -> None:
    main(["--version"])
    with pytest.raises(KeyboardInterrupt), FileSink(tmp_path / "out.mp4", live=False) as sink:
        for index in range(3):
            sink(Frame(np.zeros((32, 32, 3), np.uint8), 0.0, index, index / 30))
        assert list(tmp_path.iterdir())
        tell(CLOSED)
    assert list(tmp_path.iterdir()) == []


def test_a_second_word_of_the_closed_terminal_does_not_disturb_the_end(tmp_path: Path) -> None:
    main(["--version"])
    with pytest.raises(KeyboardInterrupt):
        tell(CLOSED)
    tell_without_effect(CLOSED)  # shells pass on what the system says as well


def test_who_was_started_to_outlive_its_terminal_does() -> None:
    signal.signal(getattr(signal, CLOSED), signal.SIG_IGN)  # as nohup does
    main(["--version"])
    tell_without_effect(CLOSED)


def test_a_note_that_nobody_can_read_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        def write(self, text: str) -> NoReturn:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        flush = write

    monkeypatch.setattr(sys, "stderr", Gone())
    note("interrupted")
