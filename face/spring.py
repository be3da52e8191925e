# SPDX-License-Identifier: MIT
"""A jump turned into a glide: what a value jumped by is an offset that dies away. Knows no faces."""

import numpy as np

from face.arrays import Floats

SETTLED = 4.74  # (1 + x) exp(-x) = 5 % of the offset are left at this x
NOTHING = 2e-4  # an offset not worth keeping: degrees, or shares of a face or a picture


class Spring:
    """Critically damped offset of `size` channels: begins without speed, never overshoots from rest.

        value = target + spring(dt_s)        where `spring.jump(old_target - new_target, 0.3)` tells of a jump

    A jump during a glide adds to it. The motion is exact for any dt_s, so it does not depend on the frame
    rate.
    """

    def __init__(self, size: int) -> None:
        self._offset: Floats = np.zeros(size, np.float32)
        self._speed: Floats = np.zeros(size, np.float32)
        self._rate = 1.0  # 1/s
        self.settled = True

    def jump(self, by: Floats, settle_s: float) -> None:
        """Stay at the value although its target moved by minus `by`; 95 % are caught up in `settle_s`."""
        if settle_s <= 0:
            raise ValueError(f"settle_s is {settle_s}, expected more than 0")
        self._offset = self._offset + by
        self._rate = SETTLED / settle_s
        self.settled = False

    def __call__(self, dt_s: float) -> Floats:
        """The offset `dt_s` seconds later; exactly 0 once hardly anything is left."""
        if self.settled:
            return self._offset
        decay = np.float32(np.exp(-self._rate * dt_s))
        push = self._speed + np.float32(self._rate) * self._offset
        self._offset = np.asarray((self._offset + push * np.float32(dt_s)) * decay, np.float32)
        self._speed = np.asarray((self._speed - push * np.float32(self._rate * dt_s)) * decay, np.float32)
        if max(np.abs(self._offset).max(), np.abs(self._speed).max() / self._rate) < NOTHING:
            self.stop()
        return self._offset

    def stop(self) -> None:
        """Let go of what is left."""
        self._offset = np.zeros_like(self._offset)
        self._speed = np.zeros_like(self._speed)
        self.settled = True
