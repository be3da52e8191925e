# SPDX-License-Identifier: MIT
"""The command line: which commands there are, exit statuses, errors as one line. Knows no frame.

Exit status: 0 done, 1 failed at work, 2 wrong use, 130 offline work interrupted. A PuppetError is one line on
standard error, anything else keeps its trace.
"""

import signal
import threading
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer

from engines.quiet import quiet_natives
from face.errors import PuppetError
from realtime.commands.bench import bench
from realtime.commands.config import config
from realtime.commands.demo import demo
from realtime.commands.enroll import enroll
from realtime.commands.export import export
from realtime.commands.machine import devices, doctor
from realtime.commands.models import app as models_app
from realtime.commands.render import render
from realtime.commands.run import run, web
from realtime.commands.train import app as train_app
from realtime.console import note
from realtime.machine import installed

INTERRUPTED = 130
ENDINGS = ("SIGTERM", "SIGHUP", "SIGBREAK")  # a service manager, a closed terminal, Windows' Ctrl-Break
# name: what it runs, an example. Those of SETTINGS have a table in the settings file.
COMMANDS: dict[str, tuple[Callable[..., int], str]] = {
    "demo": (demo, "facepuppet demo --out demo.mp4"),
    "run": (run, "facepuppet run me.jpg --camera 0 --sink vcam --sink window"),
    "render": (render, "facepuppet render me.jpg driver.mp4 out.mp4 --compare"),
    "web": (web, "facepuppet web portraits/"),
    "bench": (bench, "facepuppet bench --seconds 600 --report bench.html"),
    "devices": (devices, "facepuppet devices --json"),
    "doctor": (doctor, "facepuppet doctor"),
    "config": (config, "facepuppet config --out settings.toml"),
    "export": (
        export,
        "facepuppet export A_matrix.pt --with stylegan-voxceleb.pt --out models/vox --live",
    ),
    "enroll": (enroll, "facepuppet enroll me.jpg --out me"),
}
SETTINGS = {
    name: COMMANDS[name][0] for name in ("demo", "run", "render", "web", "bench", "devices", "doctor")
}

app = typer.Typer(
    name="facepuppet",
    help="One portrait photo, moved live by a webcam, on a plain laptop processor.",
    epilog="Flags may stand in a file: facepuppet config. What is wrong here: facepuppet doctor.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, (_command, _example) in COMMANDS.items():
    app.command(_name, epilog=f"Example: {_example}")(_command)
app.add_typer(models_app)
app.add_typer(train_app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; the exit status."""
    if threading.current_thread() is threading.main_thread():
        for number in (getattr(signal, name) for name in ENDINGS if hasattr(signal, name)):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup has us ignore a closed terminal
                signal.signal(number, _interrupt)
    with quiet_natives():
        try:
            status: Any = app(args=arguments, prog_name="facepuppet", standalone_mode=False, obj=SETTINGS)
        except PuppetError as error:
            return _complain(str(error), error.exit_status)
        except typer.TyperException as error:  # an unknown flag, a value of a wrong kind
            return _complain(_usage(error), error.exit_code)
        except (KeyboardInterrupt, typer.Abort):
            return INTERRUPTED
    return status if isinstance(status, int) else 0


def _usage(error: typer.TyperException) -> str:
    """What was wrong with a command line, and where the right ones stand."""
    line = error.format_message().rstrip(".")
    path = getattr(getattr(error, "ctx", None), "command_path", "facepuppet")
    return f"{line}; see: {path} --help" if line else ""


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """Any wish to end is Ctrl-C to us: recordings are finished, cameras closed, nothing half made is left."""
    if number != signal.SIGTERM:  # shell and system both tell of a closed terminal, once is enough
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _complain(line: str, status: int) -> int:
    if line:
        note(f"facepuppet: {' '.join(line.split())}")
    return status


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"facepuppet {installed('facepuppet')} (MIT)")
        print("face_landmarker.task, selfie_segmenter.tflite: MediaPipe (Apache-2.0); pyvirtualcam (GPL-2.0)")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            is_eager=True,
            callback=_print_version,
            help="Print the version and the licences of what comes along.",
        ),
    ] = False,
) -> None:
    """Move a portrait photo live by a webcam."""
