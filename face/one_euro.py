# SPDX-License-Identifier: MIT
"""The One-Euro filter (Casiez et al. 2012) over a whole vector at once. Knows neither faces nor clocks."""

import numpy as np
from numpy.typing import NDArray

from face.arrays import Floats


class OneEuro:
    """Low pass whose cut-off rises with speed: still values come to rest, moving ones hardly lag.

    `min_cutoff_hz` is the cut-off at rest, `beta` what each unit per second of speed adds to it in Hz,
    `speed_cutoff_hz` the cut-off of the speed itself. `rest_speed` is a dead zone the paper does not have: a
    speed up to it is taken for noise and adds nothing (0 is the paper's filter). Each is a scalar or one
    number a channel.
    """

    def __init__(
        self,
        min_cutoff_hz: NDArray[np.floating] | float,
        beta: NDArray[np.floating] | float,
        *,
        speed_cutoff_hz: NDArray[np.floating] | float = 1.0,
        rest_speed: NDArray[np.floating] | float = 0.0,
    ) -> None:
        self._min_cutoff_hz = np.asarray(min_cutoff_hz, np.float32)
        self._beta = np.asarray(beta, np.float32)
        self._speed_cutoff_hz = np.asarray(speed_cutoff_hz, np.float32)
        self._rest_speed = np.asarray(rest_speed, np.float32)
        if (self._min_cutoff_hz <= 0).any() or (self._speed_cutoff_hz <= 0).any():
            raise ValueError("cut-off frequencies must be positive")
        if (self._beta < 0).any() or (self._rest_speed < 0).any():
            raise ValueError("beta and rest_speed must not be negative")
        self._raw: Floats | None = None
        self._value = self._speed = np.zeros(0, np.float32)

    def __call__(self, raw: Floats, dt_s: float, *, strength: float = 1.0) -> Floats:
        """The smoothed vector `dt_s` seconds after the last one; the first passes unchanged.

        `strength` divides every cut-off: 2 smooths more, 0 passes the vector unchanged (and keeps up with
        it).
        """
        if self._raw is None:
            self._raw, self._value, self._speed = raw, raw, np.zeros_like(raw)
            return raw
        if dt_s <= 0:  # time stands still, or runs backwards: nothing can be said of speed
            return self._value
        speed = (raw - self._raw) / np.float32(dt_s)
        self._raw = raw
        self._speed = self._speed + low_pass_share(self._speed_cutoff_hz, dt_s) * (speed - self._speed)
        if strength <= 0:
            self._value = raw
            return raw
        moving = np.maximum(np.abs(self._speed) - self._rest_speed, 0)
        cutoff_hz = (self._min_cutoff_hz + self._beta * moving) / np.float32(strength)
        self._value = self._value + low_pass_share(cutoff_hz, dt_s) * (raw - self._value)
        return self._value

    def reset(self) -> None:
        """Forget the past: the next vector passes unchanged."""
        self._raw = None


def low_pass_share(cutoff_hz: Floats, dt_s: float) -> Floats:
    """Share of the new value that a first-order low pass takes over after `dt_s`, in (0, 1)."""
    turns = np.float32(2 * np.pi * dt_s) * cutoff_hz
    return np.asarray(turns / (turns + 1), np.float32)
