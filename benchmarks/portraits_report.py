# SPDX-License-Identifier: MIT
"""Tables and CSV files of the portraits' evaluation."""

import csv
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

from benchmarks.portraits_findings import ABSOLUTE, Findings, Portrait
from benchmarks.portraits_judges import STAGES
from evaluation.distances import Reduce, Transfer, correlations, median_of, over, over_pairs
from evaluation.follow import SIGNALS
from evaluation.tables import Rows, Section, markdown, number
from face.arrays import Floats

ASKED_DLIB = 0.35  # of the median portrait to its photo
WORST = 6
PAPER = ["LOR, VoxCeleb1, as published *", "200", "0.63", "-", "1.2", "1.0", "-"]  # Table 3


def write_report(out: Path, found: Findings) -> str:
    """Tables and CSV files; the tables come back as text."""
    text = markdown(sections(found))
    if found.pairs:
        text += f"\n* {PAPER_NOTE}\n"
    if found.refused:
        text += "\n## Left out\n\n" + "".join(f"- {line}\n" for line in found.refused)
    out.mkdir(parents=True, exist_ok=True)
    (out / "table.md").write_text(text, encoding="utf-8")
    _write_portraits(out / "portraits.csv", found)
    _write_pairs(out / "pairs.csv", found)
    return text


PAPER_NOTE = (
    "Bounareli et al. 2024, Table 3: cross-subject reenactment of 200 pairs of VoxCeleb1, absolute transfer, "
    "CSIM by ArcFace, AED of DECA's coefficients. Only the degrees of ARD are of one kind with ours, and "
    "those of another tracker on other people."
)


def sections(found: Findings) -> list[Section]:
    """Every table."""
    tables = [
        Section(
            f"Reconstruction of {len(found.portraits)} portraits",
            "The undriven generated picture against the photo's aligned crop: median / worst. dlib: distance "
            f"at most {ASKED_DLIB} is asked of the median; enrolment looks through this recogniser, so trust "
            "the second one, which nothing was trained with: cosine, 1 is the same. Perceptual: see "
            "evaluation/perceptual.py, of LPIPS's form and not LPIPS.",
            _reconstruction(found),
        )
    ]
    if found.pairs:
        count = len({pair.portrait for pair in found.pairs})
        tables += [
            Section(
                f"Driven, in the papers' form: means over {count} pairs",
                "CSIM and dlib against the photo; ARD in degrees, AED of 51 scores and AED p of the 13 "
                "expression numbers of p in their ranges against the driver itself, which only the rows "
                "named absolute were meant to copy.",
                _as_papers(found),
            ),
            Section(
                "Driven: the movement, means",
                "Relative: against the driver's movement from its rest added to the photo, which this "
                "program means to do. Around means: driver and result each less its own mean, so without "
                "standing offsets.",
                _movement(found),
            ),
            Section(
                "Driven: median / worst of the pairs",
                "Relative. Yaw, pitch, roll in degrees; CSIM: mean of a pair's frames.",
                _medians(found),
            ),
            Section(
                "Correlation with the driver over time / gain",
                "Median of the pairs whose driver moves by at least 8 degrees or 0.3.",
                _followed(found),
            ),
            Section("Worst pairs of each method", "By ARD and CSIM.", _worst(found)),
        ]
    return tables


def _reconstruction(found: Findings) -> Rows:
    head = ["picture", f"dlib (portraits within {ASKED_DLIB})", "second recogniser", "PSNR, dB", "perceptual"]
    rows = [head]
    for k, stage in enumerate(STAGES):
        parts = [portrait.rebuilt for portrait in found.portraits]
        dlib = np.array([part.dlib[k] for part in parts])
        rows.append(
            [
                stage,
                f"{_both(dlib, np.max)} ({int((dlib <= ASKED_DLIB).sum())} of {len(dlib)})",
                _both(np.array([part.second[k] for part in parts]), np.min),
                _both(np.array([part.psnr[k] for part in parts]), np.min, 1),
                _both(np.array([part.perceptual[k] for part in parts]), np.max),
            ]
        )
    drivers = list(found.drivers.values())
    if drivers:
        same = [np.concatenate([getattr(driver, name) for driver in drivers]) for name in ("dlib", "second")]
        rows.append(
            ["one driver's frames to its rest", _both(same[0], np.max), _both(same[1], np.min), "-", "-"]
        )
    rows.append(["crop at half its size", "-", "-", "-", _both(found.yardsticks.half_size, np.max)])
    dlib, second = strangers(found.portraits)
    if len(dlib):
        cells = [_both(dlib, np.min), _both(second, np.max), "-", _both(found.yardsticks.others, np.min)]
        rows.append(["another portrait (nearest instead of worst)", *cells])
    return rows


def strangers(portraits: Sequence[Portrait]) -> tuple[Floats, Floats]:
    """dlib's distances and the second recogniser's cosines of every two portraits' crops."""
    first, second = np.triu_indices(len(portraits), 1)
    dlib = np.array([portrait.rebuilt.crop_dlib for portrait in portraits])
    other = np.array([portrait.rebuilt.crop_second for portrait in portraits])
    return np.linalg.norm(dlib[first] - dlib[second], axis=1), (other[first] * other[second]).sum(1)


def _rows(found: Findings) -> list[tuple[str, list[Transfer]]]:
    rows = [(method, [pair.transfer for pair in found.by(method)]) for method in found.methods]
    first = found.by(found.methods[0])
    rows.append(("the photo, standing still", [pair.still_photo for pair in first]))
    rows.append(("relative transfer without error", [pair.as_meant for pair in first]))
    return rows


