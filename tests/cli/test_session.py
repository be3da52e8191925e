# SPDX-License-Identifier: MIT
"""A live session obeys keys and page while its stream flows."""

import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cli_stage import COLOURS, DRIVER, SIZE, Beat, Card, Opener, Settings, Stage, a_motion
from waiting import no_hang

from face.errors import BadPortrait, ModelUnavailable, WrongUse
from realtime.control import COMMANDS, GAINS, MODES, obey, press
from realtime.live import session
from realtime.live.session import small_face


def test_frames_flow_on_while_a_portrait_is_enrolled() -> None:
    with Stage() as stage:
        stage.opener.free.clear()
        stage.session.select_portrait(1)
        stage.wait(lambda: stage.session.state().enrolling == "two.png")
        delivered = stage.session.state().delivered
        stage.wait(lambda: stage.session.state().delivered > delivered + 40)
        assert stage.session.state().enrolling == "two.png" and stage.meeting.greys[-1] == COLOURS["one"]
        stage.opener.free.set()
        stage.wait_grey(COLOURS["two"])
        state = stage.session.state()
    assert (state.portrait, state.enrolling, state.message) == (1, "", "two.png")


def test_a_new_portrait_fades_in() -> None:
    with Stage() as stage:
        stage.session.select_portrait(2)
        stage.wait_grey(COLOURS["three"])
    between = {grey for grey in stage.meeting.greys if COLOURS["one"] < grey < COLOURS["three"]}
    assert len(between) > 3
    last_old = max(n for n, grey in enumerate(stage.meeting.greys) if grey == COLOURS["one"])
    fade = stage.meeting.greys[last_old:]
    assert fade == sorted(fade), "the picture must only ever come closer to the new portrait"


def test_an_unusable_portrait_is_said_in_one_line_and_changes_nothing() -> None:
    with Stage() as stage:
        before = stage.session.state()
        stage.session.add_portrait(Path("wall.png"))
        stage.wait(lambda: stage.session.state().message_number > before.message_number)
        state = stage.session.state()
        time.sleep(0.05)
        assert stage.running
    assert "no face found" in state.message and "\n" not in state.message
    assert state.message.count("wall.png") == 1 and state.message_problem
    assert state.portraits == before.portraits
    assert (state.portrait, state.enrolling) == (0, "")
    assert set(stage.meeting.greys) == {COLOURS["one"]}


def test_a_bug_in_enrolment_keeps_the_stream_and_its_trace_goes_to_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Stage(opener=Opener(broken=frozenset({"two"}))) as stage:
        stage.session.select_portrait(1)
        stage.wait(lambda: "bug in enrolment" in stage.session.state().message)
        stage.session.select_portrait(2)
        stage.wait_grey(COLOURS["three"])
    assert "Traceback" in caplog.text


def test_an_added_portrait_is_confirmed_and_a_known_one_is_named() -> None:
    with Stage(portraits=("one",)) as stage:
        stage.session.add_portrait(Path("two.png"))
        stage.wait_grey(COLOURS["two"])
        stage.wait(lambda: stage.session.state().message == "two.png was added as portrait 2")
        assert not stage.session.state().message_problem
        stage.session.select_portrait(0)
        stage.wait(lambda: stage.session.state().message == "one.png")


def test_a_problem_stays_in_the_window_for_longer_than_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "MESSAGE_S", 0.0)
    with Stage() as stage:
        stage.session.say("a note")
        time.sleep(0.05)
        assert stage.window.last is not None and len(np.unique(stage.window.last.image)) == 1
        assert press(stage.session, "9")  # there is no ninth portrait
        stage.wait(lambda: stage.window.last is not None and len(np.unique(stage.window.last.image)) > 1)
        assert stage.session.state().message_problem


def test_a_library_that_would_end_the_program_while_it_enrols_ends_nothing() -> None:
    class Leaving(Opener):
        def __call__(self, method: str, path: Path) -> Card:
            if path.stem == "two":
                raise SystemExit(0)
            return super().__call__(method, path)

    with Stage(opener=Leaving()) as stage:
        stage.session.select_portrait(1)
        stage.wait(lambda: "SystemExit" in stage.session.state().message)
        stage.session.select_portrait(2)
        stage.wait_grey(COLOURS["three"])


def test_the_first_portrait_must_be_usable() -> None:
    with pytest.raises(BadPortrait, match="no face found"):
        Stage(portraits=("wall",))


def test_in_a_folder_what_is_no_usable_portrait_is_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a wall", "another wall", "one", "two"):
        (tmp_path / f"{name}.png").touch()
    with Stage(folder=tmp_path) as stage:
        stage.wait_grey(COLOURS["one"])
        state = stage.session.state()
        assert state.portraits[state.portrait].name == "one.png"
    assert [line.partition(":")[0] for line in caplog.messages] == ["passed over", "passed over"]
    assert "a wall.png: no face found" in caplog.text and "another wall.png: no face" in caplog.text


def test_a_folder_without_a_usable_portrait_is_an_error(tmp_path: Path) -> None:
    for name in ("a wall", "another wall"):
        (tmp_path / f"{name}.png").touch()
    with pytest.raises(BadPortrait, match="another wall.png: no face found"):
        Stage(folder=tmp_path)


