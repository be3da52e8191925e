# SPDX-License-Identifier: MIT
"""What the tables of a reenactment measurement say, and its CSV file."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.driving import Clip
from evaluation.follow import SIGNALS, SMILE, SMILES, TARGETS, Pair, Summary, summarise, worst_first
from evaluation.recognisers import SAME_PERSON_BELOW, Spread
from evaluation.shape_follow import FOLLOWED, rates, summarise_shape
from evaluation.shape_follow import TARGETS as SHAPE_TARGETS
from evaluation.tables import Rows, Section, number


def sections(pairs: Sequence[Pair], clips: Sequence[Clip], strangers: Spread) -> list[Section]:
    """Every table of the report."""
    overall = "Correlation over time of the re-tracked output with the raw driver, over pairs that count."
    opened, shut = rates([pair.shapes for pair in pairs])
    shapes = (
        f"Over the outer eye corners' distance. Shut lips shown open: {_share(opened)} of frames; open eyes "
        f"shown shut: {_share(shut)}."
    )
    by_clip = "Median / worst correlation of its pairs; - where the driver hardly moves."
    smiles = f"Already smiling: smile score in the photo above {SMILES}."
    identity = (
        "Distance and cosine of dlib's face embedding over every fifth frame; "
        f"its author takes less than {SAME_PERSON_BELOW} for one person."
    )
    return [
        Section("Overall", overall, _overall(pairs)),
        Section("Shapes", shapes, _shapes(pairs)),
        Section("By clip", by_clip, _by_clip(pairs, clips)),
        Section("Smile by the portrait's own", smiles, _smiles(pairs)),
        Section("Identity", identity, _identity(pairs, clips, strangers)),
        Section("Worst pairs", "By how far the worst signal misses its target (!).", _worst(pairs)),
    ]


def write_csv(path: Path, pairs: Sequence[Pair]) -> None:
    """One line a pair, empty where a signal does not count."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        names = [f"{kind}_{name}" for kind in ("r", "gain") for name in SIGNALS]
        writer.writerow(["clip", "portrait", "portrait_smile", "portrait_blink", *names, "faces", "distance"])
        for pair in pairs:
            values = [pair.portrait_smile, pair.portrait_blink, *pair.correlation, *pair.gain]
            values += [pair.faces, pair.distance]
            cells = [f"{value:.4f}" if np.isfinite(value) else "" for value in values]
            writer.writerow([pair.clip, pair.portrait, *cells])


def write_series(path: Path, pairs: Sequence[Pair]) -> None:
    """Signals over time: for each pair an array (2, N, 6), driver and output, called clip/portrait."""
    series = {f"{pair.clip}/{pair.portrait}": np.stack([pair.driver, pair.output]) for pair in pairs}
    np.savez_compressed(path, allow_pickle=False, **series)


def _line(name: str, summary: Summary, target: float) -> list[str]:
    return [
        name,
        number(target),
        str(summary.pairs),
        *(number(value, 3) for value in (summary.median, summary.p10, summary.worst)),
        "-" if not summary.pairs else f"{summary.reached:.0%}",
        number(summary.gain),
    ]


HEAD = ["signal", "target", "pairs", "median", "10th percentile", "worst", "reach target", "median gain"]


def _overall(pairs: Sequence[Pair]) -> Rows:
    return [HEAD] + [_line(name, summarise(pairs, k), TARGETS[k]) for k, name in enumerate(SIGNALS)]


def _share(value: float) -> str:
    return f"{value:.2%}" if np.isfinite(value) else "no such frame"


def _shapes(pairs: Sequence[Pair]) -> Rows:
    rows = [["shape", "target", "pairs", "median", "worst", "median gain", "median offset"]]
    for k, name in enumerate(FOLLOWED):
        found = summarise_shape([pair.shapes for pair in pairs], k)
        values = [number(value, 3) for value in (found.median, found.worst, found.gain, found.offset)]
        rows.append([name, number(SHAPE_TARGETS[k]), str(found.pairs), *values])
    return rows


def _by_clip(pairs: Sequence[Pair], clips: Sequence[Clip]) -> Rows:
    rows = [["clip", "frames", *SIGNALS, "frames with a face", "distance", "same person"]]
    for clip in clips:
        own = [pair for pair in pairs if pair.clip == clip.name]
        if not own:
            continue
        cells = []
        for k in range(len(SIGNALS)):
            summary = summarise(own, k)
            cells.append(f"{summary.median:.2f} / {summary.worst:.2f}" if summary.pairs else "-")
        rows.append(
            [clip.name, str(len(clip.motions)), *cells, f"{np.mean([pair.faces for pair in own]):.2%}"]
            + [number(float(np.median([pair.distance for pair in own])), 3)]
            + [number(float(np.median(clip.floor.distance)), 3)]
        )
    return rows


def _smiles(pairs: Sequence[Pair]) -> Rows:
    smiling = [pair for pair in pairs if pair.portrait_smile > SMILES]
    sober = [pair for pair in pairs if pair.portrait_smile <= SMILES]
    head = ["portrait", *HEAD[1:]]
    return [head] + [
        _line(name, summarise(group, SMILE), TARGETS[SMILE])
        for name, group in (("already smiles", smiling), ("does not smile", sober))
    ]


def _identity(pairs: Sequence[Pair], clips: Sequence[Clip], strangers: Spread) -> Rows:
    rows = [["pictures", "number", "median distance", "90th percentile", "median cosine"]]
    used = [clip for clip in clips if any(pair.clip == clip.name for pair in pairs)]
    for name, spreads in (
        ("output and its photo", [pair.identity for pair in pairs]),
        ("same person: a driver's frames and its neutral one", [clip.floor for clip in used]),
        ("same person: a driver's extreme moments", [clip.floor_apart for clip in used]),
        ("different people", [strangers]),
    ):
        distance = np.concatenate([spread.distance for spread in spreads])
        cosine = np.concatenate([spread.cosine for spread in spreads])
        if len(distance):
            values = [np.median(distance), np.percentile(distance, 90), np.median(cosine)]
            rows.append([name, str(len(distance)), *(number(float(value), 3) for value in values)])
    return rows


def _worst(pairs: Sequence[Pair], count: int = 15) -> Rows:
    rows = [["clip", "portrait", "its smile", *SIGNALS, "frames with a face", "distance"]]
    for pair in worst_first(pairs)[:count]:
        if not pair.shortfall > 0:
            break
        cells = [
            number(value) + (" !" if value < target else "")
            for value, target in zip(pair.correlation, TARGETS, strict=True)
        ]
        rows.append(
            [pair.clip, pair.portrait, number(pair.portrait_smile), *cells]
            + [f"{pair.faces:.2%}", number(pair.distance)]
        )
    return rows
