# SPDX-License-Identifier: MIT
"""Files are complete, timed as captured, marked, and a failed one leaves nothing half-written."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from face.errors import BadVideo, SinkUnavailable, WrongUse
from face.frame import Frame
from realtime.badge import is_marked
from realtime.sinks.file import FileSink

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


def sounding(path: Path, codec: str, *, seconds: float = 2.0, start_s: float = 0.0) -> Path:
    """A film of grey pictures at 25 a second; its sound is silent up to half its length, then a tone."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg1video" if path.suffix == ".mpg" else "libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream(codec, rate=44100, layout="mono")
        offset = round(start_s * 25)
        for number in range(round(seconds * 25)):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 128, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number + offset, Fraction(1, 25)
            container.mux(video.encode(frame))
        wave = np.sin(np.arange(round(seconds * 44100)) * 0.1) * (
            np.arange(round(seconds * 44100)) > seconds * 22050
        )
        resampler = av.AudioResampler(
            audio.codec_context.format, "mono", 44100, audio.codec_context.frame_size or 1024
        )
        frame = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 44100, round(start_s * 44100), Fraction(1, 44100)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(audio.encode(piece))
        container.mux(audio.encode(None))
        container.mux(video.encode(None))
    return path


def loudness(path: Path) -> tuple[float, float, str]:
    """When the tone begins, how long the sound is in seconds, and its codec."""
    with av.open(str(path)) as container:
        codec = container.streams.audio[0].codec_context.name
        pieces = [(f.time, f.to_ndarray().astype(np.float64).reshape(-1)) for f in container.decode(audio=0)]
    loud = [
        time
        for time, samples in pieces
        if np.abs(samples).max() > 0.2 * max(np.abs(p[1]).max() for p in pieces)
    ]
    return loud[0], pieces[-1][0], codec


@pytest.mark.parametrize(
    "suffix, codec, start_s",
    [
        (".mp4", "aac", 0.0),
        (".mp4", "aac", 0.4),
        (".mp4", "mp3", 0.0),
        (".mpg", "mp2", 0.0),
        (".mkv", "flac", 0.0),
        (".mkv", "flac", 0.4),
    ],
)
def test_the_sound_of_the_driving_file_comes_along_in_time(
    tmp_path, suffix: str, codec: str, start_s: float
) -> None:
    name = {"mp3": "libmp3lame"}.get(codec, codec)
    film = sounding(tmp_path / f"film{suffix}", name, start_s=start_s)
    path = tmp_path / "out.mp4"
    with FileSink(path, fps=25, live=False, audio_from=film) as sink:
        for number in range(50):
            sink(Frame(picture(number, 48, 64), 0.0, number, number / 25))
    begins_s, ends_s, written = loudness(path)
    assert begins_s == pytest.approx(1.0, abs=0.08)
    assert ends_s == pytest.approx(2.0, abs=0.1)
    assert written.removesuffix("float") == (codec if codec in ("aac", "mp3") else "aac")
    assert len(decoded(path)[0]) == 50


def test_the_sound_is_cut_to_the_part_that_was_rendered(tmp_path) -> None:
    film = sounding(tmp_path / "film.mp4", "aac")
    path = tmp_path / "out.mp4"
    with FileSink(path, fps=25, live=False, audio_from=film) as sink:
        for number in range(20, 40):
            sink(Frame(picture(number, 48, 64), 0.0, number, number / 25))
    begins_s, ends_s, _ = loudness(path)
    assert begins_s == pytest.approx(1.0 - 0.8, abs=0.08)
    assert ends_s == pytest.approx(0.8, abs=0.1)


def test_a_silent_film_makes_a_silent_file(tmp_path) -> None:
    film, path = tmp_path / "film.mp4", tmp_path / "out.mp4"
    with FileSink(film) as sink:
        sink(next(frames(1)))
    with FileSink(path, live=False, audio_from=film) as sink:
        sink(next(frames(1, offline=True)))
    with av.open(str(path)) as container:
        assert len(container.streams) == 1


def test_sound_from_what_is_no_film_is_refused_in_one_line(tmp_path) -> None:
    (tmp_path / "film.mp4").write_text("no film")
    with pytest.raises(BadVideo, match="no sound from") as caught:
        FileSink(tmp_path / "out.mp4", live=False, audio_from=tmp_path / "film.mp4").__enter__()
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["film.mp4"]
