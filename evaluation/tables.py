# SPDX-License-Identifier: MIT
"""Tables of figures as Markdown and as an HTML page."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Rows = list[list[str]]  # the first one is the heading


@dataclass(frozen=True, slots=True)
class Section:
    """One table under its heading, with a line that says how to read it."""

    title: str
    note: str
    rows: Rows


def markdown(tables: Sequence[Section]) -> str:
    """Pipe tables under headings."""
    blocks = []
    for table in tables:
        head, *body = table.rows
        lines = [f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *body]]
        blocks.append("\n".join([f"## {table.title}", "", table.note, "", *lines]))
    return "\n\n".join(blocks) + "\n"


def page(tables: Sequence[Section], pictures: Sequence[Path], heading: str) -> str:
    """The same as one HTML page, with pictures that lie beside it."""
    parts = [
        "<!doctype html><meta charset=utf-8>",
        f"<title>{html.escape(heading)}</title>",
        "<style>body{font:14px sans-serif;margin:2em}td,th{padding:2px 10px;text-align:right}"
        "td:first-child,th:first-child{text-align:left}tr:nth-child(even){background:#f2f2f2}"
        "img{max-width:100%}</style>",
        f"<h1>{html.escape(heading)}</h1>",
    ]
    for table in tables:
        parts.append(f"<h2>{html.escape(table.title)}</h2><p>{html.escape(table.note)}</p><table>")
        for index, row in enumerate(table.rows):
            tag = "th" if index == 0 else "td"
            parts.append("<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row) + "</tr>")
        parts.append("</table>")
    parts += [f"<h3>{html.escape(path.stem)}</h3><img src='{html.escape(path.name)}'>" for path in pictures]
    return "\n".join(parts) + "\n"


def number(value: float, digits: int = 2) -> str:
    """A dash for what is not known."""
    return f"{value:.{digits}f}" if np.isfinite(value) else "-"
