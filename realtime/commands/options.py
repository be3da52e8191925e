# SPDX-License-Identifier: MIT
"""The options of the commands: names, units, limits and help, each once. Knows not what is done with them."""

import re
from pathlib import Path
from typing import Annotated, Literal

import typer

from face.errors import WrongUse
from methods.method import FrameKind
from methods.registry import METHODS, find_method
from realtime.commands.settings import default_path, flags_of, read_config

Fit = Literal["letterbox", "crop"]
LogLevel = Literal["debug", "info", "warning", "error"]
EngineName = Literal[
    "auto",
    "onnx",
    "openvino",
    "torch",
    "torch-graphs",
    "torch-compiled",
    "tensorrt-rtx",
    "tensorrt",
    "torch2trt",
]

METHODS_SHOWN = [find_method(name) for name in METHODS]
DRIVER, MOVEMENT, PORTRAIT, OUTPUT, PAGE, RUN = "Driver", "Movement", "Portrait", "Output", "Page", "This run"

# Driver
Camera = Annotated[
    str,
    typer.Option(
        "--camera",
        "-c",
        metavar="N|PATH|NAME|URL",
        rich_help_panel=DRIVER,
        help="What drives the portrait: a camera's number, device, name or address; a video, a picture or a "
        "folder of pictures played as if it were one; or testcard.",
    ),
]
CameraSize = Annotated[
    str,
    typer.Option(
        "--camera-size",
        metavar="WxH",
        rich_help_panel=DRIVER,
        help="Pixels asked of the camera; 640x480 is quickest and enough for the tracker.",
    ),
]
CameraFps = Annotated[
    float,
    typer.Option(
        "--camera-fps",
        metavar="HZ",
        min=1,
        max=240,
        rich_help_panel=DRIVER,
        help="Pictures a second asked of it.",
    ),
]
Loop = Annotated[
    bool,
    typer.Option("--loop/--no-loop", rich_help_panel=DRIVER, help="Play a video or folder again and again."),
]

# Movement
Mirror = Annotated[
    bool,
    typer.Option(
        "--mirror/--no-mirror",
        rich_help_panel=MOVEMENT,
        help="Turn the portrait as a mirror would: your left is the picture's left.",
    ),
]
Absolute = Annotated[
    bool,
    typer.Option(
        "--absolute/--relative",
        rich_help_panel=MOVEMENT,
        help="Take the driver's pose as it is, instead of its change against the driver's own rest.",
    ),
]
PoseGain = Annotated[
    float,
    typer.Option(
        "--pose-gain",
        min=0,
        max=2,
        rich_help_panel=MOVEMENT,
        help="Share of the head's movement passed on; 0 holds it still, 1 is the driver's own.",
    ),
]
ExpressionGain = Annotated[
    float,
    typer.Option(
        "--expression-gain", min=0, max=2, rich_help_panel=MOVEMENT, help="The same for mouth and brows."
    ),
]
EyesGain = Annotated[
    float,
    typer.Option("--eyes-gain", min=0, max=2, rich_help_panel=MOVEMENT, help="The same for lids and gaze."),
]
Smoothing = Annotated[
    float,
    typer.Option(
        "--smoothing",
        min=0,
        max=2,
        rich_help_panel=MOVEMENT,
        help="0 passes every tremble on, 1 is calm without a lag one sees, 2 is the calmest.",
    ),
]
Recalibrate = Annotated[
    bool,
    typer.Option(
        "--recalibrate",
        rich_help_panel=MOVEMENT,
        help="Forget the rest kept from an earlier run; the driver's face is measured anew.",
    ),
]

