# SPDX-License-Identifier: MIT
"""What importing the package loads: nothing that a user may not have, and nothing slow."""

import subprocess
import sys

from structure import MODULES, ROOT


def test_importing_all_of_it_loads_no_torch_no_recogniser_and_no_tracker() -> None:
    own = [name for name in MODULES if name.partition(".")[0] == "evaluation"]
    assert len(own) > 5
    program = f"import sys, {', '.join(own)}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True, cwd=ROOT
    )
    loaded = set(done.stdout.split())
    assert set(own) <= loaded
    assert not loaded & {"torch", "onnxruntime", "dlib", "mediapipe"}
