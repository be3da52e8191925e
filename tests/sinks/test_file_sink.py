# SPDX-License-Identifier: MIT
"""Files are complete, timed as captured, marked, and a failed one leaves nothing half-written."""

import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from face.errors import SinkUnavailable, WrongUse
from face.frame import Frame
from realtime.badge import is_marked
from realtime.sinks.file import FileSink
from realtime.sinks.mp4 import Mp4File

CODED = 6.0  # grey levels, mean: H.264 at crf 20 and 4:2:0 on a smooth picture stay well below


def picture(number: int, height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width]
    red = 60 + 120 * columns // width
    green = 60 + 120 * rows // height
    return np.stack([red, green, np.full_like(red, 40 + number % 150)], axis=2).astype(np.uint8)


def frames(count: int, height: int = 48, width: int = 64, *, offline: bool = False) -> Iterator[Frame]:
    for number in range(count):
        at_s = number / 30
        yield Frame(picture(number, height, width), 100 + at_s, number, at_s if offline else None)


def decoded(path: Path) -> tuple[list[np.ndarray], list[float]]:
    with av.open(str(path)) as container:
        pictures = list(container.decode(video=0))
    return [p.to_ndarray(format="rgb24") for p in pictures], [p.time for p in pictures]


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("suffix", [".mp4", ".m4v", ".mov", ".MP4"])
def test_every_frame_is_in_the_file_at_its_time_with_its_colours(tmp_path, live: bool, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    with FileSink(path, live=live) as sink:
        for frame in frames(40, offline=not live):
            sink(frame)
    images, times = decoded(path)
    assert len(images) == 40
    assert times == pytest.approx([number / 30 for number in range(40)], abs=1e-4)
    for number in (0, 20, 39):
        assert np.abs(images[number].astype(int) - picture(number, 48, 64)).mean() < CODED
    assert is_marked(path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("height, width", [(47, 64), (48, 63), (33, 21), (1, 1)])
def test_odd_sizes_are_padded_with_their_own_edge(tmp_path, height: int, width: int) -> None:
    path = tmp_path / "odd.mp4"
    with FileSink(path) as sink:
        for frame in frames(3, height, width):
            sink(frame)
    images, _ = decoded(path)
    assert images[0].shape == (height + height % 2, width + width % 2, 3)
    assert np.abs(images[0][:height, :width].astype(int) - picture(0, height, width)).mean() < 2 * CODED
    assert np.abs(images[0][-1].astype(int) - images[0][height - 1]).mean() < 2 * CODED


def test_a_live_recording_keeps_the_times_of_capture_whatever_was_dropped(tmp_path) -> None:
    captured_s = [5.0, 5.033, 5.5, 5.5, 5.4, 6.0]  # a drop, a double and one out of order
    with FileSink(tmp_path / "out.mp4") as sink:
        for number, at_s in enumerate(captured_s):
            sink(Frame(picture(number, 48, 64), at_s, number))
    _, times = decoded(tmp_path / "out.mp4")
    assert times == pytest.approx([0, 0.033, 0.5, 0.5, 0.5, 1.0], abs=1e-3)
    assert all(later > earlier for earlier, later in zip(times, times[1:], strict=False))


def test_offline_frames_without_media_time_lie_on_the_frame_rate(tmp_path) -> None:
    with FileSink(tmp_path / "out.mp4", fps=10, live=False) as sink:
        for number in range(4):
            sink(Frame(picture(number, 48, 64), 0.0, number))
    _, times = decoded(tmp_path / "out.mp4")
    assert times == pytest.approx([0, 0.1, 0.2, 0.3], abs=1e-4)


def test_later_pictures_of_another_size_are_fitted_to_the_first(tmp_path) -> None:
    with FileSink(tmp_path / "out.mp4") as sink:
        sink(Frame(np.full((48, 64, 3), 200, np.uint8), 0.0, 0))
        sink(Frame(np.full((48, 32, 3), 200, np.uint8), 0.1, 1))
    images, _ = decoded(tmp_path / "out.mp4")
    assert [image.shape for image in images] == [(48, 64, 3)] * 2
    assert images[1][24, 2].max() < 30 and images[1][24, 32].min() > 180  # bars beside it


def test_the_mark_can_be_left_out(tmp_path) -> None:
    with FileSink(tmp_path / "out.mp4", mark=False) as sink:
        sink(next(frames(1)))
    assert not is_marked(tmp_path / "out.mp4")


def test_an_offline_file_has_its_name_only_when_it_is_complete(tmp_path) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"what was there")
    with FileSink(path, live=False) as sink:
        for frame in frames(5, offline=True):
            sink(frame)
        assert path.read_bytes() == b"what was there"
    assert len(decoded(path)[0]) == 5


@pytest.mark.parametrize("count", [0, 5])
def test_an_offline_render_that_fails_leaves_nothing_and_spares_what_was_there(tmp_path, count: int) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"what was there")
    with pytest.raises(ZeroDivisionError), FileSink(path, live=False) as sink:
        for frame in frames(count, offline=True):
            sink(frame)
        raise ZeroDivisionError
    assert path.read_bytes() == b"what was there"
    assert list(tmp_path.iterdir()) == [path]


