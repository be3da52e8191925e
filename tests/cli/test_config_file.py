# SPDX-License-Identifier: MIT
"""The settings file mirrors every flag, refuses strangers by name, and yields to the command line."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from face.errors import WrongUse
from realtime.cli import COMMANDS, _users_file, main
from realtime.commands import run as cli_run
from realtime.commands.parsing import Flag, parse, read_config, sample_config
from realtime.options import NUMBER, REQUIRED, SIZE, SWITCH, WHOLE, Live

NOT_SETTINGS = {"config", "json", "help"}
NO_FILE = Path("there is none.toml")


def written(folder: Path, text: str) -> Path:
    path = folder / "settings.toml"
    path.write_text(text, encoding="utf-8")
    return path


def table_of(name: str, sample: str) -> str:
    return sample.partition(f"[{name.replace(' ', '.')}]\n")[2].partition("\n[")[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_flag_that_help_shows_is_in_the_sample(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*name.split(), "--help"]) == 0
    shown = set(re.findall(r"^  (?:-\w, )?--([a-z-]+)", capsys.readouterr().out, re.MULTILINE)) - NOT_SETTINGS
    table = table_of(name, sample_config(COMMANDS))
    assert shown - ({"out"} if name == "config" else set()) == set(
        re.findall(r"^(?:# )?([a-z-]+) = ", table, re.M)
    )
    assert shown >= {"log-level"}


def required(name: str) -> list[str]:
    """The fewest words that the command is content with."""
    flags = [flag for flag in COMMANDS[name].flags if flag.default is REQUIRED]
    return ["needed" if flag.option.place else f"--{flag.key}=needed" for flag in flags]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_sample_reads_back_as_the_defaults(tmp_path: Path, name: str) -> None:
    """Whatever a command is told by the sample, it would have done without it."""
    path = written(tmp_path, sample_config(COMMANDS))
    plain = parse(name, COMMANDS, required(name), lambda: NO_FILE)
    assert parse(name, COMMANDS, required(name), lambda: path) == plain


@pytest.mark.parametrize("name", COMMANDS)
def test_the_sample_with_its_comments_lifted_is_read_too(tmp_path: Path, name: str) -> None:
    lines = [
        line.removeprefix("# ") if " = " in line else line for line in sample_config(COMMANDS).splitlines()
    ]
    values = read_config(written(tmp_path, "\n".join(lines)), COMMANDS)
    assert set(values[name]) == set(COMMANDS[name].settings)


def another_value(flag: Flag) -> str | int | float | bool:
    """One that the flag may have and that is not its default."""
    option = flag.option
    if option.choices:
        return option.allowed[-1]
    if option.kind is SWITCH:
        return not flag.default
    if option.kind in (NUMBER, WHOLE):
        low = max(option.low, 0)
        return low + 1 if flag.default != low + 1 else low
    return "77x33" if option.kind is SIZE else "another"


@pytest.mark.parametrize(
    ("name", "key"), [(name, key) for name in COMMANDS for key in COMMANDS[name].settings]
)
def test_every_setting_and_its_flag_say_the_same(tmp_path: Path, name: str, key: str) -> None:
    flag = COMMANDS[name].settings[key]
    value = another_value(flag)
    path = written(tmp_path, f"[{name.replace(' ', '.')}]\n{key} = {json.dumps(value)}\n")
    word = f"--{key}={value}" if not isinstance(value, bool) else f"--{key if value else flag.off}"
    few = [word for word in required(name) if not word.startswith(f"--{key}=")]
    by_file = parse(name, COMMANDS, few, lambda: path)
    assert by_file == parse(name, COMMANDS, [*few, word], lambda: NO_FILE)
    assert by_file != parse(name, COMMANDS, required(name), lambda: NO_FILE)


def test_a_key_before_the_tables_is_for_every_command_that_has_it(tmp_path: Path) -> None:
    path = written(tmp_path, 'smoothing = 0.5\nmethod = "mesh"\n[web]\nsmoothing = 2\n')
    values = read_config(path, COMMANDS)
    assert values["run"] == {"smoothing": 0.5, "method": "mesh"}
    assert values["web"] == {"smoothing": 2.0, "method": "mesh"}
    assert "smoothing" not in values["demo"]


def test_what_one_command_calls_size_or_out_does_not_reach_another_kind(tmp_path: Path) -> None:
    """As it was when the file had tables for the commands that play only."""
    values = read_config(written(tmp_path, 'size = "640x480"\nout = "film.mp4"\n'), COMMANDS)
    assert values["run"] == {"size": (640, 480)} and values["demo"] == {"out": Path("film.mp4")}
    assert not values["enroll"] and not values["export"] and not values["models make"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[run]\nsmothing = 1\n", ["'run.smothing'", "'run.smoothing'"]),
        ("[rum]\nfps = 1\n", ["'rum'", "'run'"]),
        ("smothing = 1\n", ["'smothing'", "'smoothing'"]),
        ("[run]\nfps = 'fast'\n", ["run.fps", "'fast'", "expected a number"]),
        ("[run]\nmirror = 1\n", ["run.mirror", "expected true or false"]),
        ("[run]\nport = 1.5\n", ["run.port", "expected a whole number"]),
        ("[run]\ncamera = 0\n", ["run.camera", "expected a text in quotes"]),
        ("[run]\nsink = [1]\n", ["run.sink", "expected a list of texts"]),
        ("[models.made]\nsize = 256\n", ["'models.made'", "'models.make'"]),
        ("models = 1\n", ["'models'"]),
        ("[run]\nsmoothing = 3\n", ["run.smoothing", "3", "from 0 to 2"]),
        ("[run]\nfps = nan\n", ["run.fps", "nan", "from 1 to 240"]),
        ("[run]\nsize = 'big'\n", ["run.size", "'big'", "1280x720"]),
        ("[run]\nfit = 'stretch'\n", ["run.fit", "'stretch'", "letterbox, crop"]),
        ("[run\n", ["is no TOML", "line 1"]),
    ],
)
def test_a_wrong_file_is_one_line_that_names_key_file_and_cure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, told: list[str]
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(WrongUse) as caught:
        read_config(path, COMMANDS)
    line = str(caught.value)
    assert "\n" not in line and str(path) in line
    for part in told:
        assert part in line
    assert main(["run", "--config", str(path), "--sink", "null"]) == 2
    assert capsys.readouterr().err == f"facepuppet: {' '.join(line.split())}\n"


def test_a_missing_file_is_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--config", str(tmp_path / "none.toml")]) == 2
    assert "none.toml cannot be read" in capsys.readouterr().err


def test_flags_beat_the_file_and_the_file_beats_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Live] = []

    def performed(opening: object, steps: object, json_line: bool) -> int:
        return 0

    monkeypatch.setattr(cli_run, "_perform", performed)
    monkeypatch.setattr("realtime.live.opening.open_live", lambda live, puppets: seen.append(live))
    path = written(tmp_path, '[run]\nsmoothing = 0.5\nfps = 25\nsink = ["null", "web"]\nmirror = true\n')
    assert main(["run", "--config", str(path), "--fps", "50", "--no-mirror"]) == 0
    (live,) = seen
    assert live.output.fps == 50.0
    assert live.movement.smoothing == 0.5
    assert live.output.sinks == ("null", "web")
    assert live.movement.mirror is False
    assert live.driver.camera == "0"


def test_the_file_in_the_users_folder_is_read_without_a_flag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable in ("XDG_CONFIG_HOME", "APPDATA", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    path = _users_file()
    assert path.is_relative_to(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text("nonsense = 1\n")
    assert main(["bench"]) == 2
    assert str(path) in capsys.readouterr().err


def test_config_prints_a_file_and_overwrites_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "mine.toml"
    assert main(["config", "--out", str(out)]) == 0
    assert main(["config"]) == 0
    printed = capsys.readouterr().out
    assert printed == out.read_text()
    assert set(tomllib.loads(printed)) == {name.split()[0] for name in COMMANDS}
    assert main(["config", "--out", str(out)]) == 1
    assert "is there already" in capsys.readouterr().err
