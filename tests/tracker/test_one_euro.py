# SPDX-License-Identifier: MIT
"""The vectorised filter against the formulas written out for one number."""

import math

import numpy as np
import pytest

from face.one_euro import OneEuro
from face.spring import Spring

FLOAT_NOISE = 2e-5  # float32 against float64 over 200 steps


class OneEuroReference:
    """Casiez et al. 2012, with the dead zone, for one number at a time."""

    def __init__(self, min_cutoff: float, beta: float, speed_cutoff: float, rest_speed: float) -> None:
        self.numbers = (min_cutoff, beta, speed_cutoff, rest_speed)
        self.raw: float | None = None

    def __call__(self, raw: float, dt: float) -> float:
        min_cutoff, beta, speed_cutoff, rest_speed = self.numbers
        if self.raw is None:
            self.raw, self.value, self.speed = raw, raw, 0.0
            return raw
        share = 1 / (1 + 1 / (2 * math.pi * speed_cutoff * dt))
        self.speed = share * (raw - self.raw) / dt + (1 - share) * self.speed
        self.raw = raw
        cutoff = min_cutoff + beta * max(abs(self.speed) - rest_speed, 0)
        share = 1 / (1 + 1 / (2 * math.pi * cutoff * dt))
        self.value = share * raw + (1 - share) * self.value
        return self.value


def test_the_vector_filter_agrees_with_the_scalar_one_at_irregular_times() -> None:
    random = np.random.default_rng(1)
    numbers = np.array([(0.5, 0.1, 1.0, 0.0), (1.0, 3.0, 6.0, 0.2), (0.2, 0.0, 2.0, 1.0)], np.float32)
    fast = OneEuro(numbers[:, 0], numbers[:, 1], speed_cutoff_hz=numbers[:, 2], rest_speed=numbers[:, 3])
    slow = [OneEuroReference(*map(float, row)) for row in numbers]
    values = np.cumsum(random.normal(0, 0.1, (200, 3)), axis=0).astype(np.float32)
    for row, dt in zip(values, random.uniform(0.005, 0.2, 200), strict=True):
        expected = [one(float(value), float(dt)) for one, value in zip(slow, row, strict=True)]
        assert fast(row, float(dt)) == pytest.approx(expected, abs=FLOAT_NOISE)


def test_noise_on_a_value_at_rest_is_quietened_and_a_fast_move_is_not_held_back() -> None:
    random = np.random.default_rng(2)
    filtered = OneEuro(0.5, 20.0, rest_speed=0.1)
    quiet = np.array([filtered(np.array([x], np.float32), 1 / 30)[0] for x in random.normal(0, 0.002, 100)])
    assert quiet[20:].std() < 0.0006
    ramp = np.linspace(0, 1, 10)
    followed = [filtered(np.array([x], np.float32), 1 / 30)[0] for x in ramp]
    assert followed[-1] > 0.9


def test_strength_nought_passes_everything_and_two_smooths_more_than_one() -> None:
    values = np.random.default_rng(3).normal(0, 1, (50, 4)).astype(np.float32)
    spread = {}
    for strength in (0.0, 1.0, 2.0):
        smooth = OneEuro(1.0, 0.0)
        out = np.array([smooth(row, 1 / 30, strength=strength) for row in values])
        spread[strength] = out[10:].std()
        if strength == 0:
            assert np.array_equal(out, values)
    assert spread[2.0] < 0.9 * spread[1.0] and spread[1.0] < 0.5 * spread[0.0]


def test_time_that_stands_still_neither_crashes_nor_divides_by_nought() -> None:
    smooth = OneEuro(1.0, 1.0)
    first = smooth(np.zeros(3, np.float32), 0.0)
    assert np.array_equal(smooth(np.ones(3, np.float32), 0.0), first)
    assert np.isfinite(smooth(np.ones(3, np.float32), 1e-3)).all()


@pytest.mark.parametrize("wrong", [{"min_cutoff_hz": 0.0, "beta": 1.0}, {"min_cutoff_hz": 1.0, "beta": -1.0}])
def test_impossible_numbers_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        OneEuro(**wrong)


def test_a_spring_glides_without_a_kick_and_arrives_whatever_the_frame_rate() -> None:
    def course(fps: int) -> list[float]:
        spring = Spring(1)
        spring.jump(np.ones(1, np.float32), 0.3)
        return [float(spring(1 / fps)[0]) for _ in range(fps)]

    slow, fast = course(30), course(120)
    assert slow == pytest.approx(fast[3::4], abs=1e-4)
    assert 1 - fast[0] < 0.01  # begins without speed
    assert all(later <= sooner for sooner, later in zip(fast, fast[1:], strict=False))
    assert slow[8] == pytest.approx(0.05, abs=0.005)  # 0.3 s
    assert slow[-1] == 0


def test_a_second_jump_during_a_glide_moves_the_value_no_faster_than_two_glides() -> None:
    spring = Spring(1)
    spring.jump(np.ones(1, np.float32), 0.5)
    for _ in range(3):
        before = float(spring(1 / 30)[0])
    spring.jump(np.full(1, 0.5, np.float32), 0.5)
    assert abs(float(spring(1 / 30)[0]) - (before + 0.5)) < 0.2
