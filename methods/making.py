# SPDX-License-Identifier: MIT
"""Has models and identities made by our own command line in a process of its own: what makes them needs
torch, what plays them does not. Knows not how they are made.

The child ends when we do: it waits for the end of its standard input. It tells how far it is in lines that
start with a mark, see realtime/console.py.
"""

import hashlib
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from engines import ffhq_mobile, model_folder
from engines.ffhq_mobile import NAME as FFHQ
from engines.ffhq_mobile import check_parts, check_size
from engines.folders import cache_folder
from face.errors import ModelUnavailable, PuppetError, WrongUse
from methods.identity import is_identity, read_identity
from methods.model import LiveModel
from realtime.console import PROGRESS_LINES, PROGRESS_MARK, StepProgress, note

log = logging.getLogger(__name__)

RECIPE = "1"  # rises when the same weights make another model folder
CHILD = "import sys; from methods.making import serve; sys.exit(serve())"
LEAVES_WITHIN_S = 10.0  # after it was asked to; then it is ended
COMPLAINT = "facepuppet: "

Step = Callable[[str, int, int], None]  # what is done, how many, of how many


def ffhq_folder(size: int) -> Path:
    """Where the model of that size is kept: another place for other weights of ours."""
    digest = hashlib.sha256(f"{RECIPE} {size}".encode())
    for path in sorted(ffhq_mobile.WEIGHTS.glob("*.safetensors")):
        digest.update(path.name.encode() + path.read_bytes())
    return cache_folder() / "models" / f"{FFHQ}-{size}-{digest.hexdigest()[:8]}"


def ffhq_model(size: int = 256) -> Path:
    """The live model of the installed generator, made when it is not there or was damaged."""
    check_size(size)
    folder = ffhq_folder(size)
    if (folder / model_folder.INDEX).is_file():
        try:
            model_folder.verify_model(model_folder.read_model(folder))
            return folder
        except ModelUnavailable as error:
            say(f"{error}; it is made again now")
    check_parts()
    say(f"first use of {FFHQ} at {size} px: its live graph is made once, in {folder}")
    perform(["models", "make", FFHQ, "--size", str(size), "--out", str(folder)], f"making {FFHQ}")
    return folder


def portrait_sha256(photo: Path) -> str:
    try:
        return hashlib.sha256(photo.read_bytes()).hexdigest()
    except OSError as error:
        raise WrongUse(f"{photo} cannot be read ({error.strerror}), expected a photo; check it") from error


def identity_folder(photo: Path, model: LiveModel) -> Path:
    """Where a photo that is enrolled on the fly is kept, for this model."""
    return cache_folder() / "identities" / f"{portrait_sha256(photo)[:16]}-{model.key[:16]}"


def enrolled(photo: Path, model: LiveModel) -> Path:
    """The photo's identity folder for this model, made when it is not there or was damaged."""
    folder = identity_folder(photo, model)
    if is_identity(folder):
        try:
            read_identity(folder)
            return folder
        except ModelUnavailable as error:
            say(f"{error}; it is made again now")
    if not model.name.startswith(FFHQ):
        raise ModelUnavailable(
            f"{photo.name} cannot be enrolled for {model.name}, only for {FFHQ}; "
            "name an identity folder made for it, or leave --model out"
        )
    check_parts()
    say(f"{photo.name} is enrolled once for {model.name}, two or three minutes; kept in {folder}")
    arguments = ["enroll", str(photo), "--out", str(folder), "--size", str(model.size)]
    perform(arguments, f"enrolling {photo.name}")
    return folder


def perform(arguments: Sequence[str], title: str) -> None:
    """Run a command of ours to its end and show how far it is; raises the one line it ended with.

    However this is left, the child is gone.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, PROGRESS_LINES: "lines"},
    )
    last = ""
    try:
        assert process.stderr is not None
        with StepProgress(quiet=not _alone()) as progress:
            for line in process.stderr:
                last = _told(line.rstrip("\n"), progress) or last
        status = process.wait()
    except BaseException:
        _end(process)
        raise
    finally:
        for stream in (process.stdin, process.stderr):
            if stream is not None:
                stream.close()
    if status != 0:
        reason = last.removeprefix(COMPLAINT) or f"{title} ended with status {status}"
        raise WrongUse(reason) if status == WrongUse.exit_status else PuppetError(reason)


def _told(line: str, progress: StepProgress) -> str:
    """Handle one line of the child; what may be its last word comes back."""
    if line.startswith(PROGRESS_MARK):
        what, _, numbers = line.removeprefix(PROGRESS_MARK).rpartition(" ")
        done, _, total = numbers.partition("/")
        if done.isdigit() and total.isdigit():
            progress(what, int(done), int(total))
        return ""
    if line.startswith(COMPLAINT):
        return line
    if line:
        say(line)
    return line


def say(line: str) -> None:
    """To the user, or to the log from a thread beside a running line."""
    if _alone():
        note(line)
    else:
        log.info("%s", line)


def _alone() -> bool:
    """Whether nothing else writes to the terminal: not so in the thread that enrols beside a running line."""
    return threading.current_thread() is threading.main_thread()


def _end(process: "subprocess.Popen[str]") -> None:
    """Ask the child to leave, as Ctrl-C would, and see that it does."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(LEAVES_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def serve() -> int:
    """The child: our command line, interrupted when whoever started it closes its end or is gone."""
    from _thread import interrupt_main

    from realtime.cli import main

    def watch() -> None:
        while os.read(0, 1024):  # not by sys.stdin, whose lock a thread may not hold at the very end
            pass
        interrupt_main()

    threading.Thread(target=watch, name="parent", daemon=True).start()
    return main(sys.argv[1:])
