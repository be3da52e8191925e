# SPDX-License-Identifier: MIT
"""The command line: which commands there are, exit statuses, errors as one line. Knows no frame.

Exit status: 0 done, 1 failed at work, 2 wrong use, 130 offline work interrupted. A PuppetError is one line on
standard error, anything else keeps its trace.
"""

import difflib
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from face.errors import PuppetError, SinkUnavailable, WrongUse
from realtime.commands.bench import BenchOptions, bench
from realtime.commands.demo import DemoOptions, demo
from realtime.commands.enroll import EnrollOptions, enroll
from realtime.commands.export import ExportOptions, export
from realtime.commands.help import explained, overview, summaries
from realtime.commands.machine import devices, doctor
from realtime.commands.models import MakeOptions, ShowOptions, VerifyOptions, list_models, make, show, verify
from realtime.commands.parsing import Command, parse, sample_config
from realtime.commands.render import RenderOptions, render
from realtime.commands.run import RUN, WEB, run, web
from realtime.commands.train import train
from realtime.console import log_to_stderr, note, put_out
from realtime.options import PATH, Plain, Run, flag

INTERRUPTED = 130
ENDINGS = ("SIGTERM", "SIGHUP", "SIGBREAK")  # a service manager, a closed terminal, Windows' Ctrl-Break
HELP = ("--help", "-h")
TITLE = "One portrait photo, moved live by a webcam, on a plain laptop processor."
FAMILIES = {
    "models": "What is installed and made: licence, provenance, sha256.",
    "train": "Run a recipe, of a method or of the generator; one that was interrupted goes on where it was.",
}


@dataclass(frozen=True, slots=True)
class ConfigOptions:
    out: Path | None = flag(
        None, "Write it there instead of printing it.", kind=PATH, metavar="FILE.toml", in_file=False
    )
    this_run: Run = Run()


def config(options: ConfigOptions) -> int:
    """Print a settings file with every flag of every command at its default."""
    text, out = sample_config(COMMANDS), options.out
    if out is None:
        put_out(text)
        return 0
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise SinkUnavailable(f"{out} is there already and is left alone; name another file") from error
    except OSError as error:
        raise SinkUnavailable(f"{out} cannot be written ({error.strerror}); choose another place") from error
    return 0


def keys_explained() -> str:
    from realtime.control import keys_explained

    return keys_explained()


COMMANDS: dict[str, Command] = {
    "demo": Command(demo, DemoOptions(), "facepuppet demo --out demo.mp4", plays=True),
    "run": Command(
        run,
        RUN,
        "facepuppet run me.jpg --camera 0 --sink vcam --sink window",
        plays=True,
        more=keys_explained,
    ),
    "render": Command(
        render, RenderOptions(), "facepuppet render me.jpg driver.mp4 out.mp4 --compare", plays=True
    ),
    "web": Command(web, WEB, "facepuppet web portraits/", plays=True, more=keys_explained),
    "bench": Command(bench, BenchOptions(), "facepuppet bench --seconds 600 --report bench.html", plays=True),
    "devices": Command(devices, Plain(), "facepuppet devices --json", plays=True),
    "doctor": Command(doctor, Plain(), "facepuppet doctor", plays=True),
    "config": Command(config, ConfigOptions(), "facepuppet config --out settings.toml"),
    "export": Command(
        export,
        ExportOptions(),
        "facepuppet export A_matrix.pt --with stylegan-voxceleb.pt --out models/vox --live",
    ),
    "enroll": Command(
        enroll,
        EnrollOptions(),
        "facepuppet enroll me.jpg --out me",
        gone={"limit": "an enrolment takes its --steps, however long they last"},
    ),
    "models list": Command(list_models, Plain(), "facepuppet models list"),
    "models show": Command(show, ShowOptions(), "facepuppet models show ffhq-mobile"),
    "models verify": Command(verify, VerifyOptions(), "facepuppet models verify"),
    "models make": Command(make, MakeOptions(), "facepuppet models make ffhq-mobile"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; the exit status."""
    if threading.current_thread() is threading.main_thread():
        for number in (getattr(signal, name) for name in ENDINGS if hasattr(signal, name)):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup has us ignore a closed terminal
                signal.signal(number, _interrupt)
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _dispatch(words)
    except PuppetError as error:
        note(f"facepuppet: {' '.join(str(error).split())}")
        return error.exit_status
    except KeyboardInterrupt:
        return INTERRUPTED


def _dispatch(words: list[str]) -> int:
    """Find the command, show its help or do it."""
    first = words[0] if words else ""
    if first in ("", *HELP):
        rows = {name: text for name, text in summaries(COMMANDS).items() if " " not in name}
        put_out(overview(rows | FAMILIES, "facepuppet", title=TITLE))
        return 0 if first else 2
    if first == "--version":
        return _show_version()
    if first == "train":
        return train(words[1:])
    name = first if first in COMMANDS else " ".join(words[:2])
    if name not in COMMANDS:
        return _family(first, words[1:])
    rest = words[len(name.split()) :]
    if any(word in HELP for word in (rest[: rest.index("--")] if "--" in rest else rest)):
        put_out(explained(name, COMMANDS[name]))
        return 0
    options = parse(name, COMMANDS, rest, _users_file)
    log_to_stderr(options.this_run.log_level)
    return _in_quiet(lambda: COMMANDS[name].perform(options))


def _in_quiet(perform: Callable[[], int]) -> int:
    from engines.quiet import quiet_natives

    with quiet_natives():
        return perform()


def _family(first: str, rest: list[str]) -> int:
    """Commands of two words, such as models list: their help; else the word is unknown."""
    family = {
        name.partition(" ")[2]: command for name, command in COMMANDS.items() if name.startswith(f"{first} ")
    }
    if family and (not rest or rest[0] in HELP):
        put_out(overview(summaries(family), f"facepuppet {first}"))
        return 0 if rest else 2
    word, known = (f"{first} {rest[0]}", family) if family else (first, [*COMMANDS, *FAMILIES])
    near = difflib.get_close_matches(rest[0] if family else first, known, n=1)
    meant = f" did you mean {near[0]}?" if near else ""
    program = f"facepuppet {first}" if family else "facepuppet"
    raise WrongUse(f"there is no command {word!r};{meant} see: {program} --help")


def _users_file() -> Path:
    """Where settings are looked for when no flag names a file."""
    from engines.folders import config_folder

    return config_folder() / "config.toml"


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """Any wish to end is Ctrl-C to us: recordings are finished, cameras closed, nothing half made is left."""
    if number != signal.SIGTERM:  # shell and system both tell of a closed terminal, once is enough
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _show_version() -> int:
    from realtime.machine import installed

    put_out(
        f"facepuppet {installed('facepuppet')} (MIT)\n"
        "face_landmarker.task, selfie_segmenter.tflite: MediaPipe (Apache-2.0); pyvirtualcam (GPL-2.0)\n"
    )
    return 0