# Portrait
Portraits = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PORTRAIT",
        show_default=False,
        help="Photos of one face each, identity folders, or folders of them; keys 1 to 9 choose. seed:N is a "
        "generated face, for the method directions. Without: the built-in photo.",
    ),
]
MethodName = Annotated[
    str,
    typer.Option(
        "--method",
        "-m",
        metavar="NAME",
        rich_help_panel=PORTRAIT,
        help=f"What moves the portrait: {'; '.join(f'{m.name} ({m.summary})' for m in METHODS_SHOWN)}.",
    ),
]
Engine = Annotated[
    EngineName,
    typer.Option(
        "--engine",
        rich_help_panel=PORTRAIT,
        help="What runs a learned method's networks; one asked for by name is never replaced.",
    ),
]
Model = Annotated[
    Path | None,
    typer.Option(
        "--model",
        metavar="DIR",
        rich_help_panel=PORTRAIT,
        help="An exported model's folder, for learned methods.",
    ),
]
FrameShown = Annotated[
    FrameKind,
    typer.Option(
        "--frame",
        rich_help_panel=PORTRAIT,
        help="Method directions: the generated head in the whole photo, in the photo's aligned square at the "
        "generator's size (crop), or nothing but what the generator draws (raw).",
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        "--seed",
        metavar="N",
        min=0,
        max=999_999_999,
        rich_help_panel=PORTRAIT,
        help="Method directions: which face that was never anyone's.",
    ),
]
Psi = Annotated[
    float,
    typer.Option(
        "--psi",
        min=0,
        max=1,
        rich_help_panel=PORTRAIT,
        help="Method directions: 0 is the mean face, 1 the generator's full variety.",
    ),
]
PortraitSize = Annotated[
    int,
    typer.Option(
        "--portrait-size",
        metavar="PIXELS",
        min=64,
        max=4096,
        rich_help_panel=PORTRAIT,
        help="Longer side the portrait is worked on at; the time a frame takes grows with its square.",
    ),
]
WholePhoto = Annotated[
    bool,
    typer.Option(
        "--whole-photo",
        rich_help_panel=PORTRAIT,
        help="Show all of a photo, however small its face becomes; else a photo that is reduced to a face of "
        "less than 160 pixels is cut to head and shoulders.",
    ),
]

# Output
Sinks = Annotated[
    list[str],
    typer.Option(
        "--sink",
        "-s",
        metavar="SINK",
        rich_help_panel=OUTPUT,
        help="Where the picture goes: vcam[:DEVICE], window, web, file:OUT.mp4 or null. May be given again.",
    ),
]
Record = Annotated[
    Path | None,
    typer.Option(
        "--record", metavar="FILE.mp4", rich_help_panel=OUTPUT, help="Keep the picture in a file as well."
    ),
]
Size = Annotated[
    str | None,
    typer.Option(
        "--size",
        metavar="WxH",
        rich_help_panel=OUTPUT,
        help="Pixels of the output. Without: 1280x720 for a virtual camera, else the picture's own.",
    ),
]
Fps = Annotated[
    float,
    typer.Option(
        "--fps",
        metavar="HZ",
        min=1,
        max=240,
        rich_help_panel=OUTPUT,
        help="Rate the virtual camera announces.",
    ),
]
FitOption = Annotated[
    Fit,
    typer.Option("--fit", rich_help_panel=OUTPUT, help="Bars around the picture, or its edges cut off."),
]
Badge = Annotated[
    bool,
    typer.Option(
        "--badge/--no-badge",
        rich_help_panel=OUTPUT,
        help="Draw a small AI badge into the picture; files are marked for machines either way.",
    ),
]

# Page
Host = Annotated[
    str, typer.Option("--host", metavar="ADDRESS", rich_help_panel=PAGE, help="Address the page listens on.")
]
Port = Annotated[
    int,
    typer.Option("--port", min=0, max=65535, rich_help_panel=PAGE, help="Its port; 0 takes any free one."),
]
AllowRemote = Annotated[
    bool,
    typer.Option(
        "--allow-remote",
        rich_help_panel=PAGE,
        help="Let other machines reach the page; the address with its key is all that guards it.",
    ),
]

# This run
Seconds = Annotated[
    float,
    typer.Option("--seconds", metavar="S", min=0, rich_help_panel=RUN, help="Stop after so long; 0 runs on."),
]
Statistics = Annotated[
    bool, typer.Option("--statistics", rich_help_panel=RUN, help="Show figures in the window (key I).")
]
Landmarks = Annotated[
    bool,
    typer.Option("--landmarks", rich_help_panel=RUN, help="Show the tracked points in the window (key O)."),
]