def test_a_portrait_that_was_named_is_never_passed_over() -> None:
    with pytest.raises(BadPortrait, match="wall.png: no face found"):
        Stage(portraits=("wall", "one"))


def test_what_is_no_fault_of_the_portrait_ends_the_search_at_once(tmp_path: Path) -> None:
    class Modelless(Opener):
        def __call__(self, method: str, path: Path) -> Card:
            self.opened.append((method, path.stem))
            raise ModelUnavailable("the model is missing; make it")

    for name in ("one", "two"):
        (tmp_path / f"{name}.png").touch()
    opener = Modelless()
    with pytest.raises(ModelUnavailable):
        Stage(folder=tmp_path, opener=opener)
    assert len(opener.opened) == 1


def test_next_and_previous_go_past_what_was_refused(tmp_path: Path) -> None:
    for name in ("one", "oven", "two"):
        (tmp_path / f"{name}.png").touch()
    with Stage(folder=tmp_path) as stage:
        stage.session.next_portrait()
        stage.wait(lambda: "oven.png: no face found" in stage.session.state().message)
        stage.wait(lambda: not stage.session.state().enrolling)
        stage.session.next_portrait()
        stage.wait_grey(COLOURS["two"])
        stage.session.previous_portrait()
        stage.wait_grey(COLOURS["one"])
        stage.session.reload_portraits()
        stage.session.next_portrait()
        stage.wait(lambda: "oven.png: no face found" in stage.session.state().message)


def test_next_and_previous_go_around_the_list() -> None:
    with Stage() as stage:
        stage.session.previous_portrait()
        stage.wait_grey(COLOURS["three"])
        stage.session.next_portrait()
        stage.wait_grey(COLOURS["one"])


def test_pressing_next_faster_than_enrolment_ends_at_the_last_wish() -> None:
    with Stage() as stage:
        stage.opener.free.clear()
        for _ in range(2):
            stage.session.next_portrait()
        stage.opener.free.set()
        stage.wait_grey(COLOURS["three"])
    assert stage.session.state().portrait == 2


def test_an_added_portrait_joins_the_list_and_a_known_one_is_not_enrolled_again() -> None:
    with Stage(portraits=("one",)) as stage:
        stage.session.add_portrait(Path("two.png"))
        stage.wait_grey(COLOURS["two"])
        stage.session.select_portrait(0)
        stage.wait_grey(COLOURS["one"])
        state = stage.session.state()
    assert [path.name for path in state.portraits] == ["one.png", "two.png"]
    assert [name for _, name in stage.opener.opened] == ["one", "two"]


def test_a_portrait_that_is_not_there_is_wrong_use() -> None:
    with Stage() as stage, pytest.raises(WrongUse, match="portrait 7 was asked for, there are 3"):
        stage.session.select_portrait(6)


def test_the_method_changes_once_the_portrait_is_enrolled_for_it() -> None:
    with Stage() as stage:
        stage.session.set_method("other")
        stage.wait(lambda: stage.session.state().method == "other")
        with pytest.raises(WrongUse, match="expected one of mesh, other"):
            stage.session.set_method("magic")
    assert ("other", "one") in stage.opener.opened


def test_a_folder_is_looked_into_again(tmp_path: Path) -> None:
    (tmp_path / "two.png").touch()
    with Stage(folder=tmp_path) as stage:
        (tmp_path / "one.png").touch()
        (tmp_path / "notes.txt").touch()
        stage.session.reload_portraits()
        state = stage.session.state()
    assert [path.name for path in state.portraits] == ["one.png", "two.png"]
    assert state.portrait == 1, "the portrait on show stays on show"


def test_pass_through_shows_the_camera_and_ends_with_the_same_key() -> None:
    with Stage() as stage:
        stage.session.toggle("passthrough")
        stage.wait_grey(DRIVER)
        stage.session.toggle("passthrough")
        stage.wait_grey(COLOURS["one"])


def test_a_meeting_never_sees_statistics_landmarks_or_messages() -> None:
    with Stage() as stage:
        stage.session.set_mode("statistics", True)
        stage.session.set_mode("landmarks", True)
        stage.wait(lambda: stage.window.last is not None and len(np.unique(stage.window.last.image)) > 1)
        assert stage.meeting.last is not None
        assert np.unique(stage.meeting.last.image).tolist() == [COLOURS["one"]]


def test_the_badge_is_on_every_picture_once_it_is_on() -> None:
    with Stage(modes={"badge": True}) as stage:
        stage.wait(lambda: stage.window.last is not None and stage.meeting.last is not None)
        for screen in (stage.meeting, stage.window):
            assert screen.last is not None
            assert screen.last.image[0, 0].tolist() == [255, 0, 0]


