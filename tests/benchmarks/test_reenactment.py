# SPDX-License-Identifier: MIT
"""The reenactment command end to end on one real pair. Skips without packages or pictures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("dlib", reason="dlib-bin is not installed; run: pip install -e '.[dev]'")

from benchmarks.reenactment import choose, main

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"

needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the shared pictures are not beside the checkout")


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "benchmarks.reenactment", *arguments]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_every_portrait_has_its_turn_before_one_returns() -> None:
    paths = [Path(f"{number}.jpg") for number in range(5)]
    order = choose(paths, 7)
    first = [next(order) for _ in range(5)]
    assert sorted(first) == paths
    again = choose(paths, 7)
    assert [next(again) for _ in range(5)] == first
    assert next(order) in paths


@needs_data
def test_one_pair_gives_table_sheet_and_json(tmp_path: Path) -> None:
    done = command(
        "--portraits", str(DATA / "portraits"), "--driving", str(DATA / "driving"), "--clips", "d18",
        "--pairs", "1", "--every", "8", "--longest", "256", "--out", str(tmp_path),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["pairs"] == 1
    assert last["jawOpen"]["median"] > 0.8  # a wide open mouth is followed even at this size and rate
    assert last["faces"] == 1
    assert last["distance"] < 0.6 < last["distance_strangers"]
    table = (tmp_path / "table.md").read_text()
    assert table in done.stdout
    assert "| d18 | 27 |" in table
    assert done.stderr.count("d18 ") == 1  # a line a pair, where there is no terminal for a progress bar
    assert {"pairs.csv", "table.html", "sheet_d18.png"} <= {path.name for path in tmp_path.iterdir()}


@needs_data
@pytest.mark.parametrize("empty", ["--portraits", "--driving"])
def test_folder_without_what_is_needed_ends_in_one_line(
    tmp_path: Path, empty: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folders = {"--portraits": DATA / "portraits", "--driving": DATA / "driving"} | {empty: tmp_path}
    arguments = [text for flag, path in folders.items() for text in (flag, str(path))]
    monkeypatch.setattr(sys, "argv", ["reenactment", *arguments, "--out", str(tmp_path / "out")])
    assert main() in (1, 2)
    said = capfd.readouterr().err.strip()
    assert str(tmp_path) in said and "\n" not in said
