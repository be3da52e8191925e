# SPDX-License-Identifier: MIT
"""Contact sheets and time plots of a reenactment measurement, as PNG. Knows no tracker and no puppet."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw

from evaluation.follow import SIGNALS, Pair
from face.arrays import Image

CELL_PX = 200
LABEL_PX = 18
HEAD_ROOM = 2.1  # side of a head's square in heights of its tracked face


def contact_sheet(path: Path, titles: Sequence[str], rows: Sequence[tuple[str, Sequence[Image]]]) -> None:
    """A PNG with a labelled row of pictures for each entry; each row has a picture for every title."""
    height = LABEL_PX + len(rows) * (CELL_PX + LABEL_PX)
    sheet = Pillow.new("RGB", (len(titles) * CELL_PX, height), "white")
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        draw.text((column * CELL_PX + 4, 3), title, fill="black")
    for number, (name, pictures) in enumerate(rows):
        top = LABEL_PX + number * (CELL_PX + LABEL_PX)
        draw.text((4, top + 3), name, fill="black")
        for column, picture in enumerate(pictures):
            sheet.paste(_cell(picture), (column * CELL_PX, top + LABEL_PX))
    sheet.save(path)


def around_face(landmarks: NDArray[np.float32], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of a square around a head, inside a picture of `size` (width, height)."""
    low, high = landmarks[:, :2].min(0), landmarks[:, :2].max(0)
    side = min(int(HEAD_ROOM * (high - low).max()), *size)
    left, top = np.round((low + high) / 2 - (0.5 * side, 0.55 * side)).astype(int)  # more room above: hair
    left, top = (int(np.clip(at, 0, end - side)) for at, end in zip((left, top), size, strict=True))
    return left, top, left + side, top + side


def _cell(picture: NDArray[np.uint8]) -> Pillow.Image:
    """The whole picture in a square cell, grey around it."""
    whole = Pillow.fromarray(picture)
    whole.thumbnail((CELL_PX, CELL_PX), Pillow.Resampling.LANCZOS)
    cell = Pillow.new("RGB", (CELL_PX, CELL_PX), (90, 90, 90))
    cell.paste(whole, ((CELL_PX - whole.width) // 2, (CELL_PX - whole.height) // 2))
    return cell


def time_plot(path: Path, pair: Pair, seconds: NDArray[np.float32]) -> None:
    """The six signals of driver and output over (N,) seconds."""
    with matplotlib.rc_context({"font.size": 8}):
        figure = Figure(figsize=(11, 11), layout="constrained")
        axes = figure.subplots(len(SIGNALS), 1, sharex=True)
        for k, axis in enumerate(axes):
            axis.plot(seconds, pair.driver[:, k], color="0.4", lw=1, label="driver")
            axis.plot(seconds, pair.output[:, k], color="C3", lw=1, label="output")
            axis.set_title(f"{SIGNALS[k]}: r {pair.correlation[k]:.2f}, gain {pair.gain[k]:.2f}", loc="left")
            axis.grid(alpha=0.3)
        axes[0].legend(loc="upper right")
        axes[-1].set_xlabel("seconds")
        figure.suptitle(f"{pair.clip} drives {pair.portrait} (own smile {pair.portrait_smile:.2f})")
        figure.savefig(path, dpi=80)
