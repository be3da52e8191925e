# SPDX-License-Identifier: MIT
"""A video comes whole offline, at its own pace live, upright, and says in one line when it cannot."""

import io
import logging
import re
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image as Pillow
from waiting import HANG_S, STUCK_S, no_hang

from face.errors import BadVideo, PuppetError, WrongUse
from face.photo import UPRIGHT
from realtime.sources.testcard import TestCard, read_counter
from realtime.sources.video import Video

CODED = 8.0  # grey levels, mean: H.264 at its fastest
LATENESS_S = 0.04  # a frame's wait on a busy machine
DRIVING = Path(__file__).parents[2].parent / "shared" / "data" / "driving"

MakeClip = Callable[..., Path]


def test_offline_every_frame_comes_with_its_media_time(clip: Path) -> None:
    with Video(clip, live=False) as video:
        frames = list(video)
    assert [frame.index for frame in frames] == list(range(30))
    assert [read_counter(frame.image) for frame in frames] == list(range(30))
    assert [frame.media_s for frame in frames] == pytest.approx([n / 30 for n in range(30)], abs=0.002)
    assert video.fps == pytest.approx(30, abs=0.5)
    assert frames[0].image.shape == (240, 320, 3) and frames[0].image.dtype == np.uint8
    assert frames[0].image.flags.c_contiguous


def test_offline_it_is_not_held_back(tmp_path: Path, make_clip: MakeClip) -> None:
    path = make_clip(tmp_path / "slow.mp4", [0.0, STUCK_S, 2 * STUCK_S])
    with no_hang(), Video(path, live=False) as video:
        assert [frame.media_s for frame in video] == pytest.approx([0, STUCK_S, 2 * STUCK_S])


def test_live_it_keeps_the_pace_of_the_file(clip: Path) -> None:
    with Video(clip) as video:
        frames, arrived_s = [], []
        for frame in video:
            arrived_s.append(time.perf_counter())
            frames.append(frame)
    assert frames[-1].index == 29
    captured_s = np.array([frame.captured_s - frames[-1].captured_s for frame in frames])
    assert captured_s == pytest.approx([(frame.index - 29) / 30 for frame in frames], abs=0.002)
    assert len(frames) > 2  # a busy machine may drop some
    assert all(at_s >= frame.captured_s for at_s, frame in zip(arrived_s, frames, strict=True)), "never early"
    assert all(frame.media_s is None for frame in frames)


def test_live_what_nobody_fetched_is_left_out(clip: Path) -> None:
    with Video(clip) as video:
        frames = []
        for frame in video:
            frames.append(frame)
            time.sleep(0.2)
    assert len(frames) <= 6
    assert [read_counter(frame.image) for frame in frames] == [frame.index for frame in frames]
    steps = [later.captured_s - frame.captured_s for frame, later in zip(frames, frames[1:], strict=False)]
    assert (
        min(steps[:-1], default=0.2) > 0.2 - 1.5 / 30
    )  # each but the clip's last was the newest when fetched


def test_live_after_a_long_halt_the_clock_slips_instead_of_racing(
    tmp_path: Path, make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "realtime.sources.video.CATCH_UP_S", 0.0
    )  # the machine is too slow to skip a single frame
    path = make_clip(tmp_path / "clip.mp4", [n / 100 for n in range(20)])
    with Video(path) as video:
        iterator = iter(video)
        next(iterator)
        time.sleep(0.1)
        now_s = time.perf_counter()
        frame = next(iterator)
        assert frame.captured_s >= now_s
        assert frame.index < 5


def test_a_variable_frame_rate_is_honoured(tmp_path: Path, make_clip: MakeClip) -> None:
    times = [0.0, 0.03, 0.06, 0.26, 0.30, 0.55]
    path = make_clip(tmp_path / "variable.mp4", times)
    with Video(path, live=False) as offline:
        assert [frame.media_s for frame in offline] == pytest.approx(times, abs=0.002)
    with Video(path) as live:
        shown = [(frame.captured_s, times[frame.index]) for frame in live]  # a busy machine may drop some
    start_s = shown[-1][0] - times[-1]
    assert len(shown) > 2
    assert [instant - start_s for instant, _ in shown] == pytest.approx([due for _, due in shown], abs=0.002)


def test_the_ticks_of_a_clock_are_no_frame_rate(tmp_path: Path, make_clip: MakeClip) -> None:
    path = make_clip(tmp_path / "ticks.mkv", [n / 30 for n in range(5)], rate=30000)
    with av.open(str(path)) as container:
        assert container.streams.video[0].average_rate == 30000
    with Video(path, live=False) as video:
        assert 25 <= video.fps <= 35


def test_times_that_start_late_count_from_the_first_frame(tmp_path: Path, make_clip: MakeClip) -> None:
    path = make_clip(tmp_path / "late.mkv", [7.0 + n / 30 for n in range(5)])
    with Video(path, live=False) as video:
        assert [frame.media_s for frame in video] == pytest.approx([n / 30 for n in range(5)], abs=0.002)


