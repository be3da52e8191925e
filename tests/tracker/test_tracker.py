# SPDX-License-Identifier: MIT
"""What the tracker makes of a script of faces: rest, loss, return, times, settings. No landmarker."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scripted_faces import SIZE, ScriptedDetector, a_face, blank, largest_step

from engines.mediapipe_reader import Face
from face.frame import Frame
from face.motion import Motion
from face.motion_vector import resting_vector, vector_of_motion
from realtime.tracker.face_tracker import AWAY_S, FOUND_S, LOST_S, FaceTracker
from realtime.tracker.neutrals import KeptNeutral, NeutralStore

FPS = 30
GLIDE_PX = (
    12.0  # a frame; a face that eases over half a picture in 0.3 s at 30 fps moves at most 0.19 of the way
)
HERE, THERE = {"x": -0.03, "yaw": 15.0}, {"x": 0.05, "yaw": -10.0}
NOBODY: list[Face] = []


def track(tracker: FaceTracker, frames: int, start: int = 0) -> list[Motion]:
    return [tracker(blank(index, index / FPS)) for index in range(start, start + frames)]


def run(script: Sequence[Sequence[Face]], frames: int | None = None, **settings: object) -> list[Motion]:
    with FaceTracker(ScriptedDetector(script), **settings) as tracker:
        return track(tracker, frames or len(script))


def test_a_face_that_rests_is_its_own_neutral_from_the_first_frame_on() -> None:
    motions = run([[a_face(**HERE)]], frames=40)
    for motion in motions:
        assert motion.confidence == 1.0
        assert motion.neutral is not None and motion.neutral.neutral is None
        assert np.abs(motion.landmarks - motion.neutral.landmarks).max() < 0.1
        assert motion.rotation == pytest.approx([15, 0, 0], abs=0.01)


def test_the_neutral_stays_one_object_while_nothing_changes() -> None:
    motions = run([[a_face()]], frames=90)
    assert motions[70].neutral is motions[89].neutral


def test_a_start_amid_speech_settles_on_the_resting_face_without_a_visible_jump() -> None:
    speech = [[a_face(yaw=12 if i < 8 else 0, jaw=0.5 if i < 8 else 0.0)] for i in range(60)]
    motions = run(speech)
    neutrals = [motion.neutral for motion in motions]
    assert largest_step(neutrals) < 2.0
    assert neutrals[0].blendshape("jawOpen") == pytest.approx(0.5)
    assert neutrals[-1].blendshape("jawOpen") < 0.01
    assert abs(neutrals[-1].rotation[0]) < 0.1


def test_absolute_motions_carry_no_neutral() -> None:
    assert all(motion.neutral is None for motion in run([[a_face()]], frames=5, relative=False))


def test_a_lost_face_eases_to_rest_idles_alive_and_returns_without_a_jump() -> None:
    script = [[a_face()]] * 45 + [[a_face(**HERE)]] * 30 + [NOBODY] * 120 + [[a_face(**THERE)]] * 45
    motions = run(script)
    assert largest_step(motions[75:]) < GLIDE_PX
    lost, back = 75, 195
    confidence = np.array([motion.confidence for motion in motions])
    assert confidence[lost - 1] == 1 and (confidence[lost + round(LOST_S * FPS) + 1 : back] == 0).all()
    assert (np.diff(confidence[lost : lost + 15]) < 0).all()
    assert confidence[back + round(FOUND_S * FPS)] == pytest.approx(1)
    idle = motions[lost + 40 : back]
    assert all(abs(motion.rotation[0]) < 3 for motion in idle)  # at rest, not turned as when last seen
    assert max(motion.blendshape("eyeBlinkLeft") for motion in idle) > 0.7
    assert np.ptp([motion.rotation[1] for motion in idle]) > 0.2
    assert motions[-1].rotation == pytest.approx([-10, 0, 0], abs=0.2)


def test_the_way_back_is_smooth_even_when_the_face_returns_while_it_is_still_easing_away() -> None:
    script = (
        [[a_face(**HERE)]] * 40
        + [NOBODY] * 8
        + [[a_face(**THERE)]] * 4
        + [NOBODY] * 6
        + [[a_face(**HERE)]] * 30
    )
    way = np.linalg.norm(a_face(**HERE).landmarks - a_face(**THERE).landmarks, axis=1).max()
    assert largest_step(run(script)[40:]) < 0.25 * way


def test_one_missed_frame_does_not_move_the_face() -> None:
    motions = run([[a_face(**HERE)]] * 40 + [NOBODY] + [[a_face(**HERE)]] * 10)
    assert largest_step(motions[30:]) < 0.05


def test_without_any_face_ever_the_mean_face_idles_in_the_middle() -> None:
    motions = run([NOBODY], frames=200)
    assert all(motion.confidence == 0 for motion in motions)
    assert np.abs(vector_of_motion(motions[0]) - resting_vector()).max() < 1e-3
    assert max(motion.blendshape("eyeBlinkRight") for motion in motions) > 0.7
    assert motions[0].seen is None, "there is no picture of a face to cut out"


def test_the_first_face_after_idling_arrives_gliding_together_with_its_neutral() -> None:
    motions = run([NOBODY] * 40 + [[a_face(yaw=10, x=0.05)]] * 40)
    assert largest_step(motions) < GLIDE_PX
    for motion in motions[40:]:
        assert (
            np.abs(motion.landmarks - motion.neutral.landmarks).max() < 5
        )  # idling's sway, not the 30 px of the way


def test_idling_is_repeatable_by_seed() -> None:
    one, same, other = (run([NOBODY], frames=150, seed=seed) for seed in (3, 3, 4))
    assert all(np.array_equal(a.landmarks, b.landmarks) for a, b in zip(one, same, strict=True))
    assert any(not np.array_equal(a.landmarks, b.landmarks) for a, b in zip(one, other, strict=True))


def test_calibrating_takes_the_next_half_second_for_rest_and_glides_there() -> None:
    script = [[a_face()]] * 60 + [[a_face(yaw=12, smile=0.3)]] * 80
    with FaceTracker(ScriptedDetector(script)) as tracker:
        track(tracker, 70)
        tracker.calibrate()
        motions = track(tracker, 70, start=70)
    assert abs(motions[10].neutral.rotation[0]) < 0.1  # not before the half second is over
    assert motions[-1].neutral.rotation[0] == pytest.approx(12, abs=0.2)
    assert motions[-1].neutral.blendshape("mouthSmileLeft") == pytest.approx(0.3, abs=0.02)
    assert largest_step([motion.neutral for motion in motions]) < 2.0


def test_a_calibrated_rest_outlives_the_run_except_for_where_the_driver_sits(tmp_path: Path) -> None:
    store = NeutralStore(tmp_path)
    with FaceTracker(ScriptedDetector([[a_face(smile=0.4)]]), store=store, source_name="cam 0") as tracker:
        track(tracker, 10)
        tracker.calibrate()
        track(tracker, 40, start=10)
    elsewhere = [[a_face(x=0.1, scale=0.2, jaw=0.5)]] * 60
    motions = run(elsewhere, store=NeutralStore(tmp_path), source_name="cam 0")
    for motion in (motions[0], motions[-1]):
        assert motion.neutral.blendshape("mouthSmileLeft") == pytest.approx(0.4, abs=0.02)
        assert motion.neutral.blendshape("jawOpen") < 0.02
        assert motion.neutral.scale == pytest.approx(0.2, abs=0.005)
    anew = run(elsewhere, store=NeutralStore(tmp_path), source_name="cam 0", start_from_kept=False)
    assert anew[-1].neutral.blendshape("jawOpen") == pytest.approx(0.5, abs=0.02)
    other = run(elsewhere, store=NeutralStore(tmp_path), source_name="cam 1")
    assert other[-1].neutral.blendshape("jawOpen") == pytest.approx(0.5, abs=0.02)


def test_an_automatic_rest_is_kept_as_a_beginning_and_measured_again(tmp_path: Path) -> None:
    run([[a_face(smile=0.4)]] * 40, store=NeutralStore(tmp_path), source_name="clip.mp4")
    kept = NeutralStore(tmp_path).load("clip.mp4")
    assert kept is not None and not kept.chosen
    motions = run([[a_face()]] * 80, store=NeutralStore(tmp_path), source_name="clip.mp4")
    assert motions[0].neutral.blendshape("mouthSmileLeft") == pytest.approx(0.4, abs=0.02)
    assert motions[-1].neutral.blendshape("mouthSmileLeft") < 0.01


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half a zip", b"no zip at all"])
def test_a_corrupt_file_is_ignored_with_a_line_in_the_log(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    store = NeutralStore(tmp_path)
    store.path("cam").write_bytes(content)
    with caplog.at_level(logging.WARNING):
        motions = run([[a_face()]] * 40, store=store, source_name="cam")
    assert "ignored" in caplog.text and len(caplog.records) == 1
    assert motions[-1].confidence == 1
    assert store.load("cam") is not None  # written anew


def test_a_file_of_another_layout_is_ignored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = NeutralStore(tmp_path)
    store.save("cam", KeptNeutral(np.zeros(7, np.float32), True))
    assert store.load("cam") is None and "another version" in caplog.text


def test_a_folder_that_cannot_be_made_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    motions = run([[a_face()]] * 40, store=NeutralStore(tmp_path / "file" / "below"), source_name="cam")
    assert motions[-1].confidence == 1 and "not kept" in caplog.text


def test_sources_of_like_names_have_files_of_their_own(tmp_path: Path) -> None:
    store = NeutralStore(tmp_path)
    names = ["/dev/video0", "dev-video0", "", "ünï", "a" * 300, "a" * 301, "../../etc"]
    paths = {store.path(name) for name in names}
    assert len(paths) == len(names) and all(path.parent == tmp_path for path in paths)


def test_another_person_is_measured_anew_and_the_same_one_is_not() -> None:
    here, nearer = a_face(x=-0.25, scale=0.1), a_face(x=0.2, scale=0.18, smile=0.5)
    motions = run([[here]] * 50 + [[here, nearer]] * 100)
    assert motions[-1].neutral.blendshape("mouthSmileLeft") == pytest.approx(0.5, abs=0.05)
    back = run([[a_face()]] * 50 + [NOBODY] * 30 + [[a_face(smile=0.5)]] * 60)
    assert back[-1].neutral.blendshape("mouthSmileLeft") < 0.02


def test_after_a_long_absence_the_rest_is_measured_anew() -> None:
    away = [NOBODY] * round((AWAY_S + 0.5) * FPS)
    motions = run([[a_face()]] * 50 + away + [[a_face(yaw=8, x=0.1)]] * 80)
    assert motions[-1].neutral.rotation[0] == pytest.approx(8, abs=0.3)


def test_gains_scale_against_the_neutral_and_may_change_at_any_time() -> None:
    script = [[a_face()]] * 60 + [[a_face(yaw=20, jaw=0.4)]] * 90
    with FaceTracker(ScriptedDetector(script), gains={"pose": 0.5}) as tracker:
        half = track(tracker, 100)[-1]
        tracker.set_gain("pose", 1.0)
        tracker.set_gain("expression", 0.0)
        full = track(tracker, 30, start=100)[-1]
        with pytest.raises(ValueError, match="nose"):
            tracker.set_gain("nose", 1.0)
    assert half.rotation[0] == pytest.approx(10, abs=0.3) and half.blendshape("jawOpen") > 0.35
    assert full.rotation[0] == pytest.approx(20, abs=0.3) and full.blendshape("jawOpen") < 0.05


def test_mirroring_at_any_time_mirrors_the_neutral_too() -> None:
    script = [[a_face()]] * 60 + [[a_face(yaw=20, x=0.1)]] * 90
    with FaceTracker(ScriptedDetector(script)) as tracker:
        plain = track(tracker, 100)[-1]
        tracker.set_mirror(True)
        first, *_, last = track(tracker, 10, start=100)
    for mirror in (first, last):
        assert mirror.rotation == pytest.approx(plain.rotation * (-1, 1, -1), abs=0.2)
        assert mirror.neutral.landmarks[33, 0] == pytest.approx(
            640 - plain.neutral.landmarks[263, 0], abs=0.1
        )


def test_smoothing_can_be_switched_off_and_is_bounded() -> None:
    random = np.random.default_rng(0)
    shaking = [[a_face(x=float(x))] for x in random.normal(0, 0.0003, 90)]
    steps = {
        strength: largest_step(run(shaking, smoothing=strength, relative=False)[20:])
        for strength in (0.0, 1.0, 2.0)
    }
    assert steps[1.0] < 0.4 * steps[0.0] and steps[2.0] < steps[1.0]
    with pytest.raises(ValueError, match="0 to 2"):
        FaceTracker(ScriptedDetector([]), smoothing=3)


def test_the_size_of_the_head_hardly_pumps() -> None:
    random = np.random.default_rng(0)
    motions = run([[a_face(scale=0.14 * float(s))] for s in random.normal(1, 0.004, 120)])
    assert np.diff([motion.scale for motion in motions[30:]]).std() / 0.14 < 0.0004


@pytest.mark.parametrize(
    "times",
    [
        [0.0] * 30,  # a broken file
        [i / 30 for i in range(15)] * 2,  # a file that begins anew
        [i * 1e-5 for i in range(30)],  # a burst
        [0.0, 3.0, 3.001, 900.0, *(900 + i / 7 for i in range(26))],  # pauses and a slow camera
    ],
    ids=["equal", "looped", "burst", "pauses"],
)
def test_times_that_do_not_rise_evenly_neither_crash_nor_freeze_the_face(times: list[float]) -> None:
    detector = ScriptedDetector([[a_face(yaw=float(yaw))] for yaw in np.linspace(0, 29, 30)])
    with FaceTracker(detector) as tracker:
        motions = [tracker(blank(i, 5.0, media_s=at)) for i, at in enumerate(times)]
    assert all(np.isfinite(motion.landmarks).all() for motion in motions)
    assert motions[-1].rotation[0] > 20
    assert all(motion.captured_s == 5.0 for motion in motions)


def test_the_time_in_the_file_counts_before_the_time_of_capture() -> None:
    def lag(media: bool) -> float:
        detector = ScriptedDetector([[a_face(yaw=2.0 * i)] for i in range(20)])
        with FaceTracker(detector) as tracker:
            frames = [
                blank(i, i * 1e-4 if media else i / 30, media_s=i / 30 if media else None) for i in range(20)
            ]
            return float(tracker(frames[0]).rotation[0] - [tracker(f) for f in frames[1:]][-1].rotation[0])

    assert lag(True) == pytest.approx(lag(False))


def test_idling_keeps_the_pace_of_the_frames_not_of_the_clock() -> None:
    def blinks(fps: int) -> int:
        with FaceTracker(ScriptedDetector([NOBODY]), seed=1) as tracker:
            scores = [tracker(blank(i, i / fps)).blendshape("eyeBlinkLeft") for i in range(fps * 12)]
        return int(((np.array(scores[1:]) > 0.4) & (np.array(scores[:-1]) <= 0.4)).sum())

    assert blinks(15) == blinks(60) >= 2


def test_a_picture_that_changes_its_size_keeps_the_face_in_its_place() -> None:
    with FaceTracker(ScriptedDetector([[a_face()]])) as tracker:
        first = tracker(blank(0, 0.0))
        second = tracker(Frame(np.zeros((240, 320, 3), np.uint8), 1 / 30, 1))
    assert first.image_size == SIZE and second.image_size == (320, 240)
    assert first.neutral.image_size == SIZE and second.neutral.image_size == (320, 240)


def test_the_detector_is_opened_and_closed_with_the_tracker() -> None:
    detector = ScriptedDetector([NOBODY])
    with FaceTracker(detector):
        assert detector.open
    assert not detector.open
