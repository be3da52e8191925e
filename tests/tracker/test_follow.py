# SPDX-License-Identifier: MIT
"""Whose face drives when several are in view."""

import numpy as np
from scripted_faces import a_face

from realtime.tracker.follow import FOR_GOOD_S, GONE_S, Follower

DT_S = 1 / 30


def frames(seconds: float) -> int:
    return round(seconds / DT_S)


def test_the_nearest_of_several_is_followed() -> None:
    far, near = a_face(x=-0.25, scale=0.08), a_face(x=0.2, scale=0.14)
    assert Follower()([far, near], 0.0) is near


def test_two_faces_of_like_size_never_take_turns() -> None:
    follow, random = Follower(), np.random.default_rng(0)
    for _ in range(200):
        faces = [
            a_face(x=-0.25, scale=0.12 * float(random.uniform(0.92, 1.08))),
            a_face(x=0.25, scale=0.12 * float(random.uniform(0.92, 1.08))),
        ]
        first = faces[0]
        followed = follow(faces[:: random.choice([-1, 1])], DT_S)
        side = followed.landmarks[:, 0].mean() < 320
        if _ == 0:
            chosen = side
        assert side == chosen and first is faces[0]
        assert not follow.changed


def test_one_who_comes_clearly_nearer_takes_over_but_not_at_once() -> None:
    follow = Follower()
    here, newcomer = a_face(x=-0.25, scale=0.1), a_face(x=0.2, scale=0.18)
    assert follow([here], DT_S) is here
    picks = [follow([here, newcomer], DT_S) for _ in range(frames(FOR_GOOD_S) + 3)]
    assert picks[0] is here and picks[frames(FOR_GOOD_S) // 2] is here
    assert picks[-1] is newcomer


def test_the_change_of_person_is_told_exactly_once() -> None:
    follow = Follower()
    here, newcomer = a_face(x=-0.25, scale=0.1), a_face(x=0.2, scale=0.18)
    follow([here], DT_S)
    told = 0
    for _ in range(60):
        follow([here, newcomer], DT_S)
        told += follow.changed
    assert told == 1


def test_a_bystander_does_not_step_in_for_a_moment_of_loss() -> None:
    follow = Follower()
    driver, bystander = a_face(x=0.2, scale=0.14), a_face(x=-0.25, scale=0.1)
    follow([driver, bystander], DT_S)
    assert all(follow([bystander], DT_S) is None for _ in range(frames(GONE_S) - 2))
    assert follow([driver, bystander], DT_S) is driver
    assert not follow.changed


def test_a_bystander_takes_over_when_the_driver_has_gone() -> None:
    follow = Follower()
    driver, bystander = a_face(x=0.2, scale=0.14), a_face(x=-0.25, scale=0.1)
    follow([driver, bystander], DT_S)
    picks = []
    changes = 0
    for _ in range(frames(GONE_S) + 3):
        picks.append(follow([bystander], DT_S))
        changes += follow.changed
    assert picks[-1] is bystander and changes == 1


def test_one_face_alone_is_the_same_however_far_it_jumps() -> None:
    follow = Follower()
    follow([a_face(x=-0.4, scale=0.08)], DT_S)
    far = a_face(x=0.4, scale=0.08)
    assert follow([far], DT_S) is far and not follow.changed


def test_one_who_comes_back_elsewhere_after_nobody_was_there_is_the_same_driver() -> None:
    follow = Follower()
    follow([a_face(x=-0.4, scale=0.08)], DT_S)
    for _ in range(30):
        assert follow([], DT_S) is None
    back = a_face(x=0.4, scale=0.08)
    assert follow([back], DT_S) is back and not follow.changed
