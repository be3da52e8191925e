# SPDX-License-Identifier: MIT
"""The settings file mirrors every flag, refuses strangers by name, and yields to the command line."""

import tomllib
from dataclasses import asdict
from pathlib import Path

import pytest

from face.errors import WrongUse
from realtime.cli import SETTINGS, main
from realtime.commands import run as cli_run
from realtime.commands.settings import default_path, flags_of, read_config, sample_config
from realtime.live.opening import Driver, Output, Page

TABLES = {name: flags_of(command) for name, command in SETTINGS.items()}
NOT_SETTINGS = {"config", "json", "help"}


def written(folder: Path, text: str) -> Path:
    path = folder / "settings.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", SETTINGS)
def test_every_flag_that_help_shows_is_in_the_sample(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    from typer.main import get_command

    from realtime.cli import app

    command = get_command(app).commands[name]  # type: ignore[attr-defined]
    longs = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
    shown = {long.removeprefix("--") for long in longs} - NOT_SETTINGS
    assert shown == {flag.key for flag in TABLES[name]}
    table = sample_config(TABLES).partition(f"[{name}]\n")[2].partition("\n[")[0]
    for key in shown:
        assert f"{key} = " in table


def test_the_sample_reads_back_as_the_defaults(tmp_path: Path) -> None:
    values = read_config(written(tmp_path, sample_config(TABLES)), TABLES)
    for name, flags in TABLES.items():
        defaults = {flag.parameter: flag.default for flag in flags if flag.default is not None}
        assert values[name] == defaults


def test_the_sample_with_its_comments_lifted_is_read_too(tmp_path: Path) -> None:
    lines = [
        line.removeprefix("# ") if " = " in line else line for line in sample_config(TABLES).splitlines()
    ]
    values = read_config(written(tmp_path, "\n".join(lines)), TABLES)
    assert all(set(values[name]) == {flag.parameter for flag in flags} for name, flags in TABLES.items())


def test_every_setting_round_trips(tmp_path: Path) -> None:
    others = {bool: "true", int: "77", float: "1.25", str: '"text"', list: '["null", "web"]'}
    wanted = {bool: True, int: 77, float: 1.25, str: "text", list: ["null", "web"]}
    for flag in TABLES["run"]:
        value = f'"{flag.choices[-1]}"' if flag.choices else others[flag.kind]
        values = read_config(written(tmp_path, f"[run]\n{flag.key} = {value}\n"), TABLES)
        assert values["run"] == {flag.parameter: flag.choices[-1] if flag.choices else wanted[flag.kind]}


def test_a_key_before_the_tables_is_for_every_command_that_has_it(tmp_path: Path) -> None:
    path = written(tmp_path, 'smoothing = 0.5\nmethod = "mesh"\n[web]\nsmoothing = 2\n')
    values = read_config(path, TABLES)
    assert values["run"] == {"smoothing": 0.5, "method": "mesh"}
    assert values["web"] == {"smoothing": 2.0, "method": "mesh"}
    assert "smoothing" not in values["demo"]


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
        ("[run]\nfit = 'stretch'\n", ["run.fit", "'stretch'", "letterbox, crop"]),
        ("[run\n", ["is no TOML", "line 1"]),
    ],
)
def test_a_wrong_file_is_one_line_that_names_key_file_and_cure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, told: list[str]
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(WrongUse) as caught:
        read_config(path, TABLES)
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
    seen: dict[str, object] = {}

    def performed(opening: object, steps: object, json_line: bool) -> int:
        return 0

    def opened(driver: Driver, output: Output, page: Page, **settings: object) -> object:
        seen.update(settings | asdict(driver) | asdict(output))
        return None

    monkeypatch.setattr(cli_run, "_perform", performed)
    monkeypatch.setattr("realtime.live.opening.open_live", opened)
    path = written(tmp_path, '[run]\nsmoothing = 0.5\nfps = 25\nsink = ["null", "web"]\nmirror = true\n')
    assert main(["run", "--config", str(path), "--fps", "50", "--no-mirror"]) == 0
    assert seen["fps"] == 50.0
    assert seen["smoothing"] == 0.5
    assert seen["sinks"] == ("null", "web")
    assert seen["modes"]["mirror"] is False  # type: ignore[index]
    assert seen["camera"] == "0"


def test_the_file_in_the_users_folder_is_read_without_a_flag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable in ("XDG_CONFIG_HOME", "APPDATA", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    path = default_path()
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
    assert set(tomllib.loads(printed)) == set(SETTINGS)
    assert main(["config", "--out", str(out)]) == 1
    assert "is there already" in capsys.readouterr().err
