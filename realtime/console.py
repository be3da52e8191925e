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
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

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
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

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


def _on_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


class StatusLine:
    """Shows what `look` returns: again and again in place on a terminal, now and then as a line in a log."""

    def __init__(self, look: Callable[[], str]) -> None:
        self._look = look
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._show, name="status", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ended.set()
        self._thread.join(STATUS_S)

    def _show(self) -> None:
        if not _on_terminal():
            said = ""
            while not self._ended.wait(STATUS_IN_A_LOG_S):
                line = self._look()
                if line != said:
                    note(line)
                said = line
            return
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        with Live(console=Console(stderr=True), auto_refresh=False, transient=True) as display:
            while not self._ended.wait(STATUS_S):
                display.update(Text(self._look(), no_wrap=True, overflow="ellipsis"), refresh=True)


class ProgressBars:
    """A bar for each thing that is done, in steps or `unit`s, on standard error.

    Silent where that is no terminal, and outside its with statement.
    """

    def __init__(self, unit: str = "") -> None:
        self._unit = unit
        self._tasks: dict[str, TaskID] = {}
        self._progress: Progress | None = None

    def __enter__(self) -> Self:
        if _on_terminal():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

            self._progress = Progress(
                TextColumn("{task.description:>12}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn(self._unit),
                TimeElapsedColumn(),
                console=Console(stderr=True),
                transient=True,
                refresh_per_second=4,
            )
            self._progress.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._progress is not None:
            with suppress(OSError):  # as in `note`
                self._progress.stop()
        self._progress = None

    def __call__(self, what: str, done: int, total: int | None = None) -> None:
        """`done` of `total` of `what` are done; None: as many as there were of what came before."""
        if self._progress is None:
            return
        if what not in self._tasks:
            for task in self._tasks.values() if total is None else ():
                total = round(self._progress.tasks[task].completed)
                self._progress.update(task, total=total)
            self._tasks[what] = self._progress.add_task(what, total=total)
        if total is None:
            self._progress.update(self._tasks[what], completed=done)
        else:
            self._progress.update(self._tasks[what], completed=done, total=total)
