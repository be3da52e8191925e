# SPDX-License-Identifier: MIT
"""Ctrl-C leaves a real process cleanly, whatever it is waiting for."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from waiting import HANG_S, STUCK_S

ROOT = Path(__file__).parents[2]

SCRIPT = """
import sys, time
import numpy as np
from face.frame import Frame
from realtime.pipeline import Pipeline

kind, stuck_s = sys.argv[1], float(sys.argv[2])

class Source:
    live, fps = True, 30.0
    def __iter__(self):
        for index in range(10_000):
            if kind == "silent source" and index == 3:
                time.sleep(stuck_s)
            time.sleep(0.01)
            yield Frame(np.zeros((8, 8, 3), np.uint8), time.perf_counter(), index)

def step(frame):
    if kind == "slow step" and frame.index:
        time.sleep(stuck_s)
    if kind == "step that counts" and frame.index:
        for _ in range(10**10):  # computes in Python, never sleeps
            pass
    return frame.image

class Sink:
    def __enter__(self):
        return self
    def __exit__(self, kind, error, trace):
        print("closed after", kind.__name__ if kind else None, flush=True)
    def __call__(self, frame):
        print("running", flush=True)
        if kind == "slow sink" and frame.index:
            time.sleep(stuck_s)

with Sink() as sink:
    line = Pipeline(Source(), step, sink=sink, every_frame=kind == "offline")
    try:
        line.run()
    finally:
        print("threads left to die", flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT to a child process, which only POSIX can")
@pytest.mark.parametrize(
    "kind", ["plain", "offline", "silent source", "slow step", "step that counts", "slow sink"]
)
def test_ctrl_c_waits_for_nothing_and_the_sink_is_closed(kind: str) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, kind, str(STUCK_S)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "running\n"
        time.sleep(0.15)  # until what is to be stuck is
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=HANG_S)
    finally:
        child.kill()
        child.communicate()
    assert "closed after KeyboardInterrupt" in out
    assert err.strip().splitlines()[-1] == "KeyboardInterrupt"
    assert child.returncode in (-signal.SIGINT, 130)
