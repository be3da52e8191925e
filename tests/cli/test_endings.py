# SPDX-License-Identifier: MIT
"""Whatever signal ends the program, it ends as by Ctrl-C: what is open is closed, what is half made goes."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn

import numpy as np
import pytest
from waiting import STUCK_S

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


RESULTS = {
    "a line": "from realtime.console import last_line; last_line({'delivered': 3})",
    "more than a buffer": "from realtime.console import put_out; put_out('0123456789' * 10_000)",
    "a table": "from realtime.console import show_table; show_table(['stage', 'ms'], [['sink', '3']])",
}


def ended(result: str, out: int) -> tuple[int, str]:
    """How a program that shows a result there ends, and the last line it says."""
    program = f"""
import sys
from face.errors import SinkUnavailable
try:
    {RESULTS[result]}
except SinkUnavailable as error:
    sys.exit(str(error))
"""
    try:
        run = subprocess.run(
            [sys.executable, "-c", program], stdout=out, stderr=subprocess.PIPE, text=True, timeout=STUCK_S
        )
    finally:
        os.close(out)
    return run.returncode, run.stderr.strip()


@pytest.mark.parametrize("result", RESULTS)
def test_a_result_that_nobody_can_read_is_no_error(result: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    assert ended(result, writing) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full")
@pytest.mark.parametrize("result", RESULTS)
def test_a_result_that_finds_no_room_is_an_error_of_one_line(result: str) -> None:
    status, line = ended(result, os.open("/dev/full", os.O_WRONLY))
    assert status == 1 and line.startswith("standard output takes nothing more (No space")
    assert "\n" not in line
