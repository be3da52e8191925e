# SPDX-License-Identifier: MIT
"""Waiting in tests: for what must happen, however busy the machine; no test says how fast something is."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

HANG_S = 60.0  # only what hangs takes this long: at a load of 15, what takes a second takes up to 20
STUCK_S = 3 * HANG_S  # how long a part that is stuck for a test stays so: whoever waits for it is found out


def wait_until(true: Callable[[], object], within_s: float = HANG_S) -> bool:
    """Whether it became true before one could say that it never will."""
    ends_s = time.perf_counter() + within_s
    while not true():
        if time.perf_counter() > ends_s:
            return False
        time.sleep(0.005)
    return True


@contextmanager
def no_hang() -> Iterator[None]:
    """What stands below must not wait for what is stuck, asleep or far away."""
    began_s = time.perf_counter()
    yield
    assert time.perf_counter() - began_s < HANG_S, "it waited for what never comes"
