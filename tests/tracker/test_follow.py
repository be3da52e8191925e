# SPDX-License-Identifier: MIT
"""Whose face drives when several are in view, and where a small or lost one is looked for."""

from collections.abc import Sequence

import numpy as np
from scripted_faces import ScriptedDetector, a_face, blank

from engines.mediapipe_reader import Face, Place
from realtime.tracker.follow import FOR_GOOD_S, GONE_S, LOOK_S, Follower

DT_S = 1 / 30
HALF_A_SECOND = 15  # frames


def frames(seconds: float) -> int:
    return round(seconds / DT_S)


def follow(
    script: Sequence[Sequence[Face]], count: int | None = None
) -> tuple[list[Face | None], list[bool]]:
    """The picks of each frame, and whether each was told to be another person."""
    picks, changes = [], []
    with ScriptedDetector(script) as detector:
        follower = Follower(detector)
        for _ in range(count or len(script)):
            picks.append(follower(blank(0, 0.0).image, DT_S))
            changes.append(follower.changed)
    return picks, changes


def test_the_nearest_of_several_is_followed() -> None:
    far, near = a_face(x=-0.25, scale=0.08), a_face(x=0.2, scale=0.14)
    assert follow([[far, near]], 30)[0] == [near] * 30


def test_two_faces_of_like_size_never_take_turns() -> None:
    random = np.random.default_rng(0)
    script = []
    for _ in range(200):
        faces = [a_face(x=x, scale=0.12 * float(random.uniform(0.92, 1.08))) for x in (-0.25, 0.25)]
        script.append(faces[:: random.choice([-1, 1])])
    picks, changes = follow(script)
    sides = {pick.landmarks[:, 0].mean() < 320 for pick in picks if pick is not None}
    assert None not in picks and len(sides) == 1 and not any(changes)


def test_one_who_comes_clearly_nearer_takes_over_but_not_at_once() -> None:
    here, newcomer = a_face(x=-0.25, scale=0.1), a_face(x=0.2, scale=0.18)
    picks, changes = follow([[here]] + [[here, newcomer]] * frames(FOR_GOOD_S + 2 * LOOK_S))
    assert picks[0] is here and picks[frames(FOR_GOOD_S) - 1] is here
    assert picks[-1] is newcomer and sum(changes) == 1


def test_one_who_looks_in_for_a_moment_takes_nothing_over() -> None:
    here, passer = a_face(x=-0.25, scale=0.1), a_face(x=0.2, scale=0.18)
    script = ([[here, passer]] * frames(0.6 * FOR_GOOD_S) + [[here]] * frames(2 * LOOK_S)) * 4
    picks, changes = follow([[here]] + script)
    assert picks == [here] * len(picks) and not any(changes)


def test_a_bystander_does_not_step_in_for_a_moment_of_loss() -> None:
    driver, bystander = a_face(x=0.2, scale=0.14), a_face(x=-0.25, scale=0.1)
    both, hidden = [driver, bystander], [bystander]
    missing = frames(GONE_S) - 2
    picks, changes = follow([both] * 20 + [hidden] * missing + [both] * 2)
    assert picks[20:-2] == [None] * missing and picks[-2:] == [driver] * 2
    assert not any(changes)


def test_a_bystander_takes_over_when_the_driver_has_gone() -> None:
    driver, bystander = a_face(x=0.2, scale=0.14), a_face(x=-0.25, scale=0.1)
    picks, changes = follow([[driver, bystander]] * 20 + [[bystander]] * (frames(GONE_S) + 3))
    assert picks[-1] is bystander and sum(changes) == 1


def test_one_face_alone_is_the_same_however_far_it_jumps() -> None:
    here, far = a_face(x=-0.3, scale=0.1), a_face(x=0.3, scale=0.1)
    picks, changes = follow([[here], [far], [far], [far]])
    assert picks[-1] is far and not any(changes)


def test_one_who_comes_back_elsewhere_after_nobody_was_there_is_the_same_driver() -> None:
    here, back = a_face(x=-0.3, scale=0.1), a_face(x=0.3, scale=0.1)
    nobody: list[list[Face]] = [[]] * 30
    picks, changes = follow([[here], *nobody, [back], [back]])
    assert picks[1:31] == [None] * 30 and picks[-1] is back and not any(changes)


def test_a_small_face_is_found_from_nothing_within_half_a_second() -> None:
    for x in (-0.4, 0.0, 0.4):
        for y in (-0.3, 0.25):
            small = a_face(x=x, y=y, scale=0.05)
            picks, _ = follow([[small]], HALF_A_SECOND)
            assert picks[-1] is small, (x, y)


def test_a_small_face_that_was_lost_is_looked_for_where_it_was() -> None:
    small = a_face(x=0.4, y=0.25, scale=0.04)
    picks, _ = follow([[small]] * 40 + [[]] * 5 + [[small]])
    assert picks[39] is small and picks[-1] is small


def test_a_nearer_place_that_shows_no_face_does_not_cost_the_driver() -> None:
    phantom = a_face(x=-0.2, scale=0.3).place

    class Haunted(ScriptedDetector):
        taken = 0

        def find(self, image: np.ndarray, window: tuple[int, int, int, int]) -> list[Place]:
            return [*super().find(image, window), *([phantom] if self._frame > HALF_A_SECOND else [])]

        def take(self, image: np.ndarray, place: Place) -> Face | None:
            self.taken += place is phantom
            return super().take(image, place)

    driver = a_face(x=0.3, scale=0.06)  # found in a window only
    with Haunted([[driver]]) as detector:
        follower = Follower(detector)
        picks = [follower(blank(0, 0.0).image, DT_S) for _ in range(150)][HALF_A_SECOND:]
    assert picks == [driver] * len(picks) and not follower.changed
    assert detector.taken == 1


def test_what_shows_no_face_when_it_is_read_is_not_read_again_each_frame() -> None:
    class Picture(ScriptedDetector):
        taken = 0

        def __call__(self, image: np.ndarray) -> None:
            super().__call__(image)
            return None

        def take(self, image: np.ndarray, place: object) -> None:
            self.taken += 1
            return None

    with Picture([[a_face(scale=0.05)]]) as detector:
        follower = Follower(detector)
        assert all(follower(blank(0, 0.0).image, DT_S) is None for _ in range(60))
    assert 3 <= detector.taken <= 8
