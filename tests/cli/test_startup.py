# SPDX-License-Identifier: MIT
"""What can be refused is refused before anything long begins; what takes long says so first."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from realtime.cli import main
from realtime.offline.builtin import portrait_path

LONG = ("mediapipe", "numba", "torch", "uvicorn", "realtime.tracker.face_tracker", "methods.mesh.puppet")
PROGRAM = """
import sys
from realtime.cli import main
status = main(sys.argv[1:])
print(status, *(name for name in {long} if name in sys.modules))
"""


@pytest.fixture
def taken() -> Iterator[int]:
    """The port of a program that listens on loopback."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def refused(*arguments: str, folder: Path) -> tuple[int, str, list[str]]:
    """Status, standard error and which of LONG was loaded, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(long=LONG), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    status, *loaded = done.stdout.split()
    return int(status), done.stderr, loaded


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["run", "nobody.jpg", "--sink", "null"], 2, "nobody.jpg does not exist"),
        (["run", "--camera", "clip.mp4", "--sink", "null"], 2, "clip.mp4 does not exist"),
        (["run", "--camera", "browser", "--sink", "null"], 2, "--camera browser needs the page"),
        (["run", "--sink", "foo", "--camera", "testcard"], 2, "or web"),
        (["web", "--host", "0.0.0.0"], 2, "--allow-remote"),
        (["web", "--port", "{taken}"], 1, "taken by another program"),
        (
            ["run", "--sink", "web", "--camera", "testcard", "--port", "{taken}"],
            1,
            "taken by another program",
        ),
        (["render", "nobody.jpg", "clip.mp4", "out.mp4"], 2, "nobody.jpg does not exist"),
        (["demo", "--out", "nowhere/demo.mp4"], 1, "there is no folder nowhere"),
        (["bench", "clip.mp4"], 2, "clip.mp4 does not exist"),
        (["export", "nothing.pt", "--out", "model"], 1, "cannot read nothing.pt"),
        (["export", "text.pt", "--out", "model"], 1, "text.pt: it starts with"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_a_wrong_wish_is_refused_before_anything_long_is_loaded(
    arguments: list[str], status: int, told: str, taken: int, tmp_path: Path
) -> None:
    (tmp_path / "text.pt").write_text("no checkpoint at all")
    found, said, loaded = refused(*(word.format(taken=taken) for word in arguments), folder=tmp_path)
    assert (found, loaded) == (status, [])
    assert said.count("\n") == 1 and told in said


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such rights")
def test_a_folder_that_is_not_ours_is_refused_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write everywhere
    for flags in (["--record", str(tmp_path / "a.mp4")], ["--sink", f"file:{tmp_path / 'a.mp4'}"]):
        assert main(["run", "--camera", "testcard", "--sink", "null", *flags]) == 1
        assert "is not yours" in capsys.readouterr().err


def test_what_is_opened_is_said_before_it_is_loaded(tmp_path: Path) -> None:
    """The line is there when the first long module is asked for."""
    program = (
        "import builtins, sys\n"
        "load = builtins.__import__\n"
        "def stop(name, *rest, **more):\n"
        "    if name.partition('.')[0] in ('mediapipe', 'numba'): raise SystemExit(7)\n"
        "    return load(name, *rest, **more)\n"
        "builtins.__import__ = stop\n"
        "from realtime.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    photo = str(portrait_path())
    for arguments, line in (
        (
            ["run", photo, "--camera", "testcard", "--sink", "null"],
            "opening testcard, preparing astronaut.png",
        ),
        (["web", photo, "--port", "0"], "opening the page, preparing astronaut.png"),
        (["bench"], "preparing the built-in portrait"),
        (["demo", "--out", str(tmp_path / "a.mp4")], "preparing the portrait"),
        (["render", photo, photo, str(tmp_path / "a.mp4")], "preparing astronaut.png"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=120
        )
        assert (done.returncode, done.stderr) == (7, line + "\n"), arguments


def test_a_window_shows_what_is_prepared_before_there_is_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the portrait is there its window carries the line; the portrait is what fails here."""
    shown: list[np.ndarray] = []
    monkeypatch.setattr("realtime.sinks.window._require_display", lambda: None)
    for name in ("namedWindow", "resizeWindow", "destroyWindow", "waitKey"):
        monkeypatch.setattr(cv2, name, lambda *arguments: None)
    monkeypatch.setattr(cv2, "waitKeyEx", lambda wait_ms: -1)
    monkeypatch.setattr(cv2, "getWindowProperty", lambda *arguments: 1.0)
    monkeypatch.setattr(cv2, "imshow", lambda title, image: shown.append(image.copy()))
    assert main(["run", __file__, "--camera", "testcard"]) == 1, "this file is no photo"
    assert len(shown) == 1 and shown[0].max() > 200 > 100 > shown[0].mean()
