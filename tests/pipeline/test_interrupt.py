# SPDX-License-Identifier: MIT
"""Ctrl-C leaves a real process cleanly in under a second, whatever it is waiting for."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LEAVES_WITHIN_S = 1.0

SCRIPT = """
import sys, time
import numpy as np
from face.frame import Frame
from realtime.pipeline import Pipeline

kind = sys.argv[1]

class Source:
    live, fps = True, 30.0
    def __iter__(self):
        for index in range(10_000):
            if kind == "silent source" and index == 3:
                time.sleep(30)
            time.sleep(0.01)
            yield Frame(np.zeros((8, 8, 3), np.uint8), time.perf_counter(), index)

def step(frame):
    if kind == "slow step" and frame.index:
        time.sleep(30)
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
            time.sleep(30)

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
def test_ctrl_c_leaves_within_a_second_and_the_sink_is_closed(kind: str) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, kind],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "running\n"
        time.sleep(0.15)
        began_s = time.perf_counter()
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=10)
        took_s = time.perf_counter() - began_s
    finally:
        child.kill()
        child.communicate()
    assert took_s < LEAVES_WITHIN_S, err
    assert "closed after KeyboardInterrupt" in out
    assert err.strip().splitlines()[-1] == "KeyboardInterrupt"
    assert child.returncode in (-signal.SIGINT, 130)
