# SPDX-License-Identifier: MIT
"""Rows of the engine benchmark: shown, kept in a file, gone on from. Knows no network and no device."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

HEADING = (
    f"{'px':>5} {'variant':<58}{'p50':>9}{'p95':>9}{'p99':>9}"
    f"{'/floor':>8}{'eager/':>8}{'orig/':>8}{'ready s':>9}"
)


@dataclass(frozen=True, slots=True)
class Row:
    """One variant at one size; None where a figure has no meaning."""

    resolution: int
    variant: str
    runs: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    against_floor: float | None = None  # p50 over the floor
    against_eager: float | None = None  # eager torch's p50 over this one's, from the same run
    against_original: float | None = None  # likewise of the original formulation, eager
    deviation: float | None = None  # from the reference's image, in the unit its maker names
    ready_s: float | None = None  # to compile, capture or build
    note: str = ""  # what is wrong with it


def percentiles(spans_ms: Sequence[float]) -> tuple[float, float, float]:
    p50, p95, p99 = (float(q) for q in np.percentile(spans_ms, (50, 95, 99)))
    return p50, p95, p99


def show(row: Row) -> None:
    def told(value: float | None, width: int, digits: int) -> str:
        return f"{'-':>{width}}" if value is None else f"{value:>{width}.{digits}f}"

    print(
        f"{row.resolution:>5} {row.variant:<58}{told(row.p50_ms, 9, 3)}{told(row.p95_ms, 9, 3)}"
        f"{told(row.p99_ms, 9, 3)}{told(row.against_floor, 8, 1)}{told(row.against_eager, 8, 2)}"
        f"{told(row.against_original, 8, 2)}{told(row.ready_s, 9, 1)}  {row.note}".rstrip(),
        flush=True,
    )


class Bench:
    """Rows so far; of a file's, those measured on the same device with the same widths are kept."""

    def __init__(
        self, out: Path | None, *, facts: dict[str, object], deadline_s: float, same: Sequence[str]
    ) -> None:
        self.out, self.facts = out, facts
        self._ends = time.monotonic() + deadline_s
        self.rows: list[Row] = []
        if out is not None and out.exists():
            known = json.loads(out.read_text(encoding="utf-8"))
            if all(known["facts"][name] == facts[name] for name in same):
                self.rows = [Row(**row) for row in known["rows"]]

    def add(self, row: Row) -> None:
        """Show a row and write the file anew; a row of the same name gives way."""
        self.rows = [r for r in self.rows if (r.resolution, r.variant) != (row.resolution, row.variant)]
        self.rows.append(row)
        show(row)
        if self.out is not None:
            self.out.write_text(self.as_json(), encoding="utf-8")

    def wants(self, resolution: int, variant: str) -> bool:
        """Whether to measure: not what is there and right, nothing after the deadline."""
        known = any((r.resolution, r.variant, r.note) == (resolution, variant, "") for r in self.rows)
        return not known and time.monotonic() < self._ends

    def as_json(self) -> str:
        return json.dumps({"facts": self.facts, "rows": [asdict(row) for row in self.rows]}, allow_nan=False)
