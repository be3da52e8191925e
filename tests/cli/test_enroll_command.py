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

from engines import ffhq_mobile
from face.errors import PuppetError, WrongUse
from methods import making
from methods.method import Opening
from realtime.cli import main
from realtime.console import tell
from realtime.offline.builtin import portrait_path


def a_child(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr(making, "CHILD", ("-c", program))


class Heard:
    """What an opening was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.steps: list[tuple[str, int, int]] = []

    @property
    def opening(self) -> Opening:
        return Opening(tell=self.lines.append, on_step=lambda *step: self.steps.append(step))


def test_the_childs_last_line_and_status_become_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    a_child(monkeypatch, "import sys; print('facepuppet: no face found', file=sys.stderr); sys.exit(1)")
    with pytest.raises(PuppetError, match="^no face found$"):
        making.perform([], "enrolling", Opening())
    a_child(monkeypatch, "import sys; print('facepuppet: no such file', file=sys.stderr); sys.exit(2)")
    with pytest.raises(WrongUse, match="^no such file$"):
        making.perform([], "enrolling", Opening())
    a_child(monkeypatch, "import sys; sys.exit(3)")
    with pytest.raises(PuppetError, match="enrolling ended with status 3"):
        making.perform([], "enrolling", Opening())


def test_the_child_makes_identities_and_ends_by_itself(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    heard = Heard()
    with pytest.raises(WrongUse, match=r"nobody\.jpg does not exist"):
        making.perform(["identity", "nobody.jpg", "--out", str(tmp_path / "me")], "enrolling", heard.opening)
    assert not heard.lines, "its last word is the error and nothing else"


def test_progress_and_notes_of_the_child_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    a_child(
        monkeypatch,
        "import sys\n"
        "for line in ('@ tuning the head 3/200', '@ nonsense', 'a note'): print(line, file=sys.stderr)",
    )
    heard = Heard()
    making.perform([], "enrolling", heard.opening)
    assert heard.steps == [("tuning the head", 3, 200)] and heard.lines == ["a note"]


def test_a_thread_beside_the_line_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    thread = threading.Thread(target=tell, args=("a note",))
    thread.start()
    thread.join(HANG_S)
    assert not thread.is_alive()
    assert capfd.readouterr().err == ""
    tell("a note")
    assert capfd.readouterr().err == "a note\n"


@pytest.mark.parametrize(
    ("works", "leaves_within_s"),
    [("while True: time.sleep(0.01)", STUCK_S), (f"time.sleep({STUCK_S})", 0.1)],
    ids=["one that leaves", "one that is stuck"],
)
def test_an_interrupted_parent_leaves_no_child(
    works: str, leaves_within_s: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The child writes its number, works, and is gone when whoever started it is."""
    monkeypatch.setattr(making, "LEAVES_WITHIN_S", leaves_within_s)
    pid = tmp_path / "pid"
    a_child(
        monkeypatch,
        "import os, sys, time, threading\n"
        "from methods.making import _leave_with_parent\n"
        "threading.Thread(target=_leave_with_parent, daemon=True).start()\n"
        f"open({str(pid)!r}, 'w').write(str(os.getpid()))\n"
        "print('@ tuning 1/2', file=sys.stderr, flush=True)\n"
        f"{works}",
    )

    def interrupt(what: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with no_hang(), pytest.raises(KeyboardInterrupt):
        making.perform([], "enrolling", Opening(on_step=interrupt))
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


@pytest.mark.parametrize("missing", ["photo.jpg", "folder"])
def test_a_photo_that_is_not_there_is_wrong_use(
    tmp_path: Path, missing: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    monkeypatch.setattr(ffhq_mobile, "missing_parts", lambda: ())
    (tmp_path / "folder").mkdir()
    out = tmp_path / "me"
    assert main(["enroll", str(tmp_path / missing), "--out", str(out)]) in (1, 2)
    line = capfd.readouterr().err
    assert line.count("facepuppet: ") == 1 and missing in line
    assert not out.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send to one process")
@pytest.mark.skipif(bool(ffhq_mobile.missing_parts()), reason="the extra [ffhq] is not installed")
@pytest.mark.skipif(
    not (ffhq_mobile.WEIGHTS / ffhq_mobile.DIRECTIONS).is_file(),
    reason="the directions' weights are not in this checkout",
)
def test_an_interrupted_enrolment_leaves_nothing_and_ends_with_130(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    process = subprocess.Popen(
        [sys.executable, *making.CHILD, "identity", str(portrait_path())]
        + ["--out", str(place / "deep" / "me")],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
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


@pytest.mark.parametrize(
    ("psnr_db", "flags", "status"), [(11.8, [], 1), (11.8, ["--accept"], 0), (27.0, [], 0)]
)
def test_a_face_unlike_its_photo_is_told_with_the_command_that_goes_on(
    psnr_db: float,
    flags: list[str],
    status: int,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    from methods import enrol as enrolment

    monkeypatch.setattr(ffhq_mobile, "missing_parts", lambda: ())
    asked: list[dict[str, object]] = []

    def enrol(photo: Path, out: Path, **given: object) -> enrolment.Enrolled:
        asked.append(given)
        return enrolment.Enrolled(out, 1.0, 20, 40, 0.9, 0.5, 0.05, psnr_db)

    monkeypatch.setattr(enrolment, "enrol", enrol)
    out = tmp_path / "me"
    command = ["enroll", str(portrait_path()), "--out", str(out), "--steps", "40", "--json"]
    assert main([*command, *flags, "--more", "7"]) == status
    told = capfd.readouterr()
    goes_on = f"facepuppet enroll {portrait_path()} --out {out} --size 256 --more 40"
    assert (goes_on in told.err) == (psnr_db < 20) and ("11.8 dB" in told.err) == (psnr_db < 20)
    assert f'"like": {"true" if psnr_db > 20 else "false"}' in told.out
    config = asked[0]["config"]
    assert isinstance(config, enrolment.EnrolConfig) and (config.code_steps, config.tune_steps) == (20, 40)
    assert asked[0]["more"] == 7 and asked[0]["kept_in"] == making.enrolments_folder()
