# SPDX-License-Identifier: MIT
"""Rendering a clip onto a portrait: every frame, its sound, the same each time, and nothing half-done."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

import realtime.offline.demo  # noqa: F401 (binds the real opener before it is exchanged here)
from face.arrays import Image
from face.errors import BadMotion, BadVideo
from face.frame import Frame
from face.motion import BLENDSHAPE_INDEX
from methods.mesh.puppet import MeshPuppet, open_mesh
from methods.method import Opening
from methods.subject import Photo
from realtime.cli import main
from realtime.offline.builtin import portrait_path, write_driver
from realtime.offline.render import side_by_side, track_clip
from realtime.sinks.file import FileSink
from realtime.sources import open_source

FRAMES = 24
SMALL = ("--portrait-size", "192", "--whole-photo")
PLAIN = (*SMALL, "--no-refine")  # where refining is not the matter: it costs more than all the rest


@pytest.fixture(scope="module", autouse=True)
def _enrolled_once() -> Iterator[None]:
    """The same photo is enrolled once for all tests here: it takes longer than drawing a short clip."""
    opened: dict[tuple[str, int], MeshPuppet] = {}

    def open_once(subject: Photo, opening: Opening) -> MeshPuppet:
        key = (subject.name, opening.longest)
        if key not in opened:
            opened[key] = open_mesh(subject, opening)
        return opened[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("methods.mesh.puppet.open_mesh", open_once)
        yield


def frames_of(path: Path) -> list[Image]:
    with open_source(str(path), live=False) as source:
        return [frame.image for frame in source]


def with_sound(clip: Path, out: Path) -> Path:
    """The clip with a beep of its length."""
    with av.open(str(clip)) as source, av.open(str(out), "w") as target:
        video = target.add_stream_from_template(source.streams.video[0])
        audio = target.add_stream("aac", rate=48000, layout="mono")
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                target.mux(packet)
        beep = np.sin(np.arange(round(FRAMES / 30 * 48000)) * 2 * np.pi * 440 / 48000).astype(np.float32)
        for start in range(0, len(beep), 1024):
            block = av.AudioFrame.from_ndarray(beep[None, start : start + 1024], format="fltp", layout="mono")
            block.sample_rate, block.pts = 48000, start
            target.mux(audio.encode(block))
        target.mux(audio.encode(None))
    return out


def clip_of(images: list[Image], out: Path) -> Path:
    """The pictures at 10 a second."""
    with FileSink(out, fps=10, live=False) as sink:
        for index, image in enumerate(images):
            sink(Frame(image, 0.0, index))
    return out


@pytest.fixture(scope="module")
def rendered(driver_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a.mp4, rendered from the clip with sound, and its motion a.npz."""
    folder = tmp_path_factory.mktemp("rendered")
    clip = with_sound(driver_clip, folder / "clip.mp4")
    arguments = ["render", str(portrait_path()), str(clip), str(folder / "a.mp4")]
    assert main([*arguments, "--motion", str(folder / "a.npz"), *SMALL]) == 0
    return folder


def test_every_frame_is_drawn_and_the_portrait_moves(rendered: Path) -> None:
    images = frames_of(rendered / "a.mp4")
    assert len(images) == FRAMES
    assert {image.shape for image in images} == {(192, 192, 3)}
    moved = max(float(cv2.absdiff(image, images[0]).mean()) for image in images)
    assert moved > 0.5, "the driver talks in this clip"


def test_the_sound_is_kept_or_left_out(rendered: Path, driver_clip: Path) -> None:
    with av.open(str(rendered / "a.mp4")) as container:
        assert len(container.streams.audio) == 1
        assert abs(float(container.duration or 0) / av.time_base - FRAMES / 30) < 0.15
    silent = rendered / "silent.mp4"
    arguments = ["render", str(portrait_path()), str(rendered / "clip.mp4"), str(silent), "--no-audio"]
    assert main([*arguments, "--motion", str(rendered / "a.npz"), *PLAIN]) == 0
    with av.open(str(silent)) as container:
        assert not container.streams.audio


