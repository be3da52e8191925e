# SPDX-License-Identifier: MIT
"""Single key presses from the terminal a live command was started in. Knows not what a key means."""

import importlib
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

POLL_S = 0.1


class TerminalKeys:
    """Calls `press` with each key, from a thread of its own; idle where standard input is no terminal.

    A key is the character, or "esc". Puts the terminal back as it was on exit. Ctrl-C stays an interrupt.
    """

    def __init__(self, press: Callable[[str], object]) -> None:
        self._press = press
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._restore: Callable[[], None] | None = None

    def __enter__(self) -> Self:
        if not sys.stdin or not sys.stdin.isatty():
            return self
        if os.name == "nt":
            target: Callable[[], None] = self._read_windows
        else:
            target = self._read_posix
            self._restore = self._one_key_at_a_time()
        self._thread = threading.Thread(target=target, name="keys", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join(2 * POLL_S)
        if self._restore is not None:
            self._restore()

    def _one_key_at_a_time(self) -> Callable[[], None]:
        """Sets the terminal to hand over each key unechoed; returns what undoes that."""
        termios: Any = importlib.import_module("termios")  # not there on Windows
        tty: Any = importlib.import_module("tty")
        number = sys.stdin.fileno()
        before = termios.tcgetattr(number)
        tty.setcbreak(number)

        def restore() -> None:
            with suppress(termios.error):  # the terminal was closed meanwhile
                termios.tcsetattr(number, termios.TCSADRAIN, before)

        return restore

    def _read_posix(self) -> None:
        select = importlib.import_module("select").select
        number = sys.stdin.fileno()
        while not self._ended.is_set():
            ready, _, _ = select([number], [], [], POLL_S)
            if not ready:
                continue
            try:
                typed = os.read(number, 64)
            except OSError:  # the terminal was closed
                return
            if not typed:
                return
            for key in split_keys(typed):
                self._press(key)

    def _read_windows(self) -> None:
        msvcrt: Any = importlib.import_module("msvcrt")
        while not self._ended.wait(POLL_S):
            while msvcrt.kbhit():
                key = msvcrt.getwch()
                if key in ("\x00", "\xe0"):  # arrows and function keys send a second code
                    msvcrt.getwch()
                else:
                    self._press("esc" if key == "\x1b" else key)


def split_keys(typed: bytes) -> list[str]:
    """The keys in a piece of terminal input; arrows and other escape sequences are no keys of ours."""
    if typed.startswith(b"\x1b"):
        return ["esc"] if len(typed) == 1 else []
    return [key for key in typed.decode("utf-8", "ignore") if key.isprintable()]
