# SPDX-License-Identifier: MIT
"""A benchmark as one self-contained HTML page with drawn plots. Knows neither the line nor how to measure."""

import html
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1d2430; background: #fff; margin: 2em auto }
body { max-width: 46em }
h1 { font-size: 1.5em } h2 { font-size: 1.1em; margin: 1.6em 0 .3em }
table { border-collapse: collapse; width: 100% } th { font-weight: 600 }
th, td { padding: .25em .6em; border-bottom: 1px solid #dde2ea; text-align: right }
td { font-variant-numeric: tabular-nums }
th:first-child, td:first-child, table.facts td { text-align: left }
svg { width: 100%; height: auto } svg text { fill: currentColor !important }
.met { color: #1c7a3c } .missed { color: #b3261e }
@media (prefers-color-scheme: dark) {
  body { color: #e4e8ef; background: #14171d } th, td { border-color: #333a46 }
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

    def draw(axes: Any) -> None:
        for curve in curves:
            axes.plot(curve.x, curve.y, label=curve.name, linewidth=1.2)
        axes.legend(loc="upper left", ncols=len(curves), frameon=False)
        axes.margins(x=0)
        axes.set_ylim(bottom=0, top=1.2 * axes.get_ylim()[1])

    return _figure(heading, draw, x_label, y_label)


def histogram(heading: str, values: NDArray[np.float64], *, x_label: str, bins: int = 60) -> str:
    """How often each value came; the top hundredth is drawn into the last bar."""
    if not values.size:
        return f"<h2>{html.escape(heading)}</h2><p>no frame was delivered</p>"
    last = float(np.percentile(values, 99)) or 1.0
    shown = np.minimum(values, last)
    return _figure(heading, lambda axes: axes.hist(shown, bins, range=(0, last)), x_label, "frames")


def _figure(heading: str, draw: Callable[[Any], object], x_label: str, y_label: str) -> str:
    """A drawing as SVG in the page, its letters as text, so that they take the page's colours."""
    import matplotlib
    from matplotlib.figure import Figure

    out = io.StringIO()
    with matplotlib.rc_context(
        {"svg.fonttype": "none", "font.size": 8, "axes.grid": True, "grid.alpha": 0.4}
    ):
        figure = Figure(figsize=(7.2, 2.3), layout="constrained")
        axes = figure.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        axes.set(xlabel=x_label, ylabel=y_label)
        draw(axes)
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(out, format="svg", transparent=True, metadata=nothing)
    drawn = out.getvalue()
    label = html.escape(heading)
    svg = drawn[drawn.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
    return f"<h2>{label}</h2>{svg}"
