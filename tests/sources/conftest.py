# SPDX-License-Identifier: MIT
"""Clips and rights for the tests of sources."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from realtime.sources.testcard import TestCard

NOBODY = 65534
MILLISECONDS = Fraction(1, 1000)


def write_clip(
    path: Path,
    times_s: Sequence[float],
    *,
    size: tuple[int, int] = (320, 240),
    rate: int = 30,
    rotation: int | None = None,
    matrix: tuple[int, int, int, int] | None = None,
    last_s: float | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """A clip of test cards, each with its number in it, shown at the given times.

    `matrix`: a, b, c, d of the display matrix. `last_s`: how long the last one stands.
    """
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "g": "10"})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = MILLISECONDS
        if rotation is not None:
            stream.set_display_rotation(rotation)
        if matrix is not None:
            a, b, c, d = (part << 16 for part in matrix)
            stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
        packets = []
        for frame, time_s in zip(TestCard(size, live=False), times_s, strict=False):
            picture = av.VideoFrame.from_ndarray(np.asarray(frame.image), format="rgb24")
            picture.pts, picture.time_base = round(time_s * 1000), MILLISECONDS
            packets += stream.encode(picture)
        packets += stream.encode()
        if last_s is not None:
            max(packets, key=lambda packet: packet.pts).duration = round(last_s * 1000)
        container.mux(packets)
    return path


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second, 30 frames; not to be changed."""
    return write_clip(tmp_path_factory.mktemp("clips") / "second.mp4", [n / 30 for n in range(30)])


@pytest.fixture
def make_clip() -> Callable[..., Path]:
    return write_clip


@pytest.fixture
def unreadable() -> Iterator[Callable[[str], Path]]:
    """Makes a file that this process may not read, also where it runs as administrator."""
    if not hasattr(os, "geteuid"):
        pytest.skip("file permissions of this kind are not known here")
    administrator = os.geteuid() == 0

    def make(name: str) -> Path:
        path = folder / name
        path.write_bytes(b"secret")
        path.chmod(0)
        if administrator:
            os.seteuid(NOBODY)
        return path

    with tempfile.TemporaryDirectory() as place:  # tmp_path lies in a folder that only its owner may enter
        folder = Path(place)
        folder.chmod(0o755)
        yield make
        if administrator:
            os.seteuid(0)
