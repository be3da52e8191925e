# SPDX-License-Identifier: MIT
"""A benchmark as one self-contained HTML page with drawn plots. Knows neither the line nor how to measure."""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 720, 220  # of a plot, in CSS pixels
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 12, 28
COLOURS = ("#2f6fde", "#e0822b", "#3c9d5c", "#b0489a")

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1d2430; background: #fff; margin: 2em auto }
body { max-width: 46em }
h1 { font-size: 1.5em } h2 { font-size: 1.1em; margin: 1.6em 0 .3em }
table { border-collapse: collapse; width: 100% } th { font-weight: 600 }
th, td { padding: .25em .6em; border-bottom: 1px solid #dde2ea; text-align: right }
td { font-variant-numeric: tabular-nums }
th:first-child, td:first-child, table.facts td { text-align: left }
svg { width: 100%; height: auto } svg text { fill: #1d2430 } svg .grid { stroke: #dde2ea }
.met { color: #1c7a3c } .missed { color: #b3261e }
@media (prefers-color-scheme: dark) {
  body { color: #e4e8ef; background: #14171d } th, td { border-color: #333a46 }
  svg text { fill: #b8c0cc } svg .grid { stroke: #333a46 }
  .met { color: #6cc98a } .missed { color: #ff8a80 }
}
"""


@dataclass(frozen=True, slots=True)
class Curve:
    """One named line of a plot; x and y of the same length, a nan breaks the line."""

    name: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Goal:
    """A number that was promised."""

    name: str
    found: float
    limit: float
    at_most: bool  # else at least
    unit: str

    @property
    def met(self) -> bool:
        return self.found <= self.limit if self.at_most else self.found >= self.limit


def page(title: str, facts: Sequence[tuple[str, str]], body: Sequence[str]) -> str:
    """The whole document; `body` is made of the functions below."""
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>" for name, value in facts
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style>"
        f"<h1>{html.escape(title)}</h1><table class='facts'>{rows}</table>{''.join(body)}</html>\n"
    )


def table(heading: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    lines = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<h2>{html.escape(heading)}</h2><table><tr>{head}</tr>{lines}</table>"


def goals(found: Sequence[Goal]) -> str:
    """What was promised and what was measured."""
    rows = []
    for goal in found:
        bound = "at most" if goal.at_most else "at least"
        verdict = '<td class="met">met</td>' if goal.met else '<td class="missed">missed</td>'
        cells = (f"{bound} {goal.limit:g} {goal.unit}", f"{goal.found:.2f} {goal.unit}")
        rows.append(
            f"<tr><td>{html.escape(goal.name)}</td>"
            + "".join(f"<td>{html.escape(c)}</td>" for c in cells)
            + verdict
            + "</tr>"
        )
    return (
        "<h2>Goals</h2><table><tr><th></th><th>goal</th><th>measured</th><th></th></tr>"
        + "".join(rows)
        + "</table>"
    )


def plot(heading: str, curves: Sequence[Curve], *, x_label: str, y_label: str) -> str:
    """Lines over a common x axis; the y axis starts at zero."""
    values = [curve.y[np.isfinite(curve.y)] for curve in curves]
    highest = max((float(each.max()) for each in values if each.size), default=1.0) * 1.18 or 1.0
    ends = [float(curve.x[-1]) for curve in curves if curve.x.size]
    last = max(ends, default=1.0) or 1.0
    parts = _axes(last, highest, x_label, y_label)
    for number, curve in enumerate(curves):
        colour = COLOURS[number % len(COLOURS)]
        parts += [
            f'<polyline fill="none" stroke="{colour}" stroke-width="1.6" points="{points}"/>'
            for points in _runs(curve, last, highest)
        ]
        at = LEFT + 10 + 120 * number
        parts.append(f'<rect x="{at}" y="{TOP}" width="14" height="4" fill="{colour}"/>')
        parts.append(f'<text x="{at + 20}" y="{TOP + 7}">{html.escape(curve.name)}</text>')
    return _figure(heading, parts)


def histogram(heading: str, values: NDArray[np.float64], *, x_label: str, bins: int = 60) -> str:
    """How often each value came; the top hundredth is drawn into the last bar."""
    if not values.size:
        return f"<h2>{html.escape(heading)}</h2><p>no frame was delivered</p>"
    last = float(np.percentile(values, 99)) or 1.0
    counts, _ = np.histogram(np.minimum(values, last), bins=bins, range=(0, last))
    highest = float(counts.max()) * 1.05
    parts = _axes(last, highest, x_label, "frames")
    wide = (WIDTH - LEFT - RIGHT) / bins
    for number, count in enumerate(counts):
        _, y = _place(0, float(count), last, highest)
        tall = HEIGHT - BOTTOM - y
        x = LEFT + number * wide
        parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{tall:.1f}" fill="{COLOURS[0]}"/>'
        )
    return _figure(heading, parts)


def _figure(heading: str, parts: Sequence[str]) -> str:
    return (
        f'<h2>{html.escape(heading)}</h2><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{html.escape(heading)}" font-family="sans-serif" font-size="11">'
        + "".join(parts)
        + "</svg>"
    )


def _place(x: float, y: float, last: float, highest: float) -> tuple[float, float]:
    return (
        LEFT + x / last * (WIDTH - LEFT - RIGHT),
        HEIGHT - BOTTOM - y / highest * (HEIGHT - TOP - BOTTOM),
    )


def _runs(curve: Curve, last: float, highest: float) -> list[str]:
    """The curve's unbroken stretches as SVG points."""
    runs: list[list[str]] = [[]]
    for x, y in zip(curve.x, curve.y, strict=True):
        if math.isfinite(y):
            left, top = _place(float(x), float(y), last, highest)
            runs[-1].append(f"{left:.1f},{top:.1f}")
        elif runs[-1]:
            runs.append([])
    return [" ".join(run) for run in runs if run]


def _axes(last: float, highest: float, x_label: str, y_label: str) -> list[str]:
    parts = []
    for value in _ticks(highest):
        _, y = _place(0, value, last, highest)
        parts.append(
            f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
        )
    for value in _ticks(last):
        x, _ = _place(value, 0, last, highest)
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 12}" text-anchor="middle">{value:g}</text>')
    parts.append(
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 1}" text-anchor="end">{html.escape(x_label)}</text>'
    )
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text transform="rotate(-90 12 {middle})" x="12" y="{middle}" text-anchor="middle">'
        f"{html.escape(y_label)}</text>"
    )
    return parts


def _ticks(highest: float) -> list[float]:
    """Up to six round numbers from zero up to `highest`."""
    rough = highest / 5
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * nice for nice in (1, 2, 5, 10) if power * nice >= rough * 0.999)
    return [round(step * n, 10) for n in range(int(highest / step + 1e-9) + 1)]
