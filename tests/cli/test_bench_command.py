# SPDX-License-Identifier: MIT
"""The benchmark measures the real line and draws it; its page stands alone."""

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from realtime.cli import main
from realtime.offline.bench import GROWTH_MIB
from realtime.offline.report import Curve, Goal, goals, histogram, page, plot, table


def test_a_bench_counts_what_it_delivers_and_writes_its_page(
    driver_clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.offline.bench.SAMPLE_S", 0.1)
    report = tmp_path / "bench.html"
    arguments = ["bench", str(driver_clip), "--seconds", "1", "--warmup", "0.2", "--portrait-size", "192"]
    assert main([*arguments, "--report", str(report), "--json"]) == 0
    captured = capsys.readouterr()
    values = json.loads(captured.out.splitlines()[-1])
    assert values["elapsed_s"] >= 1
    assert values["camera_size"] == [640, 480] and values["camera_fps"] == 30
    assert values["captured"] >= values["delivered"] > 0, "how many is the machine's affair"
    assert values["latency"]["p50_ms"] <= values["latency"]["p95_ms"] <= values["latency"]["p99_ms"]
    assert {"cpu", "cores", "commit", "version"} <= set(values["machine"])
    assert 50 < values["memory_mib"]["start"] <= values["memory_mib"]["max"] + GROWTH_MIB
    assert set(values["goals"]) == {
        "frames a second", "capture to sink, p50", "capture to sink, p95", "frames dropped", "memory grown",
    }  # fmt: skip
    for stage in ("source", "tracker", "puppet", "sink", "capture to sink"):
        assert stage in captured.out and stage in report.read_text(encoding="utf-8")


def test_a_page_is_one_file_with_drawings_that_are_well_formed() -> None:
    x = np.arange(10.0)
    y = np.array([1, 2, np.nan, 4, 5, 6, 7, 8, 9, 10.0])
    text = page(
        "a <title>",
        (("command", "facepuppet bench --report <b>"),),
        (
            goals((Goal("rate", 27.0, 28.0, False, "fps"), Goal("latency", 30.0, 50.0, True, "ms"))),
            table("Stages", ("stage", "ms"), (("puppet & co", "1.0"),)),
            plot("Over time", (Curve("p50", x, y), Curve("p95", x, 2 * y)), x_label="s", y_label="ms"),
            histogram("Latency", np.linspace(10, 40, 500), x_label="ms"),
        ),
    )
    loaded = re.sub(r'xmlns(:\w+)?="[^"]*"|href="#[^"]*"|url\(#[^)]*\)', "", text)
    assert not re.search(r"<script|src=|href=|https?://|url\(", loaded), (
        "no other file and no network is needed"
    )
    assert "a &lt;title&gt;" in text and "--report &lt;b&gt;" in text
    drawings = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL)]
    assert [drawing.get("aria-label") for drawing in drawings] == ["Over time", "Latency"]
    paths = [each.get("d", "") for each in drawings[0].iter("{http://www.w3.org/2000/svg}path")]
    broken = [path for path in paths if path.count("M") == 2 and path.count("L") == 7]
    assert len(broken) == 2, "each curve breaks where a value is missing"
    letters = "".join("".join(drawings[0].itertext()).split())
    assert "p50" in letters and "p95" in letters, "as text, which takes the page's colour"
    assert text.count('class="missed"') == 1 and text.count('class="met"') == 1


@pytest.mark.parametrize("values", [[], [5.0], [5.0] * 400])
def test_a_histogram_of_few_or_equal_values_is_drawn(values: list[float]) -> None:
    drawn = histogram("Latency", np.array(values), x_label="ms")
    assert ("no frame was delivered" in drawn) == (not values)


def test_a_plot_of_nothing_is_drawn() -> None:
    nothing = np.array([])
    assert "<svg" in plot("Empty", (Curve("none", nothing, nothing),), x_label="s", y_label="ms")
