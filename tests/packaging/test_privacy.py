# SPDX-License-Identifier: MIT
"""Commands leave no identifier in a home and reach no other computer, whatever the libraries would do.

Libraries in C are watched by strace, which sees every connection of the process and of its children.
"""

import ipaddress
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from skimage.data import astronaut

ROOT = Path(__file__).resolve().parents[2]
MAIN = "import sys; from realtime.cli import main; sys.exit(main())"
COMMANDS = {
    "demo": ["demo", "--seconds", "0.5", "--out", "demo.mp4"],
    "render": ["render", "face.png", "clip.mp4", "out.mp4", "--no-refine", "--portrait-size", "256"],
    "bench": ["bench", "clip.mp4", "--seconds", "1", "--warmup", "0", "--portrait-size", "256"],
    "doctor": ["doctor"],
}
OURS = {"facepuppet", "matplotlib"}  # matplotlib: MediaPipe imports it, and it keeps a list of fonts
TRACE = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "signal=none", "-e", "trace=%network", "-o", "trace"]
ADDRESS = re.compile(r'inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"')


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a photo, a clip and an empty home."""
    bgr = astronaut()[:, :, ::-1].copy()
    cv2.imwrite(str(tmp_path / "face.png"), bgr)
    writer = cv2.VideoWriter(str(tmp_path / "clip.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 30, (512, 512))
    for _ in range(6):
        writer.write(bgr)
    writer.release()
    (tmp_path / "home").mkdir()
    return tmp_path


def run(arguments: list[str], place: Path, before: tuple[str, ...] = ()) -> None:
    """A command as a user starts it whose home is empty and who has switched nothing off."""
    strangers = ("CI", "XDG_", "ORT_", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")
    environment = {
        name: value for name, value in os.environ.items() if not name.upper().startswith(strangers)
    }
    home = str(place / "home")
    environment |= {"HOME": home, "USERPROFILE": home, "LOCALAPPDATA": home, "PYTHONPATH": str(ROOT)}
    command = [*before, sys.executable, "-c", MAIN, *arguments]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_leaves_nothing_but_our_own_files_in_a_home(name: str, place: Path) -> None:
    run(COMMANDS[name], place)
    left = [path.relative_to(place / "home") for path in (place / "home").rglob("*") if path.is_file()]
    assert [path for path in left if not OURS & set(path.parts)] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_reaches_no_other_computer(name: str, place: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("needs strace, on Linux")
    if subprocess.run([*TRACE, "true"], cwd=place, capture_output=True).returncode != 0:
        pytest.skip("strace may not watch a process here")
    run(COMMANDS[name], place, tuple(TRACE))
    reached = {four or six for four, six in ADDRESS.findall((place / "trace").read_text(errors="replace"))}
    assert [address for address in reached if not ipaddress.ip_address(address).is_loopback] == []
