# SPDX-License-Identifier: MIT
"""Contact sheets and time plots of a reenactment measurement, as PNG. Knows no tracker and no puppet."""

from collections.abc import Sequence
from pathlib import Path

import cv2
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


def contact_sheet(
    path: Path,
    titles: Sequence[str],
    rows: Sequence[tuple[str, Sequence[Image]]],
    *,
    cell: tuple[int, int] = (CELL_PX, CELL_PX),
) -> None:
    """A PNG with a labelled row of pictures for each entry; each row has a picture for every title.

    cell: width and height of a picture on the sheet.
    """
    width, tall = cell
    height = LABEL_PX + len(rows) * (tall + LABEL_PX)
    sheet = Pillow.new("RGB", (max(len(titles), 1) * width, height), "white")
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        draw.text((column * width + 4, 3), title, fill="black")
    for number, (name, pictures) in enumerate(rows):
        top = LABEL_PX + number * (tall + LABEL_PX)
        draw.text((4, top + 3), name, fill="black")
        for column, picture in enumerate(pictures):
            sheet.paste(_cell(picture, cell), (column * width, top + LABEL_PX))
    sheet.save(path)


def around_face(landmarks: NDArray[np.float32], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of a square around a head, inside a picture of `size` (width, height)."""
    low, high = landmarks[:, :2].min(0), landmarks[:, :2].max(0)
    side = min(int(HEAD_ROOM * (high - low).max()), *size)
    left, top = np.round((low + high) / 2 - (0.5 * side, 0.55 * side)).astype(int)  # more room above: hair
    left, top = (int(np.clip(at, 0, end - side)) for at, end in zip((left, top), size, strict=True))
    return left, top, left + side, top + side


def mouth_and_eyes(image: Image, landmarks: NDArray[np.float32]) -> Image:
    """(400, 320, 3) both eyes above the mouth, enlarged, upright as the picture is."""
    unit = float(np.linalg.norm(landmarks[33, :2] - landmarks[263, :2]))
    parts = []
    for middle, height in (
        (landmarks[[33, 133, 362, 263], :2].mean(0), 0.5),
        (landmarks[[61, 291, 13, 14], :2].mean(0), 0.75),
    ):
        size = (320, round(320 * height))
        scale = size[0] / (1.3 * unit)
        affine = np.array([[scale, 0, 0], [0, scale, 0]], np.float32)
        affine[:, 2] = np.array(size) / 2 - scale * middle
        parts.append(
            cv2.warpAffine(image, affine, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        )
    return np.concatenate(parts).astype(np.uint8)


def _cell(picture: NDArray[np.uint8], size: tuple[int, int]) -> Pillow.Image:
    """The whole picture in a cell of that size, grey around it."""
    whole = Pillow.fromarray(picture)
    whole.thumbnail(size, Pillow.Resampling.LANCZOS)
    cell = Pillow.new("RGB", size, (90, 90, 90))
    cell.paste(whole, ((size[0] - whole.width) // 2, (size[1] - whole.height) // 2))
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
