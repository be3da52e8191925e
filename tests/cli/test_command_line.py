# SPDX-License-Identifier: MIT
"""Exit statuses and errors: one line a user can act on, a trace only for a bug."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from face.errors import WrongUse
from realtime import cli
from realtime.cli import COMMANDS, main
from realtime.commands import run as cli_run
from realtime.commands.parsing import help_of
from realtime.options import parse_size

WRONG_USES = {
    "no such command": ["rum"],
    "no such flag": ["run", "--sinkk", "null"],
    "value of a wrong kind": ["run", "--fps", "fast"],
    "value out of range": ["run", "--smoothing", "3"],
    "a number that is none": ["run", "--fps", "nan"],
    "no value": ["run", "--fps"],
    "a value for a switch": ["run", "--loop=yes"],
    "one argument too many": ["render", "a.jpg", "b.mp4", "c.mp4", "d.mp4"],
    "no such short flag": ["run", "-z"],
    "two flags begin like this": ["run", "--camera-", "3"],
    "no such command of a family": ["models", "lst"],
    "method that is not there yet": ["run", "--method", "landmarks"],
    "no such choice": ["run", "--fit", "stretch"],
    "no such method": ["run", "--method", "magic"],
    "engine for a method without one": ["run", "--engine", "onnx"],
    "model for a method without one": ["run", "--model", "folder"],
    "size that is none": ["run", "--sink", "null", "--size", "big"],
    "camera size that is none": ["run", "--sink", "null", "--camera-size", "640"],
    "no such sink": ["run", "--sink", "nail", "--camera", "testcard"],
    "file sink without a name": ["run", "--sink", "file", "--camera", "testcard"],
    "record of a wrong kind": ["run", "--sink", "null", "--record", "out.gif", "--camera", "testcard"],
    "portrait that is not there": ["run", "nobody.jpg", "--sink", "null", "--camera", "testcard"],
    "video that is not there": ["run", "--camera", "clip.mp4", "--sink", "null"],
    "browser camera without a page": ["run", "--camera", "browser", "--sink", "null"],
    "render without its arguments": ["render", "a.jpg"],
    "render of nothing": ["render", "a.jpg", "b.mp4", "c.mp4"],
    "demo of no length": ["demo", "--seconds", "0"],
    "demo of a wrong kind": ["demo", "--out", "demo.avi"],
    "bench of nothing": ["bench", "clip.mp4"],
    "page for everyone": ["web", "--host", "0.0.0.0", "--camera", "testcard", "--seconds", "0.1"],
    "camera in a picture's place": ["render", "{photo}", "{photo}", "{photo}"],
}
FAILURES = {
    "camera that is not there": ["run", "--camera", "97", "--sink", "null"],
    "no folder for the output": ["demo", "--out", "nowhere/demo.mp4"],
    "output that is a folder": ["demo", "--out", "{folder}"],
    "portrait that is text": ["run", "{text}", "--sink", "null", "--camera", "testcard"],
    "portrait without a face": ["run", "{blank}", "--sink", "null", "--camera", "testcard"],
    "report into nowhere": ["bench", "--report", "nowhere/bench.html"],
}


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Files that a command line may name, in a folder of their own that is the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISPLAY", raising=False)
    Image.new("RGB", (64, 64), (90, 120, 150)).save("blank.png")
    Path("text.jpg").write_text("this is no picture")
    Path("folder.mp4").mkdir()
    photo = tmp_path / "photo.mp4"
    photo.write_bytes(b"")
    return {"photo": str(photo), "folder": "folder.mp4", "text": "text.jpg", "blank": "blank.png"}


def told(arguments: list[str], places: dict[str, str], capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    status = main([argument.format(**places) for argument in arguments])
    captured = capfd.readouterr()
    assert captured.out == ""
    return status, captured.err


@pytest.mark.parametrize("arguments", WRONG_USES.values(), ids=WRONG_USES)
def test_wrong_use_is_one_line_and_status_2(
    arguments: list[str], places: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    status, line = told(arguments, places, capfd)
    assert status == 2
    assert line.startswith("facepuppet: ") and line.endswith("\n") and line.count("\n") == 1
    assert ";" in line, "found and expected are followed by what to do"


@pytest.mark.parametrize("arguments", FAILURES.values(), ids=FAILURES)
def test_failure_at_work_is_one_line_and_status_1(
    arguments: list[str], places: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    before = sorted(Path().iterdir())
    status, line = told(arguments, places, capfd)
    assert status == 1
    assert line.startswith("facepuppet: ") and line.count("\n") == 1
    assert ";" in line
    assert sorted(Path().iterdir()) == before, "nothing half-written is left"


def test_a_wrong_flag_names_the_command_and_the_nearest_flag(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--camra", "0"]) == 2
    line = capfd.readouterr().err
    assert "--camra" in line and "--camera" in line and "facepuppet run --help" in line


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["run", "--posegain", "1"], "did you mean --pose-gain?"),
        (["rum"], "did you mean run?"),
        (["models", "lst"], "did you mean list?"),
        (["run", "--sink", "foo", "--camera", "testcard"], "web"),
        (["run", "--method", "motion"], "method motion is not there yet, expected one of mesh, directions"),
        (
            ["enroll", "me.jpg", "--out", "me", "--limit", "60"],
            "--limit is gone; an enrolment takes its --steps",
        ),
        (["run", "--smoothing", "3"], "--smoothing is '3', expected a number from 0 to 2"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_word_is_answered_with_what_was_meant(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert named in capsys.readouterr().err


def test_a_bug_keeps_its_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(opening: object, steps: object, json_line: bool) -> int:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(cli_run, "_perform", broken)
    with pytest.raises(ZeroDivisionError):
        main(["run", "--sink", "null"])


def test_an_error_of_several_lines_is_told_in_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong(opening: object, steps: object, json_line: bool) -> int:
        raise WrongUse("found this,\n  expected that;\n do it")

    monkeypatch.setattr(cli_run, "_perform", wrong)
    assert main(["run", "--sink", "null"]) == 2
    assert capsys.readouterr().err == "facepuppet: found this, expected that; do it\n"


def test_interrupted_offline_work_ends_with_130(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupted(*arguments: object, **settings: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("realtime.offline.demo.demonstrate", interrupted)
    assert main(["demo", "--out", str(tmp_path / "demo.mp4")]) == cli.INTERRUPTED


@pytest.mark.parametrize("name", COMMANDS)
def test_help_explains_every_flag_and_gives_an_example(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*name.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"Example: facepuppet {name}" in " ".join(shown.split())
    assert COMMANDS[name].perform.__doc__
    assert all(len(line) <= 80 for line in shown.splitlines())
    words = set(shown.split())
    for flag in COMMANDS[name].flags:
        assert set(help_of(flag.option).split()) <= words | {f"{word};" for word in words}, (
            "no word is broken"
        )
        assert flag.option.place or f"--{flag.key}" in {word.rstrip(",") for word in words}


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["models", "--help"], ["train", "-h"]], ids=str)
def test_help_lists_the_commands_without_loading_what_they_run(arguments: list[str]) -> None:
    program = (
        f"import sys, realtime.cli; realtime.cli.main({arguments}); print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert "Usage: facepuppet" in done.stdout
    assert not set(done.stderr.split()) & {"numpy", "cv2", "av", "rich", "mediapipe"}


def test_the_bare_command_shows_the_help_and_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    captured = capsys.readouterr()
    assert "Usage: facepuppet" in captured.out
    assert captured.err == ""


def test_the_version_names_what_comes_along(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    shown = capsys.readouterr().out
    for part in ("facepuppet", "MIT", "Apache-2.0", "GPL-2.0"):
        assert part in shown


@pytest.mark.parametrize("text", ["1280x720", " 1280 x 720 ", "1280×720", "1280,720"])
def test_sizes_may_be_written_as_people_write_them(text: str) -> None:
    assert parse_size(text) == (1280, 720)


@pytest.mark.parametrize("text", ["", "1280", "0x720", "-1x5", "axb", "1280x720x3", "123456x1"])
def test_what_is_no_size_is_none(text: str) -> None:
    with pytest.raises(ValueError):
        parse_size(text)


def test_the_installed_command_answers() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from realtime.cli import main; sys.exit(main())",
            "devices",
            "--json",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "COLUMNS": "100"},
    )
    assert done.returncode == 0, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert {"cameras", "virtual cameras"} <= {finding["subject"] for finding in last["findings"]}
