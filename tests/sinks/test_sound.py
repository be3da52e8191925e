# SPDX-License-Identifier: MIT
"""The sound of a driving file comes along, each part at its instant; the picture never depends on it."""

import logging
from collections.abc import Callable
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest

from face.frame import Frame
from realtime.badge import is_marked
from realtime.sinks import file
from realtime.sinks.audio import in_step
from realtime.sinks.file import FileSink
from realtime.sources.video import Video

FPS = 25
TONES_S = (1.0, 2.4)  # each a fifth of a second long
STEP_S = 0.003  # encoders blur a beginning, and files round their times to milliseconds
FRAME_S = 0.03  # a packet of a copied sound


def film(
    path: Path,
    codec: str,
    rate: int = 48000,
    layout: str = "mono",
    *,
    seconds: float = 3.0,
    pictures_from_s: float = 0.0,
    sound_from_s: float = 0.0,
    lost_s: tuple[float, float] = (0.0, 0.0),
) -> Path:
    """Grey pictures, white while a tone sounds, on the file's own clock; packets of `lost_s` are left out."""
    suits = {".mpg": "mpeg1video", ".ts": "mpeg2video", ".webm": "libvpx"}.get(path.suffix, "mpeg4")
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg cannot write {codec}")
    with av.open(str(path), "w") as container:
        video = container.add_stream(suits, rate=FPS, options={"g": "10"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream(codec, rate=rate, layout=layout)
        packets = []
        for number in range(round(pictures_from_s * FPS), round(seconds * FPS)):
            white = any(start <= number / FPS < start + 0.2 for start in TONES_S)
            image = np.full((48, 64, 3), 255 if white else 60, np.uint8)
            picture = av.VideoFrame.from_ndarray(image, format="rgb24")
            picture.pts, picture.time_base = number, Fraction(1, FPS)
            packets += video.encode(picture)
        packets += video.encode(None)
        times_s = np.arange(round(sound_from_s * rate), round(seconds * rate)) / rate
        wave = sum(
            0.8 * np.sin(2 * np.pi * 400 * times_s) * ((times_s >= start) & (times_s < start + 0.2))
            for start in TONES_S
        )
        sound = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None], format="fltp", layout="mono")
        sound.sample_rate, sound.pts, sound.time_base = rate, round(sound_from_s * rate), Fraction(1, rate)
        form = audio.codec_context
        cutter = av.AudioResampler(form.format, layout, rate, form.frame_size or 1024)
        heard = [packet for piece in cutter.resample(sound) for packet in audio.encode(piece)]
        heard += [packet for piece in cutter.resample(None) for packet in audio.encode(piece)]
        heard += audio.encode(None)
        packets += [each for each in heard if not lost_s[0] <= each.pts * each.time_base < lost_s[1]]
        for packet in sorted(packets, key=lambda each: each.dts * each.time_base):
            container.mux(packet)
    return path


def rendered(source: Path) -> Path:
    """The film's own pictures written again, with its sound."""
    out = source.with_name("out.mp4")
    with Video(source, live=False) as video, FileSink(out, fps=FPS, live=False, audio_from=source) as sink:
        for frame in video:
            sink(frame)
    return out


def flashes(path: Path) -> list[float]:
    """When the picture turns white, in seconds from the first one."""
    with av.open(str(path)) as container:
        shown = [
            (each.time, each.to_ndarray(format="gray").mean() > 150) for each in container.decode(video=0)
        ]
    turns = zip(shown[1:], shown, strict=False)
    return [at_s - shown[0][0] for (at_s, white), (_, before) in turns if white and not before]


def tones(path: Path) -> list[float]:
    """When a tone begins, in seconds from the first picture; none without a sound."""
    with av.open(str(path)) as container:
        start_s = next(container.decode(video=0)).time
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return []
        rate = container.streams.audio[0].rate
        plain = av.AudioResampler("fltp", "mono", rate)
        pieces = [(f.time - start_s, plain.resample(f)[0].to_ndarray()[0]) for f in container.decode(audio=0)]
    loud = np.concatenate([at_s + np.flatnonzero(np.abs(wave) > 0.15) / rate for at_s, wave in pieces])
    return [float(at_s) for at_s in loud[np.diff(loud, prepend=-1.0) > 0.3]]


