# SPDX-License-Identifier: MIT
"""Contact sheets of driven portraits. Knows no tracker and no puppet."""

from pathlib import Path

import numpy as np

from benchmarks.portraits_findings import ABSOLUTE, Findings, Pair
from benchmarks.portraits_judges import MOMENTS
from benchmarks.portraits_kept import CELL_PX
from benchmarks.sheets import contact_sheet
from face.arrays import Image

PER_SHEET = 2  # portraits
WORDS = {1: "max", -1: "min", 0: "most"}


def write_sheets(out: Path, found: Findings) -> list[Path]:
    """JPEGs of PER_SHEET portraits each: the photo's crop and the driver, under them a row a method, and
    beside the first of these what the generator makes of the code and of the encoder's guess alone.

    Absolute transfer is left out; sheets that are nobody's any more are removed.
    """
    titles = ["photo / code alone", "reconstruction / encoder", *(f"{n} {WORDS[way]}" for n, way in MOMENTS)]
    by_portrait: dict[tuple[str, str], list[Pair]] = {}
    for pair in found.pairs:
        if not pair.method.endswith(ABSOLUTE):
            by_portrait.setdefault((pair.clip, pair.portrait), []).append(pair)
    groups = sorted(by_portrait.items())
    written = []
    for number in range(0, len(groups), PER_SHEET):
        rows: list[tuple[str, list[Image]]] = []
        for (clip, portrait), pairs in groups[number : number + PER_SHEET]:
            crop, tuned, code, encoder = pairs[0].still
            rows.append((f"{portrait}, {clip} drives", [crop, tuned, *pairs[0].drivers]))
            for row, pair in enumerate(pairs):
                empty = np.full((CELL_PX, CELL_PX, 3), 255, np.uint8)
                beside = [code, encoder] if row == 0 else [empty, empty]
                rows.append((_caption(pair), [*beside, *pair.pictures]))
        written.append(out / f"sheet_{number // PER_SHEET:02d}.jpg")
        contact_sheet(written[-1], titles, rows)
    for stale in set(out.glob("sheet_*.jpg")) - set(written):
        stale.unlink()
    return written


def _caption(pair: Pair) -> str:
    found = pair.transfer
    return (
        f"{pair.method}: ARD {found.ard_relative:.2f} AED {found.aed_relative:.3f} CSIM {found.csim:.2f} "
        f"dlib {found.dlib:.2f} faces {found.faces:.0%}"
    )
