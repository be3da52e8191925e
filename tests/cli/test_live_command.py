# SPDX-License-Identifier: MIT
"""The live commands as a user runs them: a process of its own, real parts, ended by time or by Ctrl-C."""

import json
import os
import select
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
from waiting import HANG_S, STUCK_S, wait_until

from realtime.cli import main
from realtime.offline.builtin import portrait_path
from realtime.sources import open_source

PROGRAM = (sys.executable, "-c", "import sys; from realtime.cli import main; sys.exit(main())")
STUCK_PROGRAM = f"""
import sys, time
from realtime.cli import main
from realtime.sinks.file import FileSink

write = FileSink.__call__

def stuck(sink, frame):
    write(sink, frame)
    time.sleep({STUCK_S})

FileSink.__call__ = stuck
sys.exit(main())
"""  # writes one picture and gets no further
IN_A_TERMINAL = f"""
import fcntl, signal, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # closing it is told to us
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whatever the tests were started by
{PROGRAM[-1]}
"""
STARTS_WITHIN_S = STUCK_S  # imports, models and all


@contextmanager
def started(*arguments: str, ready: str) -> Iterator[subprocess.Popen[str]]:
    """A command under way, after it said `ready` on standard error."""
    process = subprocess.Popen(
        [*PROGRAM, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "120"},
    )
    said, heard = Event(), list[str]()

    def listen() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            heard.append(line)
            if ready in line:
                said.set()

    listener = Thread(target=listen, daemon=True)
    listener.start()
    process.heard = heard  # type: ignore[attr-defined]
    try:
        assert said.wait(STARTS_WITHIN_S), f"it never said {ready!r} but {heard}"
        yield process
    finally:
        process.kill()
        process.wait()
        listener.join(5)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def interrupt(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Send Ctrl-C's signal; status and standard output."""
    process.send_signal(signal.SIGINT)
    status = process.wait(HANG_S)
    assert process.stdout is not None
    return status, process.stdout.read()


def test_a_run_ends_by_itself_and_its_last_line_is_json(
    driver_clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "kept.mp4"
    arguments = ["run", str(portrait_path()), "--camera", str(driver_clip), "--loop", "--seconds", "1.5"]
    options = ["--sink", "null", "--record", str(record), "--portrait-size", "192", "--badge", "--json"]
    assert main([*arguments, *options]) == 0
    captured = capsys.readouterr()
    values = json.loads(captured.out.splitlines()[-1])
    assert values["delivered"] > 0 and values["fps"] > 0, "how many is the machine's affair"
    assert set(values["stages"]) == {"source", "tracker", "puppet", "sink"}
    assert values["captured"] >= values["delivered"] + values["dropped"]
    assert 0 < values["latency"]["p50_ms"] <= values["latency"]["p95_ms"]
    assert "capture to sink" in captured.out, "a table of percentiles a stage"
    assert "frames in" in captured.err, "and the outcome in one sentence"
    with open_source(str(record), live=False) as source:
        assert 0 < sum(1 for _ in source) <= values["delivered"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send to one process")
def test_ctrl_c_ends_a_page_run_with_status_0(driver_clip: Path, tmp_path: Path) -> None:
    record = tmp_path / "kept.mp4"
    arguments = ("web", "--camera", str(driver_clip), "--loop", "--port", "0", "--portrait-size", "192")
    with started(*arguments, "--record", str(record), "--json", ready="Bare picture") as process:
        address = next(
            line.split()[-1]
            for line in process.heard  # type: ignore[attr-defined]
            if line.startswith("Control page")
        )
        with urllib.request.urlopen(address, timeout=HANG_S) as page:
            assert page.status == 200 and b"facepuppet" in page.read()
        assert wait_until(lambda: record.is_file() and record.stat().st_size), "nothing is recorded"
        status, out = interrupt(process)
    assert status == 0
    assert json.loads(out.splitlines()[-1])["delivered"] > 0
    with open_source(str(record), live=False) as source:
        assert sum(1 for _ in source) > 0, "what was recorded plays"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
def test_a_run_whose_terminal_is_closed_keeps_its_recording_and_ends_as_a_success(tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    record, (window, terminal) = tmp_path / "kept.mp4", pty.openpty()
    arguments = ("run", "--camera", "testcard", "--sink", "null", "--portrait-size", "192", "--json")
    process = subprocess.Popen(
        [sys.executable, "-c", IN_A_TERMINAL, *arguments, "--record", str(record)],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)

    def records() -> bool:
        while select.select([window], [], [], 0.0)[0]:  # as a window does: what it does not read stops us
            os.read(window, 65536)
        return record.is_file() and record.stat().st_size > 0

    try:
        assert wait_until(records, STARTS_WITHIN_S)
        os.close(window)
        assert process.wait(HANG_S) == 0
    finally:
        process.kill()
        process.wait()
    with open_source(str(record), live=False) as source:
        assert sum(1 for _ in source) > 0
    assert [path for path in tmp_path.iterdir() if path.is_file()] == [record]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send to one process")
def test_an_interrupted_render_leaves_nothing_and_ends_with_130(driver_clip: Path, tmp_path: Path) -> None:
    """SIGTERM, which a service manager sends, means the same as Ctrl-C."""
    out = tmp_path / "out.mp4"
    program = (
        sys.executable,
        "-c",
        STUCK_PROGRAM,
        "render",
        str(portrait_path()),
        str(driver_clip),
        str(out),
    )
    process = subprocess.Popen(
        [*program, "--portrait-size", "192", "--no-refine"],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert wait_until(lambda: any(tmp_path.glob("*.mp4")), STARTS_WITHIN_S), "it never began to draw"
        process.terminate()
        _, said = process.communicate(timeout=HANG_S)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in said
    assert [path for path in tmp_path.iterdir() if path.is_file()] == []
