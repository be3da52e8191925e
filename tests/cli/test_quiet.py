# SPDX-License-Identifier: MIT
"""Start-up chatter of native libraries stays off standard error; everything else gets through."""

import os
import subprocess
import sys

import pytest

from engines.quiet import quiet_natives

CHATTER = (
    b"WARNING: Logging before InitGoogle() is written to STDERR\n"
    b"W0000 00:00:1795243205.765322   28040 face_landmarker_graph.cc:181] Sets acceleration to xnnpack\n"
    b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n"
    b"I0000 00:00:1795243205.765322   28040 gl_context.cc:344] GL version\n"
)


def test_chatter_is_dropped_and_other_lines_pass(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet_natives():
        os.write(2, CHATTER)
        os.write(2, b"a driver failed\nhalf a li")
        os.write(2, b"ne\n")
    assert capfd.readouterr().err == "a driver failed\nhalf a line\n"


def test_errors_of_native_code_pass(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet_natives():
        os.write(2, b"E0000 00:00:1795243205.765322   28040 image.cc:12] out of memory\n")
    assert "out of memory" in capfd.readouterr().err


def test_it_can_be_entered_again_and_leaves_no_descriptor_behind() -> None:
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(5):
        with quiet_natives():
            os.write(2, CHATTER)
    if before:
        assert len(os.listdir("/proc/self/fd")) == before


def test_pythons_own_words_come_in_order_and_a_trace_is_whole() -> None:
    program = (
        "import os, sys\n"
        "from engines.quiet import quiet_natives\n"
        "with quiet_natives():\n"
        "    print('one', file=sys.stderr)\n"
        f"    os.write(2, {CHATTER!r})\n"
        "    print('two', file=sys.stderr)\n"
        "raise ZeroDivisionError('three')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    lines = done.stderr.splitlines()
    assert lines[:2] == ["one", "two"]
    assert lines[-1] == "ZeroDivisionError: three"
    assert "xnnpack" not in done.stderr and done.returncode == 1
