# SPDX-License-Identifier: MIT
"""Makes models and identities in a process of its own: what makes them needs torch, what plays them does not.

    python -m methods.making model --size 256 --out DIR
    python -m methods.making identity me.jpg --size 256 --out DIR

The child ends when its parent does: it waits for the end of its standard input. It tells how far it is in
lines that start with a mark, and ends with one line that says what went wrong.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import threading
from _thread import interrupt_main
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np

from engines import ffhq_mobile, model_folder
from engines.ffhq_mobile import NAME as FFHQ
from engines.ffhq_mobile import check_parts, check_size
from engines.folders import cache_folder
from engines.quiet import quiet_natives
from face.errors import ModelUnavailable, PuppetError, WrongUse
from methods.identity import Identity, is_identity, read_identity
from methods.method import Opening
from methods.model import LiveModel
from methods.subject import Photo

DEFAULT_SIZE = 256
RECIPE = "2"  # rises when the same weights make another model folder
CHILD = ("-m", "methods.making")
PROGRESS_MARK = "@ "  # "@ tuning 12/200"
COMPLAINT = "facepuppet: "  # before the line a failed child ends with
LEAVES_WITHIN_S = 10.0  # after it was asked to; then it is ended
INTERRUPTED = 130


def ffhq_folder(size: int) -> Path:
    """Where the model of that size is kept: another place for other weights of ours."""
    digest = hashlib.sha256(f"{RECIPE} {size}".encode())
    for path in sorted(ffhq_mobile.WEIGHTS.glob("*.safetensors")):
        digest.update(path.name.encode() + path.read_bytes())
    return cache_folder() / "models" / f"{FFHQ}-{size}-{digest.hexdigest()[:8]}"


def ffhq_model(size: int, opening: Opening) -> Path:
    """The model folder of the installed generator, made when it is not there or was damaged."""
    check_size(size)
    folder = ffhq_folder(size)
    if (folder / model_folder.INDEX).is_file():
        try:
            model_folder.verify_model(model_folder.read_model(folder))
            return folder
        except ModelUnavailable as error:
            opening.tell(f"{error}; it is made again now")
    check_parts()
    opening.tell(f"first use of {FFHQ} at {size} px: its live graph is made once, in {folder}")
    perform(["model", "--size", str(size), "--out", str(folder)], f"making {FFHQ}", opening)
    return folder


def enrolments_folder() -> Path:
    """Where it is kept how far an enrolment is."""
    return cache_folder() / "enrolments"


def identity_folder(photo: Photo) -> Path:
    """Where a photo that is enrolled on the fly is kept, for every model."""
    return cache_folder() / "identities" / photo.sha256[:16]


def enrolled(photo: Photo, model: LiveModel, opening: Opening) -> Identity:
    """The photo's identity with a code for this model, made when it is not there or was damaged."""
    folder = identity_folder(photo)
    if is_identity(folder):
        try:
            identity = read_identity(folder)
            if identity.has(model.key, model.size):
                return identity
        except ModelUnavailable as error:
            opening.tell(f"{error}; it is made again now")
    if not model.name.startswith(FFHQ):
        raise ModelUnavailable(
            f"{photo.name} cannot be enrolled for {model.name}, only for {FFHQ}; "
            "name an identity folder made for it, or leave --model out"
        )
    check_parts()
    opening.tell(f"{photo.name} is enrolled once for {model.name}, two or three minutes; kept in {folder}")
    with TemporaryDirectory(prefix="facepuppet-") as scratch:
        path = photo.path
        if path is None:  # a picture in memory goes by way of a file
            path = Path(scratch) / f"{photo.sha256[:16]}.png"
            cv2.imwrite(str(path), np.ascontiguousarray(photo.image[..., ::-1]))
        arguments = ["identity", str(path), "--size", str(model.size), "--out", str(folder)]
        perform(arguments, f"enrolling {photo.name}", opening)
    return read_identity(folder)


def perform(arguments: Sequence[str], title: str, opening: Opening) -> None:
    """Run the child to its end and tell how far it is; raises the one line it ended with.

    However this is left, the child is gone.
    """
    process = subprocess.Popen(
        [sys.executable, *CHILD, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    last = ""
    try:
        assert process.stderr is not None
        for line in process.stderr:
            last = _told(line.rstrip("\n"), opening) or last
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


def _told(line: str, opening: Opening) -> str:
    """Pass one line of the child on; what may be its last word comes back."""
    if line.startswith(PROGRESS_MARK):
        what, _, numbers = line.removeprefix(PROGRESS_MARK).rpartition(" ")
        done, _, total = numbers.partition("/")
        if done.isdigit() and total.isdigit():
            opening.on_step(what, int(done), int(total))
        return ""
    if line and not line.startswith(COMPLAINT):
        opening.tell(line)
    return line


def _end(process: "subprocess.Popen[str]") -> None:
    """Ask the child to leave, as Ctrl-C would, and see that it does."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(LEAVES_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """The child; its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = parser.add_subparsers(dest="kind", required=True)
    kinds.add_parser("model")
    kinds.add_parser("identity").add_argument("photo", type=Path)
    for kind in kinds.choices.values():
        kind.add_argument("--size", type=int, default=DEFAULT_SIZE)
        kind.add_argument("--out", type=Path, required=True)
    wanted = parser.parse_args(arguments)
    threading.Thread(target=_leave_with_parent, name="parent", daemon=True).start()
    with quiet_natives():
        try:
            if wanted.kind == "model":
                from export.ffhq_model import make_model

                make_model(wanted.out, size=wanted.size, on_step=_print_step)
                _print(ffhq_mobile.NOTE)
            else:
                from methods.enrol import enrol

                kept_in = enrolments_folder()
                made = enrol(wanted.photo, wanted.out, size=wanted.size, kept_in=kept_in, on_step=_print_step)
                if made.shortfall:
                    goes_on = f"--out {wanted.out} --size {wanted.size} --more {made.tune_steps}"
                    _print(f"{made.shortfall}; go on with: facepuppet enroll {wanted.photo} {goes_on}")
        except PuppetError as error:
            _print(f"{COMPLAINT}{' '.join(str(error).split())}")
            return error.exit_status
        except KeyboardInterrupt:
            return INTERRUPTED
    return 0


def _leave_with_parent() -> None:
    while os.read(0, 1024):  # not by sys.stdin, whose lock a thread may not hold at the very end
        pass
    interrupt_main()


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _print_step(what: str, done: int, total: int) -> None:
    _print(f"{PROGRESS_MARK}{what} {done}/{total}")


if __name__ == "__main__":
    sys.exit(main())