def test_zoom_and_crop_stay_inside_the_picture() -> None:
    with Stage() as stage:
        for _ in range(60):
            stage.session.zoom_in()
            stage.session.move_crop(1.0, 1.0)
        state = stage.session.state()
        assert state.zoom == 4.0
        seen = len(stage.meeting.greys)
        stage.wait(lambda: len(stage.meeting.greys) > seen + 2)
        assert stage.meeting.last is not None and stage.meeting.last.image.shape == (SIZE[1], SIZE[0], 3)
        stage.session.reset_crop()
        assert stage.session.state().zoom == 1.0


def test_settings_reach_the_tracker_and_stay_within_their_range() -> None:
    with Stage() as stage:
        stage.session.set_gain("pose", 9.0)
        stage.session.change_smoothing(-9.0)
        stage.session.toggle("mirror")
        state = stage.session.state()
    assert stage.tracker.told == [("gain", "pose", 2.0), ("smoothing", 0.0), ("mirror", True)]
    assert (state.gains["pose"], state.smoothing, state.modes["mirror"]) == (2.0, 0.0, True)


def test_the_search_calibrates_at_the_closest_moment_only() -> None:
    yaws = (30.0, 20.0, 25.0, 3.0, 12.0, 2.9, 30.0)
    with Stage(tracker=Settings(yaws=yaws)) as stage:
        stage.session.find_best_reference()
        stage.wait(lambda: 3.0 in stage.tracker.calibrated_at)
        time.sleep(0.3)
        stage.session.find_best_reference()
        assert stage.session.state().message == "calibrated on the best moment"
    assert stage.tracker.calibrated_at[-1] in (3.0, 2.9)
    assert 12.0 not in stage.tracker.calibrated_at[1:]
    assert len(stage.tracker.calibrated_at) <= 4, "noise must not recalibrate again and again"


def test_the_search_keeps_the_moment_as_it_was_tracked_before_gains() -> None:
    with Stage(tracker=Settings(yaws=(40.0, 10.0, 0.0), away=10.0)) as stage:
        stage.session.find_best_reference()
        stage.wait(lambda: 0.0 in stage.tracker.calibrated_at)
        time.sleep(0.1)
    assert set(stage.tracker.calibrated_at) <= {30.0, -10.0, 0.0} and stage.tracker.calibrated_at[-1] == 0.0


def test_why_a_rest_was_not_taken_is_said_as_a_problem() -> None:
    with Stage(tracker=Settings(lines=["this is no rest: the mouth is open"])) as stage:
        stage.wait(lambda: "the mouth is open" in stage.session.state().message)
        assert stage.session.state().message_problem


def test_a_small_face_is_told_its_size() -> None:
    motion = a_motion()
    for wide, told in ((0.05, "face 5 % wide, sit nearer"), (0.2, "")):
        seen = np.zeros((478, 3), np.float32)
        seen[0, 0] = wide * motion.image_size[0]
        assert small_face(replace(motion, seen=seen)) == told
    assert small_face(motion) == small_face(None) == ""


def test_the_search_says_that_it_saw_no_face() -> None:
    with Stage(tracker=Settings(confidence=0.0)) as stage:
        stage.session.find_best_reference()
        time.sleep(0.05)
        stage.session.find_best_reference()
        state = stage.session.state()
    assert "no face" in state.message
    assert not stage.tracker.calibrated_at
    assert not state.face_found


def test_the_state_tells_what_the_line_does() -> None:
    with Stage() as stage:
        stage.wait(lambda: stage.session.state().delivered > 20)
        state = stage.session.state()
    assert state.fps > 0
    assert 0 <= state.latency_p50_ms <= state.latency_p95_ms
    assert [each.name for each in state.stages] == ["source", "tracker", "puppet", "sink"]
    assert set(state.modes) == set(MODES) and set(state.gains) == set(GAINS)
    assert state.face_found


def test_latency_is_nan_before_the_first_frame() -> None:
    stage = Stage()
    assert math.isnan(stage.session.state().latency_p50_ms)


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if command.on_page])
def test_every_command_of_the_page_is_obeyed(name: str) -> None:
    values: dict[str, object] = {"select": 1, "method": "other", "move": "left", "smoothing": 0.5}
    values |= {"gain": 0.1, "smoother": -0.25, **{f"gain.{region}": 0.5 for region in GAINS}}
    value = values.get(name, True if name in MODES else None)
    with Stage() as stage:
        obey(stage.session, name, value)  # type: ignore[arg-type]
        assert stage.running


def test_the_first_error_of_a_stage_ends_the_run_and_is_raised() -> None:
    stage = Stage(tracker=Settings(fails_at=3), source=Beat(frames=50))
    with pytest.raises(ZeroDivisionError, match="bug in the tracker"), stage:
        stage.wait(lambda: not stage.running)


def test_the_run_ends_with_its_source() -> None:
    with Stage(source=Beat(frames=5)) as stage:
        stage.wait(lambda: not stage.running)
    assert stage.session.stats().captured == 5


def test_quitting_does_not_wait_for_an_enrolment() -> None:
    with Stage() as stage:
        stage.opener.free.clear()
        stage.session.select_portrait(1)
        stage.wait(lambda: stage.session.state().enrolling == "two.png")
        with no_hang():
            stage.session.quit()
            stage.wait(lambda: not stage.running)