def codec_of(path: Path) -> str:
    with av.open(str(path)) as container:
        return container.streams.audio[0].codec_context.name


@pytest.mark.parametrize(
    ("name", "codec", "rate", "becomes"),
    [
        ("film.mp4", "aac", 44100, "aac"),
        ("film.mp4", "libmp3lame", 44100, "mp3float"),
        ("film.mpg", "mp2", 44100, "aac"),
        ("film.mkv", "flac", 48000, "aac"),
        ("film.mkv", "libopus", 48000, "aac"),
        ("film.3gp", "libopencore_amrnb", 8000, "aac"),
        ("film.mov", "pcm_mulaw", 8000, "aac"),
    ],
)
def test_sound_is_in_step_with_the_picture(
    tmp_path: Path, name: str, codec: str, rate: int, becomes: str
) -> None:
    source = film(tmp_path / name, codec, rate)
    out = rendered(source)
    assert tones(out) == pytest.approx(tones(source), abs=STEP_S)
    assert flashes(out) == pytest.approx(flashes(source), abs=0.001)
    assert codec_of(out) == becomes and is_marked(out)


@pytest.mark.parametrize(
    ("name", "codec", "rate", "layout"),
    [
        ("film.mov", "pcm_s16le", 192000, "mono"),
        ("film.mov", "pcm_s16le", 176400, "mono"),
        ("film.mov", "pcm_s16le", 6000, "mono"),
        ("film.avi", "libmp3lame", 11025, "mono"),
        ("film.mkv", "libmp3lame", 8000, "mono"),
        ("film.mov", "pcm_s24le", 48000, "22.2"),
    ],
)
def test_sound_that_an_mp4_or_its_encoder_declines_is_made_to_fit(
    tmp_path: Path, name: str, codec: str, rate: int, layout: str
) -> None:
    source = film(tmp_path / name, codec, rate, layout)
    assert tones(rendered(source)) == pytest.approx(tones(source), abs=STEP_S)


@pytest.mark.parametrize(
    ("codec", "lost_s"), [("libopus", (1.3, 2.3)), ("libopus", (1.4, 1.44)), ("flac", (0.2, 0.8))]
)
def test_after_a_pause_the_sound_is_still_in_step(
    tmp_path: Path, codec: str, lost_s: tuple[float, float]
) -> None:
    out = rendered(film(tmp_path / "film.mkv", codec, lost_s=lost_s))
    assert tones(out) == pytest.approx(TONES_S, abs=STEP_S)
    with av.open(str(out)) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) > 2.9 * 48000  # the pause is silence


@pytest.mark.parametrize(("name", "codec"), [("film.mkv", "flac"), ("film.mp4", "aac"), ("film.ts", "mp2")])
@pytest.mark.parametrize(("pictures_from_s", "sound_from_s"), [(0.0, 0.4), (0.4, 0.0)])
def test_sound_that_begins_later_or_earlier_than_the_picture_is_in_step(
    tmp_path: Path, name: str, codec: str, pictures_from_s: float, sound_from_s: float
) -> None:
    source = film(tmp_path / name, codec, pictures_from_s=pictures_from_s, sound_from_s=sound_from_s)
    out = rendered(source)
    assert np.subtract(tones(out), flashes(out)) == pytest.approx([0.0, 0.0], abs=FRAME_S)


def test_where_the_first_pictures_cannot_be_decoded_the_sound_is_in_step(tmp_path: Path) -> None:
    source = film(tmp_path / "film.ts", "mp2")
    data = source.read_bytes()
    source.write_bytes(data[188 * 20 :])  # whole pieces of this format; the first key picture is gone
    out = rendered(source)
    assert 0.1 < flashes(out)[0] < 0.9
    assert np.subtract(tones(out), flashes(out)) == pytest.approx([0.0, 0.0], abs=FRAME_S)


