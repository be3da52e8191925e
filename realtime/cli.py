# SPDX-License-Identifier: MIT
"""The command line: which commands there are, exit statuses, errors as one line. Knows no frame.

Exit status: 0 done, 1 failed at work, 2 wrong use, 130 offline work interrupted. A PuppetError is one line on
standard error, anything else keeps its trace.
"""

import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer

from engines.folders import cache_folder
from engines.quiet import quiet_natives
from face.errors import PuppetError, SinkUnavailable, WrongUse
from realtime.commands import options as opt
from realtime.commands import options_export as exp
from realtime.commands.clips import bench, demo, render
from realtime.commands.config import flags_of, sample_config
from realtime.commands.machine import devices, doctor
from realtime.commands.models import app as models_app
from realtime.commands.run import run, web
from realtime.console import StatusLine, StepProgress, last_line, log_to_stderr, note
from realtime.machine import installed

INTERRUPTED = 130
GEFORCE = ("8.6", "8.9", "12.0")  # compute capabilities of RTX 30, 40, 50
COMMANDS: dict[str, Callable[..., int]] = {
    "demo": demo,
    "run": run,
    "render": render,
    "web": web,
    "bench": bench,
    "devices": devices,
    "doctor": doctor,
}
EXAMPLES = {
    "demo": "facepuppet demo --out demo.mp4",
    "run": "facepuppet run me.jpg --camera 0 --sink vcam --sink window",
    "render": "facepuppet render me.jpg driver.mp4 out.mp4 --compare",
    "web": "facepuppet web portraits/",
    "bench": "facepuppet bench --seconds 600 --report bench.html",
    "devices": "facepuppet devices --json",
    "doctor": "facepuppet doctor",
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
for _name, _command in COMMANDS.items():
    app.command(_name, epilog=f"Example: {EXAMPLES[_name]}")(_command)
app.add_typer(models_app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; the exit status."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _interrupt)
    with quiet_natives():
        try:
            status: Any = app(args=arguments, prog_name="facepuppet", standalone_mode=False, obj=COMMANDS)
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
    """A service manager's wish to end is Ctrl-C to us: recordings are finished, cameras closed."""
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


@app.command(epilog="Example: facepuppet config --out settings.toml")
def config(
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.toml", help="Write it there instead of printing it.")
    ] = None,
) -> int:
    """Print a settings file with every flag at its default."""
    text = sample_config({name: flags_of(command) for name, command in COMMANDS.items()})
    if out is None:
        sys.stdout.write(text)
        return 0
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise SinkUnavailable(f"{out} is there already and is left alone; name another file") from error
    except OSError as error:
        raise SinkUnavailable(f"{out} cannot be written ({error.strerror}); choose another place") from error
    return 0


@app.command(
    epilog="Example: facepuppet export A_matrix.pt --with stylegan-voxceleb.pt --out models/vox --live"
)
def export(
    checkpoint: exp.Checkpoint, out: exp.Out, others: exp.Others = None,
    onnx: exp.Onnx = True, safetensors: exp.Safetensors = False,
    live: exp.Live = False, precision: exp.Precision = None, psi: exp.Psi = None, limit: exp.Limit = None,
    tensorrt_rtx: exp.TensorrtRtx = False, capability: exp.Capability = None,
    json_line: opt.JsonLine = False, log_level: opt.Logging = "warning",
) -> int:  # fmt: skip
    """Import public checkpoints and write a model folder, each graph verified against torch."""
    # the one place where realtime meets export, and only when asked
    from export import export_checkpoint
    from export.live_request import LiveRequest

    log_to_stderr(log_level)
    wanted: LiveRequest | None = None
    if live or tensorrt_rtx or any(flag is not None for flag in (precision, psi, limit, capability)):
        built_for = tuple(capability or GEFORCE) if tensorrt_rtx or capability else ()
        cache = cache_folder() / "engines"
        wanted = LiveRequest(tuple(precision or ("fp32",)), psi, limit, built_for, cache)
    status = ""  # while importing: an error must stay the only line

    def told(phase: str, share: float) -> bool:
        nonlocal status
        status = f"{phase} {share:.0%}"
        return True

    with StatusLine(lambda: status):
        report = export_checkpoint(
            checkpoint, out, onnx=onnx, safetensors=safetensors, others=tuple(others or ()), live=wanted,
            progress=told,
        )  # fmt: skip
    note(f"{report.folder}: {report.origin}, licence {report.licence}, {report.seconds:.1f} s")
    for engine in report.engines:
        note(f"{engine.file}: {engine.bytes / 2**20:.0f} MiB, {engine.seconds:.1f} s, {engine.runtime}")
    for line in report.notes:
        note(line)
    if json_line:
        last_line(report.as_json())
    return 0


@app.command(epilog="Example: facepuppet enroll me.jpg --out me")
def enroll(
    portrait: Annotated[Path, typer.Argument(metavar="PORTRAIT", help="Photo of one face.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="The identity folder that is written.")
    ],
    size: Annotated[
        int, typer.Option("--size", metavar="PIXELS", help="Side of the generated picture: 256, 512, 1024.")
    ] = 256,
    tune: Annotated[
        bool, typer.Option("--tune/--no-tune", help="Tune the generator on this portrait, as in LOR.")
    ] = True,
    limit: Annotated[
        float,
        typer.Option("--limit", metavar="S", min=5, help="Seconds the search may take; less when done."),
    ] = 150.0,
    json_line: opt.JsonLine = False,
    log_level: opt.Logging = "warning",
) -> int:
    """Invert a portrait once for --method directions: an identity folder that loads at once ever after.

    Two or three minutes on two cores; needs the extra [ffhq]. Ctrl-C leaves nothing behind.
    """
    from engines.ffhq_mobile import check_parts, check_size

    log_to_stderr(log_level)
    check_size(size)
    check_parts()
    training = import_module("methods.enrol")  # the one place where realtime meets training

    steps = training.EnrolConfig().tune_steps if tune else 0
    config = training.EnrolConfig(limit_s=limit, tune_steps=steps)
    with StepProgress() as progress:
        made = training.enrol(portrait, out, size=size, config=config, on_step=progress)
    note(
        f"{made.folder}: {made.seconds:.0f} s, {made.code_steps} steps on the code, {made.tune_steps} on the "
        f"generator, {made.psnr_db:.1f} dB to the photo"
    )
    if json_line:
        last_line({**asdict(made), "folder": str(made.folder)})
    return 0


@models_app.command(epilog="Example: facepuppet models make ffhq-mobile")
def make(
    name: Annotated[str, typer.Argument(metavar="MODEL", help="An installed generator: ffhq-mobile.")],
    size: Annotated[
        int, typer.Option("--size", metavar="PIXELS", help="Side of the generated picture: 256, 512, 1024.")
    ] = 256,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Without: the cache, where runs look.")
    ] = None,
    json_line: opt.JsonLine = False,
    log_level: opt.Logging = "warning",
) -> int:
    """Write the live graph of an installed generator, which the first run otherwise does."""
    from engines.ffhq_mobile import NAME, NOTE, check_parts, check_size
    from methods.making import ffhq_folder

    log_to_stderr(log_level)
    if name != NAME:
        raise WrongUse(f"model {name!r} cannot be made, expected {NAME}; checkpoints: facepuppet export")
    check_size(size)
    check_parts()
    from export.ffhq_model import make_model

    with StepProgress() as progress:
        folder = make_model(out or ffhq_folder(size), size=size, on_step=progress)
    note(NOTE)
    note(f"{folder}: {name} at {size} px, ready for --method directions")
    if json_line:
        last_line({"folder": str(folder), "size": size})
    return 0