def test_the_same_motion_gives_the_same_pictures(rendered: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["render", str(portrait_path()), str(rendered / "clip.mp4")]
    options = ["--motion", str(rendered / "a.npz"), *SMALL, "--no-audio", "--json"]
    for name in ("b.mp4", "c.mp4"):
        assert main([*arguments, str(rendered / name), *options]) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last == {"out": str(rendered / "c.mp4"), "frames": FRAMES, "faceless": 0}
    for one, other in zip(frames_of(rendered / "b.mp4"), frames_of(rendered / "c.mp4"), strict=True):
        assert np.array_equal(one, other)


def test_compare_shows_driver_portrait_and_result(rendered: Path) -> None:
    out = rendered / "compared.mp4"
    arguments = ["render", str(portrait_path()), str(rendered / "clip.mp4"), str(out), "--compare"]
    assert main([*arguments, "--motion", str(rendered / "a.npz"), *PLAIN]) == 0
    image = frames_of(out)[0]
    assert image.shape == (192, 256 + 192 + 192, 3)
    portrait = cv2.resize(
        cv2.imread(str(portrait_path()))[..., ::-1], (192, 192), interpolation=cv2.INTER_AREA
    )
    assert float(cv2.absdiff(image[:, 256:448], portrait).mean()) < 6


def test_tracking_a_clip_reads_its_blink_and_its_words(driver_clip: Path) -> None:
    tracked = track_clip(driver_clip)
    assert len(tracked.motions) == FRAMES and tracked.faceless == 0
    assert all(motion.neutral is tracked.motions[0].neutral for motion in tracked.motions)
    blinks = [motion.blendshape("eyeBlinkLeft") for motion in tracked.motions]
    jaw = [motion.blendshapes[BLENDSHAPE_INDEX["jawOpen"]] for motion in tracked.motions]
    assert max(blinks) > 0.4 and np.argmax(blinks) in range(10, 18)
    assert max(jaw) > 0.2


def test_a_clip_that_was_cut_off_is_rendered_as_far_as_it_goes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole, clip, out = tmp_path / "whole.mp4", tmp_path / "cut.mp4", tmp_path / "out.mp4"
    given = write_driver(whole, seconds=1.5)
    with (
        av.open(str(whole)) as source,
        av.open(str(clip), "w", options={"movflags": "faststart"}) as target,
    ):
        video = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                target.mux(packet)
    clip.write_bytes(clip.read_bytes()[: int(0.45 * clip.stat().st_size)])
    assert main(["render", str(portrait_path()), str(clip), str(out), *SMALL, "--no-refine"]) == 0
    assert 0 < len(frames_of(out)) < given
    assert "the file says 1.5 s; what is there is used" in capfd.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no colon in file names")
def test_a_clip_may_be_called_as_a_time_of_day_is(
    rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FFmpeg would take 12:30.mp4 for an address."""
    monkeypatch.chdir(tmp_path)
    Path("2024-05-01T12:30:15.mp4").write_bytes((rendered / "clip.mp4").read_bytes())
    arguments = [
        "render",
        str(portrait_path()),
        "2024-05-01T12:30:15.mp4",
        "12:31.mp4",
        *SMALL,
        "--no-refine",
    ]
    assert main([*arguments, "--motion", str(rendered / "a.npz")]) == 0
    with av.open(str(tmp_path / "12:31.mp4")) as container:
        assert len(container.streams.audio) == 1 and len(container.streams.video) == 1


def test_a_folder_of_pictures_is_rendered(rendered: Path, tmp_path: Path, driver_clip: Path) -> None:
    folder, out = tmp_path / "pictures", tmp_path / "out.mp4"
    folder.mkdir()
    for number, image in enumerate(frames_of(driver_clip)[:3]):
        cv2.imwrite(str(folder / f"{number}.png"), image[..., ::-1])
    arguments = ["render", str(portrait_path()), str(folder), str(out), *SMALL, "--no-refine"]
    assert main([*arguments, "--motion", str(rendered / "a.npz")]) == 0
    assert len(frames_of(out)) == 3


def test_a_clip_without_a_face_is_told_in_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    clip = clip_of(
        [np.full((120, 160, 3), 20 * index, np.uint8) for index in range(10)], tmp_path / "wall.mp4"
    )
    with pytest.raises(BadVideo, match="no face in any of 10 frames"):
        track_clip(clip)
    out = tmp_path / "out.mp4"
    capfd.readouterr()
    assert main(["render", str(portrait_path()), str(clip), str(out), *SMALL]) == 1
    line = capfd.readouterr().err
    assert line.count("\n") == 1 and "no face in any of 10 frames" in line
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["wall.mp4"]


def test_the_motion_of_another_clip_is_refused(
    rendered: Path, tmp_path: Path, driver_clip: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    images = frames_of(driver_clip)
    longer = clip_of([*images, *images], tmp_path / "longer.mp4")
    out = tmp_path / "out.mp4"
    arguments = ["render", str(portrait_path()), str(longer), str(out), *PLAIN]
    assert main([*arguments, "--motion", str(rendered / "a.npz")]) == 1
    assert "it is of another clip" in capfd.readouterr().err
    assert not out.exists()


def test_a_motion_file_that_is_none_is_refused(tmp_path: Path, driver_clip: Path) -> None:
    motion = tmp_path / "motion.npz"
    motion.write_text("nothing of the kind")
    arguments = ["render", str(portrait_path()), str(driver_clip), str(tmp_path / "out.mp4")]
    assert main([*arguments, "--motion", str(motion), *SMALL]) == BadMotion.exit_status
    assert main([*arguments, "--motion", str(tmp_path / "motion.txt")]) == 2


def test_an_interrupted_render_ends_with_130_and_leaves_no_file(
    rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = FileSink.__call__

    def interrupted(self: FileSink, frame: Frame) -> None:
        original(self, frame)
        if self.frames == FRAMES // 2:
            assert [path.suffix for path in tmp_path.iterdir() if path.is_file()] == [".mp4"]
            raise KeyboardInterrupt

    monkeypatch.setattr(FileSink, "__call__", interrupted)
    out = tmp_path / "out.mp4"
    arguments = [
        "render",
        str(portrait_path()),
        str(rendered / "clip.mp4"),
        str(out),
        *PLAIN,
    ]
    assert main([*arguments, "--motion", str(rendered / "a.npz")]) == 130
    assert [path for path in tmp_path.iterdir() if path.is_file()] == []


def test_an_output_that_is_an_input_is_refused(driver_clip: Path) -> None:
    before = driver_clip.read_bytes()
    assert main(["render", str(portrait_path()), str(driver_clip), str(driver_clip)]) == 2
    assert driver_clip.read_bytes() == before


def test_pictures_side_by_side_are_as_high_as_the_result() -> None:
    tall, wide = np.zeros((100, 50, 3), np.uint8), np.zeros((30, 90, 3), np.uint8)
    result = np.full((60, 80, 3), 7, np.uint8)
    row = side_by_side([tall, wide, result])
    assert row.shape == (60, 30 + 180 + 80, 3)
    assert np.array_equal(row[:, -80:], result)


def test_the_demo_needs_nothing_and_shows_three_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "demo.mp4"
    assert main(["demo", "--out", str(out), "--seconds", "0.5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["frames"] == 15
    images = frames_of(out)
    assert len(images) == 15 and images[0].shape[1] > 3 * images[0].shape[0]
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["demo.mp4"]
