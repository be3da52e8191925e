# SPDX-License-Identifier: MIT
"""Says that a picture or a file is synthetic: a badge people see, a mark machines read. Knows no sink."""

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from face.arrays import Image
from face.errors import BadVideo
from realtime.media import open_media

CORNERS = ("top-left", "top-right", "bottom-left", "bottom-right")

# IPTC NewsCodes, digital source type: what C2PA and photo metadata use to say how a picture came to be.
_SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_SYNTHETIC = (
    "trainedAlgorithmicMedia",
    "compositeWithTrainedAlgorithmicMedia",
    "algorithmicMedia",
    "compositeSynthetic",
)
_OVERSAMPLING = 4  # the letters are drawn this much larger and averaged down


class Badge:
    """A step on pictures: draws a small badge into a corner of a copy; switched on and off by `enabled`."""

    name = "badge"

    def __init__(self, text: str = "AI", *, corner: str = "bottom-right", height: float = 0.05) -> None:
        """`height`: of the badge, as a share of the picture's shorter side; at least 12 pixels are taken."""
        if corner not in CORNERS:
            raise ValueError(f"corner is {corner!r}, expected one of {', '.join(CORNERS)}")
        if not text or not 0 < height < 1:
            raise ValueError(f"a badge needs a text and a height in (0, 1), got {text!r}, {height}")
        self.enabled = True
        self._text = text
        self._corner = corner
        self._height = height
        self._made_for = (0, 0)  # height, width of the picture the bitmap below was made for
        self._where = (slice(0), slice(0))
        self._keep: NDArray[np.uint16] = np.empty(
            0, np.uint16
        )  # (h, w, 1) what stays of the picture, 0 to 256
        self._add: NDArray[np.uint16] = np.empty(0, np.uint16)  # (h, w, 3) what the badge adds, times 256

    def __call__(self, image: Image) -> Image:
        if not self.enabled:
            return image
        if image.shape[:2] != self._made_for:
            self._prepare(image.shape[0], image.shape[1])
        marked = image.copy()
        below = marked[self._where]
        below[:] = (below * self._keep + self._add) >> 8
        return marked

    def _prepare(self, height: int, width: int) -> None:
        """Draw the badge once for pictures of this size."""
        badge = _bitmap(self._text, max(12, round(self._height * min(height, width))))
        margin = badge.shape[0] // 2
        rows, columns = min(badge.shape[0], height), min(badge.shape[1], width)
        top = min(margin, height - rows) if self._corner.startswith("top") else max(height - rows - margin, 0)
        left = (
            min(margin, width - columns)
            if self._corner.endswith("left")
            else max(width - columns - margin, 0)
        )
        badge = badge[:rows, :columns].astype(np.uint16)
        alpha = badge[..., 3:] + (badge[..., 3:] >> 7)  # 0..255 to 0..256
        self._keep = (256 - alpha).astype(np.uint16)
        self._add = (badge[..., :3] * alpha).astype(np.uint16)
        self._where = (slice(top, top + rows), slice(left, left + columns))
        self._made_for = (height, width)


def _bitmap(text: str, height: int) -> NDArray[np.uint8]:
    """(height, w, 4) uint8 RGBA: white letters on a dark pill."""
    tall = height * _OVERSAMPLING
    font = ImageFont.load_default(size=tall * 0.72)
    left, top, right, bottom = font.getbbox(text)
    wide = round(right - left + tall * 0.8)
    wide += -wide % _OVERSAMPLING
    canvas = PillowImage.new("RGBA", (wide, tall), (24, 26, 32, 0))
    draw = ImageDraw.Draw(canvas)
    draw.rounded_rectangle((0, 0, wide - 1, tall - 1), radius=tall // 3, fill=(24, 26, 32, 190))
    draw.text(
        ((wide - left - right) / 2, (tall - top - bottom) / 2), text, font=font, fill=(255, 255, 255, 255)
    )
    return np.asarray(canvas.resize((wide // _OVERSAMPLING, height), PillowImage.Resampling.BOX))


def synthetic_metadata(source_type: str = "trainedAlgorithmicMedia") -> dict[str, str]:
    """Container metadata that tells people (a sentence) and machines (an address): this is synthetic."""
    if source_type not in _SYNTHETIC:
        raise ValueError(f"source type is {source_type!r}, expected one of {', '.join(_SYNTHETIC)}")
    return {
        "comment": f"Synthetic media made with facepuppet; digital source type {_SOURCE_TYPES}{source_type}"
    }


def is_marked(path: Path) -> bool:
    """Whether a video says of itself that it is synthetic; reads any container that keeps metadata."""
    try:
        with open_media(path) as container:
            values = [
                *container.metadata.values(),
                *(v for s in container.streams for v in s.metadata.values()),
            ]
    except (OSError, av.FFmpegError) as error:
        raise BadVideo(
            f"{path} is no video that can be read ({error.strerror}); give a video file"
        ) from error
    return any(f"{_SOURCE_TYPES}{kind}" in value for value in values for kind in _SYNTHETIC)