def test_a_live_recording_that_is_interrupted_is_kept(tmp_path) -> None:
    path = tmp_path / "out.mp4"
    with pytest.raises(KeyboardInterrupt), FileSink(path) as sink:
        for frame in frames(7):
            sink(frame)
        raise KeyboardInterrupt
    assert len(decoded(path)[0]) == 7


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("was_there", [True, False])
def test_without_a_frame_no_file_is_made_and_none_is_lost(
    tmp_path, caplog, live: bool, was_there: bool
) -> None:
    path = tmp_path / "out.mp4"
    if was_there:
        path.write_bytes(b"what was there")
    with FileSink(path, live=live):
        pass
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"what was there"] * was_there
    assert "not one frame" in caplog.text


PLACES = {
    "a folder": ("folder.mp4", SinkUnavailable, "is a folder, expected a file"),
    "in no folder": ("missing/out.mp4", SinkUnavailable, "there is no folder .* make it first"),
    "in a file": ("note.txt/out.mp4", SinkUnavailable, "there is no folder"),
    "unknown ending": ("out.avi", WrongUse, r"expected a name that ends in \.mp4"),
    "no ending": ("out", WrongUse, r"expected a name that ends in \.mp4"),
    "longer than names are": ("x" * 300 + ".mp4", SinkUnavailable, "cannot be written .*name too long"),
}


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("place", PLACES)
def test_a_place_that_cannot_be_written_is_refused_in_one_line(tmp_path, place: str, live: bool) -> None:
    name, error, words = PLACES[place]
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "note.txt").write_text("a note")
    with pytest.raises(error, match=words) as caught:
        FileSink(tmp_path / name, live=live).__enter__()
    assert "\n" not in str(caught.value)
    assert {p.name for p in tmp_path.iterdir()} == {"folder.mp4", "note.txt"}
    assert (tmp_path / "note.txt").read_text() == "a note"


@pytest.mark.skipif(
    not Path("/proc/self").is_dir(), reason="needs a folder nobody can write to (Linux /proc)"
)
def test_a_folder_without_permission_is_refused_in_one_line() -> None:
    with pytest.raises(SinkUnavailable, match="cannot be written .*choose another place"):
        FileSink(Path("/proc/out.mp4")).__enter__()


@pytest.mark.parametrize("fps", [0.0, -1.0, 2000.0, float("nan")])
def test_a_frame_rate_that_cannot_be_is_refused(tmp_path, fps: float) -> None:
    with pytest.raises(WrongUse, match="fps"):
        FileSink(tmp_path / "out.mp4", fps=fps)


def test_the_last_picture_stands_as_long_as_the_driving_file_shows_it(tmp_path) -> None:
    """A screen recording ends in one picture of many seconds."""
    with FileSink(tmp_path / "out.mp4", live=False) as sink:
        for number in range(3):
            sink(Frame(picture(number, 48, 64), 0.0, number, number / 30, 3.0 if number == 2 else 1 / 30))
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.duration / av.time_base == pytest.approx(2 / 30 + 3.0, abs=0.001)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no colon in file names")
def test_a_recording_that_broke_off_is_kept_whatever_its_name(tmp_path, monkeypatch) -> None:
    """FFmpeg takes a relative 12:30.mp4 for an address."""
    monkeypatch.chdir(tmp_path)
    path = Path("12:30.mp4")
    with FileSink(path) as sink:
        for frame in frames(40):
            sink(frame)
    file = Mp4File(path)
    assert file.salvage()[0] == 40
    assert path.exists() and is_marked(path)