def _as_papers(found: Findings) -> Rows:
    names = ["csim", "dlib", "ard", "aed", "aed_p"]
    rows = [["", "pairs", "CSIM", "dlib", "ARD", "AED", "AED p"]]
    for title, transfers in _rows(found):
        cells = [number(over_pairs(transfers, name)[0], _digits(name)) for name in names]
        rows.append([title, str(len(transfers)), *cells])
    return [*rows, PAPER]


def _movement(found: Findings) -> Rows:
    names = [f"{name}_{kind}" for kind in ("relative", "centred") for name in ("ard", "aed", "aed_p")]
    head = ["", "ARD, relative", "AED", "AED p", "ARD, around means", "AED", "AED p"]
    rows = [head]
    for title, transfers in _rows(found):
        cells = [number(over_pairs(transfers, name)[0], _digits(name)) for name in names]
        if title.endswith(ABSOLUTE):  # was not meant to be relative
            cells[:3] = ["-"] * 3
        rows.append([title, *cells])
    return rows


def _medians(found: Findings) -> Rows:
    names = [
        "ard_relative", "yaw_relative", "pitch_relative", "roll_relative", "aed_relative", "csim",
        "csim_worst", "dlib", "faces",
    ]  # fmt: skip
    rows = [
        ["", "ARD", "yaw", "pitch", "roll", "AED", "CSIM", "CSIM, worst frame", "dlib", "frames with a face"]
    ]
    for title, transfers in _rows(found)[:-1]:
        if title.endswith(ABSOLUTE):
            continue
        cells = []
        for name in names:
            _, median, worst = over_pairs(transfers, name)
            cells.append(f"{number(median, _digits(name))} / {number(worst, _digits(name))}")
        rows.append([title, *cells])
    return rows


def _followed(found: Findings) -> Rows:
    rows = [["", *SIGNALS]]
    for method in found.methods:
        both = [correlations(pair.driver.track, pair.driven.track) for pair in found.by(method)]
        followed, gain = (median_of([pair[k] for pair in both]) for k in range(2))
        rows.append([method, *(f"{number(r)} / {number(g)}" for r, g in zip(followed, gain, strict=True))])
    return rows


def _worst(found: Findings) -> Rows:
    rows = [["method", "highest ARD, relative but for absolute", "lowest CSIM"]]
    for method in found.methods:
        pairs = [(pair, pair.transfer) for pair in found.by(method)]
        turn = "ard" if method.endswith(ABSOLUTE) else "ard_relative"
        turned = sorted(pairs, key=lambda each: -np.nan_to_num(getattr(each[1], turn), nan=np.inf))[:WORST]
        strange = sorted(pairs, key=lambda each: np.nan_to_num(each[1].csim, nan=-1.0))[:WORST]
        cells = [
            ", ".join(f"{pair.portrait} by {pair.clip} {number(getattr(each, name))}" for pair, each in group)
            for group, name in ((turned, turn), (strange, "csim"))
        ]
        rows.append([method, *cells])
    return rows


def last_line(found: Findings) -> dict[str, object]:
    """For machines."""
    line: dict[str, object] = {"benchmark": "portraits", "portraits": len(found.portraits)}
    for k, stage in enumerate(STAGES):
        for name in ("dlib", "second", "psnr", "perceptual"):
            values = np.array([getattr(portrait.rebuilt, name)[k] for portrait in found.portraits])
            line[f"{stage.split()[0]}_{name}"] = _rounded(over(np.median, values))
    for method in found.methods:
        transfers = [pair.transfer for pair in found.by(method)]
        line[method] = {"pairs": len(transfers)} | {
            each.name: _rounded(over_pairs(transfers, each.name)[0]) for each in fields(Transfer)
        }
    return line


def _write_portraits(path: Path, found: Findings) -> None:
    names = ["dlib", "second", "psnr", "perceptual"]
    facts = list(found.portraits[0].facts) if found.portraits else []
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        columns = [f"{name} {stage}" for stage in STAGES for name in names]
        writer.writerow(["portrait", *columns, *(f"enrolment {name}" for name in facts)])
        for portrait in found.portraits:
            values = [getattr(portrait.rebuilt, name)[k] for k in range(len(STAGES)) for name in names]
            values += [portrait.facts.get(name, np.nan) for name in facts]
            writer.writerow([portrait.name, *map(_cell, values)])


def _write_pairs(path: Path, found: Findings) -> None:
    names = [each.name for each in fields(Transfer)]
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        kinds = [f"{kind}_{name}" for kind in ("r", "gain") for name in SIGNALS]
        writer.writerow(["portrait", "clip", "method", *names, *kinds])
        for pair in found.pairs:
            measured = pair.transfer
            values = [getattr(measured, name) for name in names]
            values += np.concatenate(correlations(pair.driver.track, pair.driven.track)).tolist()
            writer.writerow([pair.portrait, pair.clip, pair.method, *map(_cell, values)])


def _digits(name: str) -> int:
    return 3 if name.startswith("aed") else 2


def _both(values: Floats, worst: Reduce, digits: int = 2) -> str:
    """Median and worst."""
    return f"{number(over(np.median, values), digits)} / {number(over(worst, values), digits)}"


def _cell(value: float) -> str:
    return f"{value:.4f}" if np.isfinite(value) else ""


def _rounded(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None
