# SPDX-License-Identifier: MIT
"""Making things in a process of its own: progress is told, errors are one line, nobody is left behind."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from waiting import HANG_S, STUCK_S, no_hang

from face.errors import PuppetError, WrongUse
from methods import making as workshop
from realtime.cli import main
from realtime.console import PROGRESS_LINES, StepProgress
from realtime.offline.builtin import portrait_path


def a_child(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr(workshop, "CHILD", program)


def test_the_childs_last_line_and_status_become_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    a_child(monkeypatch, "import sys; print('facepuppet: no face found', file=sys.stderr); sys.exit(1)")
    with pytest.raises(PuppetError, match="^no face found$"):
        workshop.perform([], "enrolling")
    a_child(monkeypatch, "import sys; print('facepuppet: no such file', file=sys.stderr); sys.exit(2)")
    with pytest.raises(WrongUse, match="^no such file$"):
        workshop.perform([], "enrolling")
    a_child(monkeypatch, "import sys; sys.exit(3)")
    with pytest.raises(PuppetError, match="enrolling ended with status 3"):
        workshop.perform([], "enrolling")


def test_the_child_is_our_command_line_and_ends_by_itself(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(WrongUse, match="expected ffhq-mobile"):
        workshop.perform(["models", "make", "nothing"], "making")
    workshop.perform(["models", "list"], "listing")
    assert "Fatal" not in capfd.readouterr().err


def test_progress_and_notes_of_the_child_are_told(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    told: list[tuple[str, int, int]] = []
    monkeypatch.setattr(StepProgress, "__call__", lambda self, *given: told.append(given))
    a_child(
        monkeypatch,
        "from realtime.console import note\n"
        "for line in ('@ tuning the head 3/200', '@ nonsense', 'a note'): note(line)",
    )
    workshop.perform([], "enrolling")
    assert told == [("tuning the head", 3, 200)]
    assert capfd.readouterr().err.splitlines() == ["a note"]


def test_a_thread_beside_the_line_is_silent(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    a_child(monkeypatch, "from realtime.console import note\nnote('@ tuning 3/200')\nnote('a note')")
    thread = threading.Thread(target=workshop.perform, args=([], "enrolling"))
    thread.start()
    thread.join(HANG_S)
    assert not thread.is_alive()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("works", "leaves_within_s"),
    [("while True: time.sleep(0.01)", STUCK_S), (f"time.sleep({STUCK_S})", 0.1)],
    ids=["one that leaves", "one that is stuck"],
)
def test_an_interrupted_parent_leaves_no_child(
    works: str, leaves_within_s: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The child writes its number, works, and is gone when whoever started it is."""
    monkeypatch.setattr(workshop, "LEAVES_WITHIN_S", leaves_within_s)
    pid = tmp_path / "pid"
    a_child(
        monkeypatch,
        "import os, sys, time, threading\n"
        "from _thread import interrupt_main\n"
        "threading.Thread(target=lambda: (sys.stdin.buffer.read(), interrupt_main()), daemon=True).start()\n"
        f"open({str(pid)!r}, 'w').write(str(os.getpid()))\n"
        "print('@ tuning 1/2', file=sys.stderr, flush=True)\n"
        f"{works}",
    )

    def interrupt(self: StepProgress, what: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(StepProgress, "__call__", interrupt)
    with no_hang(), pytest.raises(KeyboardInterrupt):
        workshop.perform([], "enrolling")
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_steps_are_told_in_lines_where_a_program_reads(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(PROGRESS_LINES, "lines")
    with StepProgress() as progress:
        progress("refining", 1, 3)
    assert capfd.readouterr().err == "@ refining 1/3\n"


@pytest.mark.parametrize("missing", ["photo.jpg", "folder"])
def test_a_photo_that_is_not_there_is_wrong_use(
    tmp_path: Path, missing: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    monkeypatch.setattr(workshop, "missing_parts", lambda: ())
    (tmp_path / "folder").mkdir()
    out = tmp_path / "me"
    assert main(["enroll", str(tmp_path / missing), "--out", str(out)]) in (1, 2)
    line = capfd.readouterr().err
    assert line.count("facepuppet: ") == 1 and missing in line
    assert not out.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send to one process")
@pytest.mark.skipif(bool(workshop.missing_parts()), reason="the extra [ffhq] is not installed")
@pytest.mark.skipif(
    not (workshop.weights_folder() / "directions.safetensors").is_file(),
    reason="the directions' weights are not in this checkout",
)
def test_an_interrupted_enrolment_leaves_nothing_and_ends_with_130(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; from realtime.cli import main; sys.exit(main())"]
        + ["enroll", str(portrait_path()), "--out", str(place / "deep" / "me")],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, PROGRESS_LINES: "lines"},
    )
    assert process.stderr is not None
    with process, process.stderr as lines:
        for line in lines:
            if line.startswith("@ refining 0/"):
                process.send_signal(signal.SIGINT)
                break
        lines.read()
        assert process.wait(HANG_S) == 130
    assert not list(place.iterdir())