def test_sound_that_changes_its_form_on_the_way_is_kept(tmp_path: Path) -> None:
    parts = [
        film(tmp_path / "a.ts", "mp2", 44100, "mono", seconds=2.0),
        film(tmp_path / "b.ts", "mp2", 48000, "stereo", pictures_from_s=2.0, sound_from_s=2.0),
    ]
    joined = tmp_path / "film.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    out = rendered(joined)
    assert np.subtract(tones(out), flashes(out)) == pytest.approx([0.0, 0.0], abs=FRAME_S)


def test_damaged_sound_is_silent_where_it_is_damaged(tmp_path: Path) -> None:
    source = film(tmp_path / "film.mkv", "flac")
    data = bytearray(source.read_bytes())
    inside = len(data) // 3  # of the first tone; silence takes little room
    data[inside : inside + 400] = np.random.default_rng(1).bytes(400)
    source.write_bytes(data)
    assert tones(rendered(source)) == pytest.approx(TONES_S, abs=STEP_S)


def no_known_codec(path: Path) -> None:
    data = bytearray(film(path, "pcm_s16le").read_bytes())
    header = data.index(b"strf", data.index(b"auds"))
    data[header + 8 : header + 10] = b"\x34\x12"
    path.write_bytes(data)


def a_rate_of_billions(path: Path) -> None:
    data = bytearray(film(path, "pcm_s16le").read_bytes())
    header = data.index(b"strf", data.index(b"auds"))
    data[header + 12 : header + 16] = b"\xff\xff\xff\x7f"
    path.write_bytes(data)


@pytest.mark.parametrize("spoil", [no_known_codec, a_rate_of_billions])
def test_sound_that_cannot_be_had_is_left_out_and_said_so(
    tmp_path: Path, spoil: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    spoil(tmp_path / "film.avi")
    out = rendered(tmp_path / "film.avi")
    assert len(flashes(out)) == 2 and tones(out) == [] and is_marked(out)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "film.avi: its sound was left out" in caplog.text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.avi", "out.mp4"]


@pytest.mark.parametrize("name", ["film.mp4", "pictures", "nothing.mp4"])
def test_what_has_no_sound_makes_a_silent_file_without_a_word(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "film.mp4").write_text("no film")
    (tmp_path / "pictures").mkdir()
    with FileSink(tmp_path / "out.mp4", live=False, audio_from=tmp_path / name) as sink:
        sink(Frame(np.zeros((48, 64, 3), np.uint8), 0.0, 0, 0.0))
    assert tones(tmp_path / "out.mp4") == [] and not caplog.text


def test_the_sound_is_cut_to_the_part_that_was_rendered(tmp_path: Path) -> None:
    source = film(tmp_path / "film.mp4", "aac")
    out = tmp_path / "out.mp4"
    with FileSink(out, fps=FPS, live=False, audio_from=source) as sink:
        for number in range(20, 40):
            sink(Frame(np.zeros((48, 64, 3), np.uint8), 0.0, number, number / FPS))
    assert tones(out) == pytest.approx([1.0 - 0.8], abs=FRAME_S)
    with av.open(str(out)) as container:
        assert container.duration / av.time_base == pytest.approx(0.8, abs=FRAME_S)


def test_the_sound_goes_on_while_the_last_picture_stands(tmp_path: Path) -> None:
    source = film(tmp_path / "film.mkv", "flac")
    out = tmp_path / "out.mp4"
    with FileSink(out, fps=FPS, live=False, audio_from=source) as sink:
        sink(Frame(np.zeros((48, 64, 3), np.uint8), 0.0, 0, 0.0, shown_s=3.0))
    assert tones(out) == pytest.approx(TONES_S, abs=STEP_S)


def test_a_render_that_is_interrupted_at_its_sound_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    source = film(tmp_path / "film.mp4", "aac")
    monkeypatch.setattr(file, "add_sound", interrupted)
    with pytest.raises(KeyboardInterrupt):
        rendered(source)
    assert list(tmp_path.iterdir()) == [source]


def test_hours_of_silence_are_not_made_before_they_are_needed() -> None:
    sound = np.ones((2, 480), np.float32)
    given = list(islice(in_step([(0.0, sound), (36_000.0, sound)], 0.0, 48_000), 3))
    assert [piece.shape for piece in given] == [(2, 480), (2, 48_000), (2, 48_000)]
    assert given[0].all() and not given[1].any()
