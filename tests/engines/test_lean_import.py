# SPDX-License-Identifier: MIT
"""MediaPipe is read without plots and microphones; whoever wants to plot afterwards can."""

import subprocess
import sys

import pytest


def test_reading_faces_loads_no_plots_and_no_microphone() -> None:
    program = (
        "import sys, engines.mediapipe_reader\n"
        "print(*(name for name in sys.modules if name.partition('.')[0] in ('matplotlib', 'sounddevice')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout == "\n"


def test_plots_can_be_drawn_afterwards() -> None:
    pytest.importorskip("matplotlib")
    program = "import engines.mediapipe_reader, matplotlib.pyplot; print(matplotlib.pyplot.plot.__name__)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout == "plot\n"