def _read_config(context: typer.Context, value: Path | None) -> Path | None:
    """Lays the file's values under the flags; runs before any other option is read."""
    path = value or default_path()
    if value is not None or path.exists():
        tables = {name: flags_of(command) for name, command in context.obj.items()}
        context.default_map = dict(read_config(path, tables)[context.info_name or ""])
    return value


Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE.toml",
        is_eager=True,
        callback=_read_config,
        show_default=False,
        rich_help_panel=RUN,
        help="Settings for the flags that are not given; facepuppet config prints a file to start from.",
    ),
]
JsonLine = Annotated[
    bool, typer.Option("--json", rich_help_panel=RUN, help="End with one line of JSON on standard output.")
]
Logging = Annotated[
    LogLevel, typer.Option("--log-level", rich_help_panel=RUN, help="What is logged on standard error.")
]


# Of one command only
DemoOut = Annotated[
    Path,
    typer.Option(
        "--out", "-o", metavar="FILE.mp4", rich_help_panel=OUTPUT, help="The video that is written."
    ),
]
DemoSeconds = Annotated[
    float,
    typer.Option("--seconds", metavar="S", min=0.5, max=60, rich_help_panel=RUN, help="How long it is."),
]
RenderPortrait = Annotated[
    Path, typer.Argument(metavar="PORTRAIT", help="Photo of one face, an identity folder, or seed:N.")
]
RenderDriving = Annotated[Path, typer.Argument(metavar="DRIVING", help="Video of the one who moves it.")]
RenderOut = Annotated[Path, typer.Argument(metavar="OUT", help="The mp4 that is written.")]
Compare = Annotated[
    bool,
    typer.Option("--compare", rich_help_panel=OUTPUT, help="Driver, portrait and result side by side."),
]
Refine = Annotated[
    bool,
    typer.Option(
        "--refine/--no-refine",
        rich_help_panel=MOVEMENT,
        help="Draw, read and correct every frame twice before the last drawing, so that mouth and smile "
        "follow the driver more closely; takes about three times as long.",
    ),
]
Audio = Annotated[
    bool,
    typer.Option("--audio/--no-audio", rich_help_panel=OUTPUT, help="Keep the driving video's sound."),
]
MotionFile = Annotated[
    Path | None,
    typer.Option(
        "--motion",
        metavar="FILE.npz",
        rich_help_panel=MOVEMENT,
        help="The driving video's motion: used when the file is there, written there when it is not.",
    ),
]
BenchClip = Annotated[
    Path | None,
    typer.Argument(metavar="CLIP", show_default=False, help="Video to play; without: the built-in driver."),
]
BenchSeconds = Annotated[
    float,
    typer.Option(
        "--seconds",
        metavar="S",
        min=1,
        rich_help_panel=RUN,
        help="Measured time; 600 shows whether memory is flat.",
    ),
]
Warmup = Annotated[
    float,
    typer.Option("--warmup", metavar="S", min=0, rich_help_panel=RUN, help="Time before it."),
]
Report = Annotated[
    Path | None,
    typer.Option("--report", metavar="FILE.html", rich_help_panel=OUTPUT, help="Write a page with plots."),
]
BenchPortrait = Annotated[
    Path | None,
    typer.Option(
        "--portrait",
        metavar="PHOTO",
        rich_help_panel=PORTRAIT,
        help="Photo to move; without: the built-in one.",
    ),
]
BenchSize = Annotated[
    str, typer.Option("--size", metavar="WxH", rich_help_panel=OUTPUT, help="Pixels of the sink.")
]


def parse_size(text: str, flag: str = "--size") -> tuple[int, int]:
    """Width and height of "1280x720"; WrongUse for anything else."""
    found = re.fullmatch(r"\s*([1-9][0-9]{0,4})\s*[x×*,]\s*([1-9][0-9]{0,4})\s*", text)
    if found is None:
        raise WrongUse(f"{flag} is {text!r}, expected width and height; write it as 1280x720")
    return int(found[1]), int(found[2])
