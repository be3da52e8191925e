# SPDX-License-Identifier: MIT
"""`train` lists its recipes, hands them their arguments as they are, and says in one line what is missing."""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

import methods
from face.errors import WrongUse
from realtime.cli import INTERRUPTED, main
from realtime.commands import train as command
from realtime.commands.train import RECIPES


def a_recipe(monkeypatch: pytest.MonkeyPatch, program: Callable[[Sequence[str]], None]) -> list[str]:
    """`program` in the place of whatever recipe is asked for; the modules that were."""
    asked: list[str] = []

    def import_module(name: str) -> SimpleNamespace:
        asked.append(name)
        return SimpleNamespace(main=program)

    monkeypatch.setattr(command, "import_module", import_module)
    monkeypatch.setattr(command, "find_spec", lambda name: object())
    return asked


def test_help_lists_every_recipe(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["train", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Example: facepuppet train" in shown
    for name, recipe in RECIPES.items():
        assert name in shown and recipe.makes in shown


def test_every_methods_recipe_is_among_them() -> None:
    folder = Path(methods.__path__[0])
    found = {path.parent.name for path in folder.glob("*/train.py")}
    assert found == {name for name, recipe in RECIPES.items() if recipe.module.startswith("methods.")}


@pytest.mark.parametrize("name", RECIPES)
def test_help_of_a_recipe_is_its_own(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    if any(find_spec(package) is None for package in RECIPES[name].needs):
        pytest.skip("the extra [ffhq] is not installed")
    for flag in ("--help", "-h"):
        assert main(["train", name, flag]) == 0
        shown = capsys.readouterr().out
        assert shown.startswith(f"usage: facepuppet train {name} ")
        assert f"    facepuppet train {name} --" in shown, "with an example"
    assert main(["train", name, "--no-such-flag"]) == 2
    assert f"facepuppet train {name}: error: " in capsys.readouterr().err


def test_arguments_reach_the_recipe_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Sequence[str]] = []
    asked = a_recipe(monkeypatch, given.append)
    arguments = ["in.npz", "--out", "a b", "-s", "3", "--rate=-1e-3", "-0.5", "--help", "-h", "last"]
    assert main(["train", "samples", *arguments]) == 0
    assert (asked, given) == (["training.samples"], [arguments])


def test_what_is_missing_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = a_recipe(monkeypatch, lambda arguments: None)
    monkeypatch.setattr(command, "find_spec", lambda name: None if name.startswith("random") else object())
    assert main(["train", "directions", "--samples", "folder"]) == 1
    line = capfd.readouterr().err
    assert line.startswith("facepuppet: ") and line.count("\n") == 1
    assert "random_face is not installed; run: pip install 'facepuppet[ffhq]'" in line
    assert not asked
    assert main(["train", "mesh"]) == 0, "the face model is made without torch"


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (WrongUse("of another plan;\n take another folder"), 2, "of another plan; take another folder"),
        (KeyboardInterrupt(), INTERRUPTED, ""),
    ],
)
def test_how_a_recipe_ends_is_how_the_command_ends(
    error: BaseException,
    status: int,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def fail(arguments: Sequence[str]) -> None:
        raise error

    a_recipe(monkeypatch, fail)
    assert main(["train", "encoder"]) == status
    assert capfd.readouterr().err == (f"facepuppet: {told}\n" if told else "")


def test_no_such_recipe_is_wrong_use(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "magic"]) == 2
    line = capfd.readouterr().err
    assert line.startswith("facepuppet: ") and line.count("\n") == 1 and "train --help" in line
