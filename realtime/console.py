# SPDX-License-Identifier: MIT
"""How the commands speak: notes and tables, a status line, progress, the JSON line. Knows no command."""

import errno
import io
import json
import logging
import math
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from face.errors import SinkUnavailable

log = logging.getLogger(__name__)

STATUS_S = 0.5
STATUS_IN_A_LOG_S = 10.0
NOBODY_READS = (errno.EPIPE, errno.EIO)  # whoever read has ended; the terminal was closed


def note(line: str) -> None:
    """One line for a person, on standard error: standard output is for results."""
    with suppress(OSError):  # nobody is there to read it: the terminal was closed
        print(line, file=sys.stderr, flush=True)


def tell(line: str) -> None:
    """To the user, or to the log from a thread beside a running line."""
    if threading.current_thread() is threading.main_thread():
        note(line)
    else:
        log.info("%s", line)


def put_out(text: str) -> None:
    """Text on standard output; nothing happens when nobody is there to read it."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        if error.errno not in NOBODY_READS:
            raise SinkUnavailable(
                f"standard output takes nothing more ({error.strerror}); free some space or send it elsewhere"
            ) from error


def last_line(values: dict[str, object]) -> None:
    """One line for a program, on standard output."""
    put_out(json.dumps(_finite(values), allow_nan=False) + "\n")


def _finite(value: object) -> object:
    """JSON has no nan: it becomes null."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, texts: bool = False) -> None:
    """A table on standard output; numbers stand right, `texts` left."""
    table = Table(box=None, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if texts or number == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    shown = io.StringIO()
    Console(file=shown, force_terminal=sys.stdout.isatty(), soft_wrap=False).print(table)
    put_out(shown.getvalue())


def log_to_stderr(level: str) -> None:
    """Send the log there, in one short line each."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    for before in [each for each in root.handlers if isinstance(each, logging.StreamHandler)]:
        if type(before) is logging.StreamHandler:  # ours, from an earlier command in this process
            root.removeHandler(before)
    root.addHandler(handler)
    root.setLevel(level.upper())


class StatusLine:
    """Shows what `look` returns: again and again in place on a terminal, now and then as a line in a log."""

    def __init__(self, look: Callable[[], str]) -> None:
        self._look = look
        self._console = Console(stderr=True)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._show, name="status", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(STATUS_S)

    def _show(self) -> None:
        if not self._console.is_terminal:
            said = ""
            while not self._ended.wait(STATUS_IN_A_LOG_S):
                line = self._look()
                if line != said:
                    note(line)
                said = line
            return
        with Live(console=self._console, auto_refresh=False, transient=True) as display:
            while not self._ended.wait(STATUS_S):
                display.update(Text(self._look(), no_wrap=True, overflow="ellipsis"), refresh=True)


class FrameProgress:
    """A bar for each thing that is done to frames, on standard error; silent where that is no terminal."""

    def __init__(self, total: int | None = None) -> None:
        self._total = total
        self._tasks: dict[str, TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description:>9}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("frames"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
            refresh_per_second=4,
        )

    def __enter__(self) -> Self:
        if self._progress.console.is_terminal:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress.live.is_started:  # stopping a bar that never ran prints an empty line
            with suppress(OSError):  # as in `note`
                self._progress.stop()

    def __call__(self, what: str, done: int) -> None:
        """`done` frames of `what` are done."""
        if what not in self._tasks:
            for task in self._tasks.values():  # what came before is finished: now its length is known
                self._total = round(self._progress.tasks[task].completed)
                self._progress.update(task, total=self._total)
            self._tasks[what] = self._progress.add_task(what, total=self._total)
        self._progress.update(self._tasks[what], completed=done)


class StepProgress:
    """A bar for each thing that is done in a known number of steps, on standard error.

    Silent where that is no terminal, and outside its with statement.
    """

    def __init__(self) -> None:
        self._tasks: dict[str, TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description:>12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
            refresh_per_second=4,
        )

    def __enter__(self) -> Self:
        if self._progress.console.is_terminal:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress.live.is_started:
            with suppress(OSError):  # as in `note`
                self._progress.stop()

    def __call__(self, what: str, done: int, total: int) -> None:
        """`done` of `total` steps of `what` are done."""
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total)
        self._progress.update(self._tasks[what], completed=done, total=total)