def test_a_loop_goes_on_counting(tmp_path: Path, make_clip: MakeClip) -> None:
    path = make_clip(tmp_path / "short.mp4", [n / 30 for n in range(4)])
    with Video(path, loop=True) as video:
        frames = []
        for frame in video:
            frames.append(frame)
            if frame.index >= 9:
                break
    assert [read_counter(frame.image) for frame in frames] == [frame.index % 4 for frame in frames]
    steps = np.diff([frame.captured_s for frame in frames]) / np.diff([frame.index for frame in frames])
    assert steps == pytest.approx(1 / 30, abs=0.01)


def test_an_offline_loop_is_a_programmer_s_error(clip: Path) -> None:
    with pytest.raises(ValueError, match="never end"):
        Video(clip, live=False, loop=True)


@pytest.mark.parametrize("rotation", [0, 90, -90, 180])
def test_the_rotation_mark_is_honoured(tmp_path: Path, make_clip: MakeClip, rotation: int) -> None:
    """+90 asks for a quarter turn counter-clockwise when shown."""
    path = make_clip(tmp_path / "phone.mp4", [0.0], rotation=rotation)
    with Video(path, live=False) as video:
        image = next(iter(video)).image
    assert image.shape == ((240, 320, 3) if rotation in (0, 180) else (320, 240, 3))
    assert read_counter(np.rot90(image, -rotation // 90)) == 0
    if rotation:
        assert read_counter(image) is None


# The display matrix of each EXIF orientation: x' = a x + c y, y' = b x + d y.
MATRICES = {
    1: (1, 0, 0, 1), 2: (-1, 0, 0, 1), 3: (-1, 0, 0, -1), 4: (1, 0, 0, -1),
    5: (0, 1, 1, 0), 6: (0, 1, -1, 0), 7: (0, -1, -1, 0), 8: (0, -1, 1, 0),
}  # fmt: skip


@pytest.mark.parametrize("orientation", MATRICES)
def test_videos_are_turned_and_mirrored_as_photos_are(
    tmp_path: Path, make_clip: MakeClip, orientation: int
) -> None:
    path = make_clip(tmp_path / "phone.mp4", [0.0], matrix=MATRICES[orientation])
    with Video(path, live=False) as video:
        image = next(iter(video)).image
    stored = Pillow.fromarray(next(iter(TestCard((320, 240), live=False))).image)
    upright = stored.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else stored
    assert image.flags.c_contiguous and image.shape == np.asarray(upright).shape
    assert np.abs(image.astype(int) - np.asarray(upright)).mean() < CODED


def test_marks_that_have_no_name_here_do_not_matter(tmp_path: Path) -> None:
    """FFmpeg passes on the EXIF block of each picture of a motion JPEG; PyAV knows no such mark."""
    exif = Pillow.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    Pillow.new("RGB", (64, 48), "red").save(stream, "JPEG", exif=exif)
    with av.open(str(tmp_path / "camera.avi"), "w") as container:
        video = container.add_stream("mjpeg", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuvj420p"
        for number in range(3):
            packet = av.Packet(stream.getvalue())
            packet.pts = packet.dts = number
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 25), video, True
            container.mux(packet)
    with Video(tmp_path / "camera.avi", live=False) as source:
        assert sorted(next(iter(source)).image.shape) == [3, 48, 64]


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mov", "clip.mkv"])
def test_a_last_picture_that_stands_is_shown_as_long_as_it_is_meant_to(
    tmp_path: Path, make_clip: MakeClip, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A screen recording writes a picture where something changes, and ends in one of many seconds."""
    path = make_clip(tmp_path / name, [n / 30 for n in range(8)], last_s=3.0)
    with Video(path, live=False) as video:
        frames = list(video)
    assert len(frames) == 8 and frames[-1].shown_s == pytest.approx(3.0, abs=0.002)
    assert not caplog.text


def test_in_a_loop_the_last_picture_stands_too(tmp_path: Path, make_clip: MakeClip) -> None:
    path = make_clip(tmp_path / "clip.mp4", [0.0, 0.1], last_s=0.4)
    captured_s = {}
    with Video(path, loop=True) as video:
        for frame in video:
            captured_s[frame.index] = frame.captured_s
            if frame.index >= 3:
                break
    times_s = {number: number // 2 * 0.5 + number % 2 * 0.1 for number in range(8)}
    start_s = captured_s[0]
    assert [captured_s[n] - start_s for n in captured_s] == pytest.approx(
        [times_s[n] for n in captured_s], abs=0.002
    )


@pytest.mark.parametrize("name", ["clip.mkv", "clip.mov", "clip.avi", "clip.ts"])
def test_usual_containers_are_read(tmp_path: Path, make_clip: MakeClip, name: str) -> None:
    path = make_clip(tmp_path / name, [n / 30 for n in range(8)])
    with Video(path, live=False) as video:
        assert [read_counter(frame.image) for frame in video] == list(range(8))


def cut(path: Path, kept: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    return path


@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_a_clip_without_its_index_is_refused(tmp_path: Path, make_clip: MakeClip, kept: float) -> None:
    path = cut(make_clip(tmp_path / "cut.mp4", [n / 30 for n in range(30)]), kept)
    with pytest.raises(BadVideo, match="is no video or was cut off.*copy or record it again"):
        Video(path)


@pytest.mark.parametrize(("name", "options"), [("cut.mp4", {"movflags": "faststart"}), ("cut.mkv", {})])
def test_a_clip_that_breaks_off_gives_what_it_has_and_says_so(
    tmp_path: Path, make_clip: MakeClip, name: str, options: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    path = cut(make_clip(tmp_path / name, [n / 30 for n in range(60)], options=options), 0.6)
    with Video(path, live=False) as video:
        assert 20 < sum(1 for _ in video) < 45
    assert re.search(r"cut\.m.*pictures end after 1\.\d s, the file says 2\.0 s.*copy it again", caplog.text)
    caplog.clear()
    with Video(path) as live:
        assert sum(1 for _ in live) > 2
    assert "pictures end after" in caplog.text


def test_damage_in_the_middle_is_passed_over(
    tmp_path: Path, make_clip: MakeClip, caplog: pytest.LogCaptureFixture
) -> None:
    path = make_clip(
        tmp_path / "scratched.mp4", [n / 30 for n in range(60)], options={"movflags": "faststart"}
    )
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 20] = bytes(20)  # in the length of a piece, or its content
    path.write_bytes(bytes(data))
    with caplog.at_level(logging.WARNING), Video(path, live=False) as video:
        numbers = [frame.index for frame in video]
    assert len(numbers) > 30 and numbers == list(range(len(numbers)))


def music_with_a_cover(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(sound.encode(frame))
        container.mux(sound.encode())
    return path


def no_frames(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    return path


def holding(content: bytes) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize(
    ("name", "make", "found"),
    [
        ("song.mp4", music_with_a_cover, r"holds no moving pictures \(found: audio\)"),
        ("zero.avi", no_frames, "holds no frame"),
        ("zero.mp4", no_frames, "holds no moving pictures|holds no frame"),
        ("zero.mkv", no_frames, "is no video or was cut off|holds no"),
        ("text.mp4", holding(b"dear diary\n" * 100), "is no video"),
        ("text.txt", holding(b"dear diary\n" * 100), "is no video but a text"),
        ("empty.mp4", holding(b""), "is no video"),
        ("noise.mkv", holding(np.random.default_rng(0).bytes(5000)), "is no video"),
    ],
)
def test_what_holds_no_video_is_refused_in_one_line(
    tmp_path: Path, name: str, make: Callable[[Path], Path], found: str
) -> None:
    path = make(tmp_path / name)
    with pytest.raises(BadVideo, match=found) as caught:
        Video(path)
    message = str(caught.value)
    assert str(path) in message and "expected a video" in message and "\n" not in message


def test_a_missing_file_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="does not exist") as caught:
        Video(tmp_path / "nothing.mp4")
    assert caught.value.exit_status == 2


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadVideo, match="is a folder"):
        Video(tmp_path)


def test_an_unreadable_file_is_named_as_such(unreadable: Callable[[str], Path]) -> None:
    with pytest.raises(BadVideo, match="may not be read by this user"):
        Video(unreadable("secret.mp4"))


def test_an_error_leaves_no_file_open(tmp_path: Path) -> None:
    """On Windows an open file could not be deleted; elsewhere the list of open files tells."""
    path = no_frames(tmp_path / "zero.avi")
    with pytest.raises(PuppetError):
        Video(path)
    opened = Path("/proc/self/fd")
    if opened.is_dir():
        assert path not in [link.resolve() for link in opened.iterdir()]
    path.unlink()


def test_closing_from_another_thread_ends_a_wait(tmp_path: Path, make_clip: MakeClip) -> None:
    path = make_clip(tmp_path / "slow.mp4", [0.0, STUCK_S])
    video = Video(path)
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.extend(frame.index for frame in video))
    thread.start()
    time.sleep(0.1)
    with no_hang():
        video.__exit__()
    thread.join(HANG_S)
    assert not thread.is_alive()
    assert seen == [0]


def test_a_real_clip_comes_whole() -> None:
    clips = sorted(DRIVING.glob("*.mp4"))
    if not clips:
        pytest.skip("no driving clips beside the checkout (shared/data/driving)")
    with av.open(str(clips[0])) as container:
        stated = container.streams.video[0].frames
    with Video(clips[0], live=False) as video:
        times = [frame.media_s for frame in video]
    assert len(times) == stated
    assert np.diff(np.array(times, dtype=float)) == pytest.approx(1 / video.fps, abs=0.002)
