# SPDX-License-Identifier: MIT
"""--help: every flag of a command with its default, as plain text as wide as the terminal; breaks no word."""

import inspect
import shutil
import textwrap
from collections.abc import Mapping, Sequence

from realtime.commands.parsing import Command, Flag, help_of, limits, shown
from realtime.options import REQUIRED

LONGEST = 100  # characters of a line: longer ones are hard to read
ENDING = "Flags may stand in a file: facepuppet config. What is wrong here: facepuppet doctor."


def _width() -> int:
    return max(40, min(shutil.get_terminal_size().columns - 1, LONGEST))


def _wrapped(text: str, indent: int) -> list[str]:
    """Lines of a paragraph that break at spaces only."""
    space = " " * indent
    return textwrap.wrap(
        text, _width(), initial_indent=space, subsequent_indent=space,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def _rows(rows: Sequence[tuple[str, str]], column: int) -> list[str]:
    """Terms and what they mean, side by side where the term is short enough."""
    lines: list[str] = []
    for term, text in rows:
        told = _wrapped(text, column)
        if len(term) + 4 <= column and told:
            told[0] = f"  {term}".ljust(column) + told[0].lstrip()
        else:
            told.insert(0, f"  {term}")
        lines += told
    return lines


def _paragraphs(text: str) -> list[str]:
    return [
        line
        for part in filter(None, text.split("\n\n"))
        for line in ("", *_wrapped(" ".join(part.split()), 2))
    ]


def summaries(commands: Mapping[str, Command]) -> dict[str, str]:
    """The first sentence of each command's help."""
    return {
        name: " ".join((inspect.getdoc(command.perform) or "").split("\n\n")[0].split())
        for name, command in commands.items()
    }


def overview(rows: Mapping[str, str], program: str, *, title: str = "", example: str = "") -> str:
    """A program's commands in one line each."""
    column = max(map(len, rows)) + 4
    lines = [f"Usage: {program} COMMAND [OPTIONS] [ARGUMENTS]", *_paragraphs(title)]
    lines += ["", "Commands:", *_rows(list(rows.items()), column)]
    lines += _paragraphs(f"{program} COMMAND --help explains a command. {ENDING}")
    return "\n".join([*lines, *_paragraphs(f"Example: {example}" * bool(example))]) + "\n"


def _term(flag: Flag) -> str:
    option = flag.option
    if option.place:
        return option.metavar
    if flag.off:
        return f"--{flag.key}, --{flag.off}"
    short = f"-{option.short}, " if option.short else ""
    return f"{short}--{flag.key} {option.metavar}"


def _meaning(flag: Flag) -> str:
    option = flag.option
    notes = [f"one of {', '.join(option.allowed)}"] if option.choices else []
    notes += [limits(option)] if limits(option) else []
    if flag.default is REQUIRED:
        notes.append("required")
    elif flag.default is not None and flag.default != () and flag.default is not False:
        notes.append(f"default: {'on' if flag.default is True else shown(flag.default)}")
    return " ".join([help_of(option), f"[{'; '.join(notes)}]"] if notes else [help_of(option)])


def explained(name: str, command: Command) -> str:
    """Everything about one command."""
    flags = command.flags
    places = [
        (f"[{f.option.metavar}]" if f.default is not REQUIRED else f.option.metavar) + "..." * f.option.many
        for f in flags
        if f.option.place
    ]
    lines = [" ".join(["Usage: facepuppet", name, "[OPTIONS]", *places])]
    lines += _paragraphs(inspect.getdoc(command.perform) or "")
    if command.more is not None:
        lines += _paragraphs(command.more())
    groups: dict[str, list[Flag]] = {}
    for flag in flags:
        groups.setdefault("Arguments" if flag.option.place else flag.group or "Options", []).append(flag)
    for group, members in groups.items():
        lines += ["", f"{group}:", *_rows([(_term(flag), _meaning(flag)) for flag in members], 26)]
    return "\n".join([*lines, *_paragraphs(f"Example: {command.example}")]) + "\n"
