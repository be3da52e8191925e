# SPDX-License-Identifier: MIT
"""Hot keys: every one does what the help says, from the window and from a terminal."""

import os
import sys
import threading
import time

import pytest
from cli_stage import COLOURS, Stage
from waiting import HANG_S

from realtime.control import COMMANDS, KEYS, keys_explained, press
from realtime.live.terminal import POLL_S, TerminalKeys, split_keys

# What users of avatarify have in their fingers (its README), as far as it has a meaning here.
AVATARIFY = "1234567890adxfwsuhjkUHJKZrtliob"


def test_the_letters_are_avatarifys() -> None:
    assert set(AVATARIFY) - set(KEYS) == set()


def test_no_key_stands_twice_and_each_has_a_help() -> None:
    names = [key.key for command in COMMANDS.values() for key in command.keys]
    assert len(names) == len(set(names)) == len(KEYS)
    assert all(command.keys[0].help for command in COMMANDS.values() if command.keys)


@pytest.mark.parametrize("key", [key for key in KEYS if key != "esc"])
def test_every_key_acts_on_a_running_session(key: str) -> None:
    with Stage() as stage:
        stage.session.zoom_in()
        before = stage.session.state()
        assert press(stage.session, key)
        after = stage.session.state()
        assert stage.running
    told = after.message_number > before.message_number
    asked = bool(after.enrolling) or after.portrait != before.portrait or key == "1"
    assert told or asked, f"key {key} did nothing one could notice"


def test_escape_quits() -> None:
    with Stage() as stage:
        assert press(stage.session, "esc")
        stage.wait(lambda: not stage.running)


def test_a_key_without_a_command_is_left_alone() -> None:
    with Stage() as stage:
        before = stage.session.state().message_number
        assert not press(stage.session, "q")
        assert stage.session.state().message_number == before


def test_a_letter_means_the_same_with_caps_lock_unless_it_has_another_meaning() -> None:
    with Stage() as stage:
        press(stage.session, "D")
        stage.wait_grey(COLOURS["two"])
        press(stage.session, "w")
        press(stage.session, "Z")
        assert stage.session.state().zoom == 1.0


def test_a_portrait_key_beyond_the_list_says_so() -> None:
    with Stage() as stage:
        press(stage.session, "9")
        assert "there are 3" in stage.session.state().message


def test_the_help_of_run_names_every_key() -> None:
    told = keys_explained()
    for named in ("1-9", "Shift-Z", "U H J K", "+", "-", "[", "]", "Esc"):
        assert f" {named} " in told
    for letter in {key.upper() for key in KEYS if key.isalpha() and len(key) == 1}:
        assert f" {letter} " in told.replace("-", " "), f"{letter} is not in the help"


@pytest.mark.parametrize(
    ("typed", "keys"),
    [
        (b"a", ["a"]),
        (b"1d", ["1", "d"]),
        (b"\x1b", ["esc"]),
        (b"\x1b[A", []),
        (b"\x1bOP", []),
        (b"\n\t", []),
        (b"\xff", []),
    ],
)
def test_arrows_and_function_keys_are_no_escape(typed: bytes, keys: list[str]) -> None:
    assert split_keys(typed) == keys


@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo-terminal is a POSIX thing")
def test_a_terminal_hands_over_single_keys_and_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    import pty
    import termios

    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "r") as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        before = termios.tcgetattr(terminal)
        pressed: list[str] = []
        arrived = threading.Event()

        def hear(key: str) -> None:
            pressed.append(key)
            arrived.set()

        with TerminalKeys(hear):
            os.write(ours, b"x")
            assert arrived.wait(HANG_S)
        assert pressed == ["x"]
        assert termios.tcgetattr(terminal) == before
    os.close(ours)


@pytest.mark.skipif(os.name != "posix", reason="terminals of this kind are POSIX's")
@pytest.mark.parametrize("error", [None, OSError(5, "Input/output error")], ids=["end of file", "error"])
def test_a_terminal_that_is_closed_ends_the_keys_without_an_error(
    error: OSError | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pty

    def gone(number: int, count: int) -> bytes:
        assert error is not None
        raise error

    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "r") as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        with TerminalKeys(print):
            if error is None:
                os.close(ours)
            else:
                monkeypatch.setattr(os, "read", gone)
                os.write(ours, b"x")
            time.sleep(2 * POLL_S)
            assert "keys" not in [thread.name for thread in threading.enumerate()]
    if error is not None:
        os.close(ours)


def test_without_a_terminal_no_key_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull) as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        threads = threading.active_count()
        with TerminalKeys(print):
            time.sleep(0.01)
            assert threading.active_count() == threads
