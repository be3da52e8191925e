# SPDX-License-Identifier: MIT
"""Which cameras Linux has, what they are called and who holds them. Opens none of them; knows no OpenCV."""

import os
import re
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SYSFS = Path("/sys/class/video4linux")
PROC = Path("/proc")

# Names of devices that we (or the driver we write to) offer to other programs: our own picture is no input.
OWN_OUTPUTS = ("facepuppet", "obs virtual camera", "dummy video device")

QUERYCAP = 0x80685600  # VIDIOC_QUERYCAP of linux/videodev2.h
QUERYCAP_LAYOUT = "16s32s32sIII12x"  # driver, card, bus, version, capabilities, device_caps, reserved
VIDEO_CAPTURE = 0x00000001 | 0x00001000  # single-planar, multi-planar


@dataclass(frozen=True, slots=True)
class CameraInfo:
    """One camera of this machine."""

    index: int  # what opens it
    name: str  # as the system calls it; "camera N" where it does not tell
    path: str = ""  # /dev/videoN on Linux, otherwise empty

    def __str__(self) -> str:
        return f"{self.index} ({self.name})"


def is_own_output(name: str) -> bool:
    """True for a virtual camera that shows our own picture."""
    return any(own in name.lower() for own in OWN_OUTPUTS)


def takes_pictures(path: str) -> bool:
    """Asks the driver whether a video node captures; its neighbours carry metadata or take pictures in.

    A node that may not be asked (no rights) counts as a camera, so that opening it can say so.
    """
    if sys.platform != "linux":
        return True
    import fcntl  # Linux only

    answer = bytearray(struct.calcsize(QUERYCAP_LAYOUT))
    try:
        node = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    except OSError:
        return True
    try:
        fcntl.ioctl(node, QUERYCAP, answer)
    except OSError:
        return False
    finally:
        os.close(node)
    return bool(struct.unpack(QUERYCAP_LAYOUT, answer)[5] & VIDEO_CAPTURE)


def linux_cameras(
    sysfs: Path = SYSFS, captures: Callable[[str], bool] = takes_pictures, *, own: bool = False
) -> list[CameraInfo]:
    """Cameras in the order of their numbers; our own outputs only when `own`."""
    cameras = []
    for node in sysfs.glob("video*") if sysfs.is_dir() else ():
        number = re.fullmatch(r"video([0-9]+)", node.name)
        if number is None:
            continue
        try:
            name = (node / "name").read_text(encoding="utf-8", errors="replace").strip()
        except OSError:  # unplugged while we look
            continue
        path = f"/dev/{node.name}"
        if (own or not is_own_output(name)) and captures(path):
            cameras.append(CameraInfo(int(number[1]), name or node.name, path))
    return sorted(cameras, key=lambda camera: camera.index)


def called(name: str, cameras: list[CameraInfo]) -> list[CameraInfo]:
    """The cameras of that name, or else those whose name contains it. Case is ignored."""
    wanted = name.strip().lower()
    exact = [camera for camera in cameras if camera.name.lower() == wanted]
    return exact or [camera for camera in cameras if wanted and wanted in camera.name.lower()]


def described(cameras: list[CameraInfo]) -> str:
    """For the second half of an error line."""
    if not cameras:
        return "no camera was found here"
    return "cameras here: " + ", ".join(str(camera) for camera in cameras)


def holders(path: str, proc: Path = PROC) -> list[str]:
    """Other programs that have a device open, as "name (process number)"; other users' are not seen."""
    found = []
    for process in proc.glob("[0-9]*"):
        if process.name == str(os.getpid()):
            continue
        try:
            if any(os.readlink(link) == path for link in (process / "fd").iterdir()):
                found.append(f"{(process / 'comm').read_text().strip()} ({process.name})")
        except OSError:  # another user's, or ended while we look
            continue
    return found
