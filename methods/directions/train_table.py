# SPDX-License-Identifier: MIT
"""Tables of measured directions in Markdown: control, leakage, what was kept."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from face.direction_parameters import ANGLES, INDEX, NAMES
from methods.directions.train_measured import Measured

FULL_SMILE = 1.0
LEAST = 3  # pictures that make a row
UNSMILING = 0.5  # a face whose own smile is above it has no way to a full smile
LIDS = [INDEX["blink_left"], INDEX["blink_right"]]
# Attribute: columns of p whose mean is it, the correlation asked for, the unit.
CONTROL: dict[str, tuple[list[int], float, str]] = {
    "yaw": ([INDEX["yaw"]], 0.9, "degrees"),
    "pitch": ([INDEX["pitch"]], 0.9, "degrees"),
    "smile": ([INDEX["smile"]], 0.8, "score"),
    "jawOpen": ([INDEX["jaw_open"]], 0.7, "score"),
    "blink": (LIDS, 0.7, "score"),
}
EXPRESSIONS = [INDEX[name] for name in NAMES if name not in ("yaw", "pitch", "gaze_x", "gaze_y")]
# What is kept: label of the row, labels of the aims, dlib's distance and grey levels asked for.
KEPT: tuple[tuple[str, tuple[str, ...], float, float], ...] = (
    ("turned by 15 degrees", ("yaw -15", "yaw +15"), 0.32, 30),
    ("turned to +-15 degrees", ("yaw at -15", "yaw at +15"), 0.32, 30),
    ("full smile", ("full smile",), 0.38, 15),
    ("jawOpen +0.3", ("jaw +0.3",), 0.35, 15),
)


# Rows that real pairs have too, and their label.
FLOORS = {"turned by 15 degrees": "yaw 15", "full smile": "full smile", "jawOpen +0.3": "jaw +0.3"}


@dataclass(frozen=True, slots=True)
class PairFloor:
    """Two frames of one real person."""

    label: str
    clip: str
    dlib: float
    second: float


def report(measured: dict[str, Measured], floors: list[PairFloor]) -> str:
    """The whole page; one column a matrix."""
    parts = ["# Directions on faces they never saw", ""]
    for name, rows in measured.items():
        parts += [f"{name}: {len(np.unique(rows.face))} identities, {len(rows)} pictures, "]
        parts[-1] += f"{int(np.isnan(rows.dlib).sum())} of them without a face."
    parts += ["", "## Control", "", *control(measured), "", "## Leakage", "", *leakage(measured)]
    parts += ["", "## Kept", "", *kept(measured, floors), ""]
    return "\n".join(parts)


def control(measured: dict[str, Measured]) -> list[str]:
    """Target against measured."""
    lines = ["| attribute | matrix | correlation | asked | slope | mean error | pictures |", "| - " * 7 + "|"]
    for label, (columns, asked, unit) in CONTROL.items():
        for name, rows in measured.items():
            found = (rows.label == label) & np.isfinite(rows.dlib)
            if found.sum() < LEAST:
                continue
            wanted = rows.wanted[found][:, columns].mean(1)
            seen = rows.seen[found][:, ANGLES:][:, columns].mean(1)
            correlation = np.corrcoef(wanted, seen)[0, 1]
            slope = np.polyfit(wanted, seen, 1)[0]
            error = np.abs(seen - wanted).mean()
            lines.append(
                f"| {label} | {name} | {correlation:.3f} | {asked} | {slope:.2f} | {error:.2f} {unit} | "
                f"{found.sum()} |"
            )
    return lines


def leakage(measured: dict[str, Measured]) -> list[str]:
    """Mean absolute change of what should stay, as in Table 9 of Bounareli et al. 2024."""
    lines = [
        "| changed | matrix | yaw | pitch | roll | mean of the other expressions | gaze |",
        "| - " * 7 + "|",
    ]
    for label, (columns, _, _) in CONTROL.items():
        for name, rows in measured.items():
            found = (rows.label == label) & np.isfinite(rows.dlib)
            change = np.abs(rows.seen[found] - rows.own[found])
            angles = [
                "-" if label == angle else f"{change[:, column].mean():.1f}"
                for column, angle in enumerate(("yaw", "pitch", "roll"))
            ]
            others = [ANGLES + index for index in EXPRESSIONS if index not in columns]
            gaze = [ANGLES + INDEX["gaze_x"], ANGLES + INDEX["gaze_y"]]
            lines.append(
                f"| {label} | {name} | {' | '.join(angles)} | {change[:, others].mean():.3f} | "
                f"{change[:, gaze].mean():.1f} |"
            )
    return lines


def kept(measured: dict[str, Measured], floors: list[PairFloor]) -> list[str]:
    """Identity by both recognisers and what changes outside the face."""
    lines = [
        "| motion | matrix | dlib | asked | second | outside the face | asked | reached | pictures |",
        "| - " * 9 + "|",
    ]
    for title, labels, asked, grey in KEPT:
        for name, rows in measured.items():
            found = np.isin(rows.label, labels) & np.isfinite(rows.dlib)
            if title == "full smile":
                found &= rows.own[:, ANGLES + INDEX["smile"]] < UNSMILING
            dlib, second, outside = (
                values[found].mean() for values in (rows.dlib, rows.second, rows.outside)
            )
            lines.append(
                f"| {title} | {name} | {dlib:.3f} | {asked} | {second:.3f} | {outside:.1f} | {grey} | "
                f"{_reached(rows, found):.2f} | {found.sum()} |"
            )
        lines += _floor(title, floors)
    return lines


def _reached(rows: Measured, found: NDArray[np.bool_]) -> float:
    """Share of the motion asked for that was seen, over all pictures."""
    asked = rows.wanted[found] - rows.own[found][:, ANGLES:]
    came = rows.seen[found][:, ANGLES:] - rows.own[found][:, ANGLES:]
    return float((asked * came).sum() / (asked**2).sum())


def _floor(title: str, floors: list[PairFloor]) -> list[str]:
    """The same of real people: the mean over clips of each clip's mean."""
    pairs = [pair for pair in floors if pair.label == FLOORS.get(title)]
    if not pairs:
        return []
    clips = sorted({pair.clip for pair in pairs})
    dlib = np.mean([np.mean([pair.dlib for pair in pairs if pair.clip == clip]) for clip in clips])
    second = np.mean([np.mean([pair.second for pair in pairs if pair.clip == clip]) for clip in clips])
    return [
        f"| {title} | real pairs of {len(clips)} people | {dlib:.3f} | | {second:.3f} | | | | {len(pairs)} |"
    ]
