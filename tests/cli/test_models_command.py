# SPDX-License-Identifier: MIT
"""models list, show, verify, make: what is at hand, its terms, and what was altered."""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from engines import ffhq_mobile
from engines.folders import cache_folder
from engines.model_folder import FORMAT, INDEX, sha256_of
from methods import making
from methods.method import Opening
from realtime.cli import main
from realtime.console import tell

CONTENT = b"a graph"


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    return cache_folder()


def a_model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    graph = folder / "live.onnx"
    graph.write_bytes(CONTENT)
    index = {
        "format": FORMAT,
        "origin": "a test",
        "licence": "none needed",
        "notes": ["a note"],
        "graphs": {"live": {}},
        "files": [{"name": graph.name, "bytes": len(CONTENT), "sha256": sha256_of(graph)}],
    }
    (folder / INDEX).write_text(json.dumps(index))
    return folder


def last(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert isinstance(found, dict)
    return found


def test_the_terms_of_the_generator_are_shown_whether_installed_or_not(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["models", "show", "ffhq-mobile", "--json"]) == 0
    shown = last(capsys)
    assert "NVIDIA" in str(shown["licence"]) and "not for commercial use" in str(shown["licence"])
    monkeypatch.setattr("realtime.inventory.missing_parts", lambda: ("random_face",))
    assert main(["models", "show", "ffhq-mobile", "--json"]) == 0
    assert "pip install 'facepuppet[ffhq]'" in str(last(capsys)["state"])


def test_what_was_made_is_listed_and_shown(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_model(cache / "models" / "made")
    (cache / "models" / ".made.half").mkdir()
    assert main(["models", "list", "--json"]) == 0
    models = last(capsys)["models"]
    assert isinstance(models, list)
    assert [(each["name"], each["kind"]) for each in models] == [
        ("ffhq-mobile", "generator"),
        ("made", "model"),
    ]
    for name in ("made", str(cache / "models" / "made")):
        assert main(["models", "show", name, "--json"]) == 0
        shown = last(capsys)
        assert shown["licence"] == "none needed" and shown["graphs"] == ["live"]


def test_an_altered_file_is_found(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = a_model(cache / "models" / "made")
    assert main(["models", "verify", "--json"]) == 0
    assert last(capsys) == {"verified": 1, "wrong": []}
    (folder / "live.onnx").write_bytes(CONTENT[:-1] + b"H")
    assert main(["models", "verify", "--json"]) == 1
    assert last(capsys)["wrong"] == [str(folder)]
    (folder / INDEX).write_text("{")
    assert main(["models", "verify", "made"]) == 1
    assert main(["models", "list"]) == 0, "a damaged one is listed as such"


def test_a_model_that_is_not_there_is_one_line_with_those_that_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["models", "show", "nothing"]) == 1
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and "ffhq-mobile" in line


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["models", "make", "stylegan3"], "cannot be made, expected ffhq-mobile"),
        (["models", "make", "ffhq-mobile", "--size", "300"], "size is 300, expected one of 256, 512, 1024"),
        (["enroll", "me.jpg", "--out", "me", "--size", "300"], "size is 300"),
    ],
)
def test_wrong_use_is_one_line(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and expected in line


@pytest.mark.parametrize(
    "arguments",
    [
        ["models", "make", "ffhq-mobile"],
        ["enroll", "me.jpg", "--out", "me"],
        ["demo", "--method", "directions"],
        ["run", "seed:1", "--method", "directions", "--sink", "null", "--camera", "testcard"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_the_missing_extra_is_one_line_with_the_pip_command(
    arguments: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ffhq_mobile, "missing_parts", lambda: ("random_face", "torch"))
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    line = capfd.readouterr().err
    assert line.count("\n") == 1, line
    assert "random_face, torch is not installed; run: pip install 'facepuppet[ffhq]'" in line
    assert not list(tmp_path.glob("*.mp4"))


EXTRA = find_spec("random_face") is None or find_spec("torch") is None
WEIGHTS = ffhq_mobile.WEIGHTS / ffhq_mobile.DIRECTIONS


@pytest.mark.skipif(EXTRA, reason="the extra [ffhq] is not installed")
@pytest.mark.skipif(not WEIGHTS.is_file(), reason="the directions' weights are not in this checkout")
def test_the_live_model_is_made_once_and_again_when_damaged(
    cache: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    opening = Opening(tell=tell)
    asked: list[list[str]] = []
    perform = making.perform
    monkeypatch.setattr(making, "perform", lambda *given: asked.append(given[0]) or perform(*given))
    folder = making.ffhq_model(256, opening)
    assert folder == making.ffhq_folder(256) and folder.is_relative_to(cache)
    told = capfd.readouterr().err
    assert "not for commercial use" in told, "the terms are said at the first use"
    graphs = {path.name for path in folder.glob("*.onnx")}
    wanted = {"generator_live.onnx", "generator_live-fp16.onnx", "mover.onnx", "mapping.onnx"}
    assert wanted <= graphs <= wanted | {"encoder.onnx"}
    made_s = (folder / "mover.onnx").stat().st_mtime_ns
    assert making.ffhq_model(256, opening) == folder and (folder / "mover.onnx").stat().st_mtime_ns == made_s
    assert main(["models", "verify"]) == 0

    kept = shutil.copytree(folder, tmp_path / "kept")

    def perform_again(arguments: list[str], title: str, opening: Opening) -> None:
        asked.append(arguments)
        shutil.copytree(kept, folder, dirs_exist_ok=True)

    monkeypatch.setattr(making, "perform", perform_again)  # it would make the same once more, slowly
    (folder / "mover.onnx").write_bytes(b"cut short")
    assert making.ffhq_model(256, opening) == folder
    assert "altered" in capfd.readouterr().err
    assert len(asked) == 2 and asked[0] == asked[1]
