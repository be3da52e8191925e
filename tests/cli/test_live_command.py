# SPDX-License-Identifier: MIT
"""The live commands as a user runs them: a process of its own, real parts, ended by time or by Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from realtime.cli import main
from realtime.offline.builtin import portrait_path
from realtime.sources import open_source

PROGRAM = (sys.executable, "-c", "import sys; from realtime.cli import main; sys.exit(main())")
LEAVES_WITHIN_S = 1.0
STARTS_WITHIN_S = 60.0


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


def interrupt(process: "subprocess.Popen[str]", number: int = signal.SIGINT) -> tuple[int, float, str]:
    """Send the signal; status, seconds until the process was gone, standard output."""
    began_s = time.perf_counter()
    process.send_signal(number)
    status = process.wait(20)
    took_s = time.perf_counter() - began_s
    assert process.stdout is not None
    return status, took_s, process.stdout.read()


def test_a_run_ends_by_itself_and_its_last_line_is_json(
    driver_clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "kept.mp4"
    arguments = ["run", str(portrait_path()), "--camera", str(driver_clip), "--loop", "--seconds", "2"]
    options = ["--sink", "null", "--record", str(record), "--portrait-size", "192", "--badge", "--json"]
    assert main([*arguments, *options]) == 0
    captured = capsys.readouterr()
    values = json.loads(captured.out.splitlines()[-1])
    assert values["delivered"] > 20 and 10 < values["fps"] < 35
    assert set(values["stages"]) == {"source", "tracker", "puppet", "sink"}
    assert values["captured"] >= values["delivered"] + values["dropped"]
    assert 0 < values["latency"]["p50_ms"] <= values["latency"]["p95_ms"]
    assert "capture to sink" in captured.out, "a table of percentiles a stage"
    assert "frames in" in captured.err, "and the outcome in one sentence"
    with open_source(str(record), live=False) as source:
        assert sum(1 for _ in source) >= values["delivered"] - 30


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send to one process")
def test_ctrl_c_ends_a_page_run_within_a_second_with_status_0(driver_clip: Path, tmp_path: Path) -> None:
    record = tmp_path / "kept.mp4"
    arguments = ("web", "--camera", str(driver_clip), "--loop", "--port", "0", "--portrait-size", "192")
    with started(*arguments, "--record", str(record), "--json", ready="Bare picture") as process:
        address = next(
            line.split()[-1]
            for line in process.heard  # type: ignore[attr-defined]
            if line.startswith("Control page")
        )
        with urllib.request.urlopen(address, timeout=10) as page:
            assert page.status == 200 and b"facepuppet" in page.read()
        time.sleep(1.0)
        status, took_s, out = interrupt(process)
    assert status == 0
    assert took_s < LEAVES_WITHIN_S + 0.5, "half a second more for a machine that is busy with other tests"
    assert json.loads(out.splitlines()[-1])["delivered"] > 0
    with open_source(str(record), live=False) as source:
        assert sum(1 for _ in source) > 0, "what was recorded plays"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send to one process")
def test_an_interrupted_render_leaves_nothing_and_ends_with_130(driver_clip: Path, tmp_path: Path) -> None:
    """SIGTERM, which a service manager sends, means the same as Ctrl-C."""
    out = tmp_path / "out.mp4"
    arguments = ("render", str(portrait_path()), str(driver_clip), str(out), "--portrait-size", "512")
    process = subprocess.Popen(
        [*PROGRAM, *arguments], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    ends_s = time.perf_counter() + STARTS_WITHIN_S
    while not list(tmp_path.glob("*.mp4")) and not list(tmp_path.glob(".*.mp4")):
        assert process.poll() is None and time.perf_counter() < ends_s, "it never began to draw"
        time.sleep(0.01)
    process.terminate()
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert [path for path in tmp_path.iterdir() if path.is_file()] == []
