# SPDX-License-Identifier: MIT
"""A command line and a settings file, read into a command's record of options. Knows no flag by name.

Keys before the file's first table are for every command of the kind that plays; a table is for the command of
its name. Flags beat the file, the file beats the defaults.
"""

import difflib
import getopt
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from face.errors import WrongUse
from realtime.options import REQUIRED, SWITCH, Option

Values = dict[str, Any]  # by a flag's key


@dataclass(frozen=True)
class Flag:
    """One option of one command."""

    key: str  # on the command line without dashes, and in the file
    path: tuple[str, ...]  # fields that lead to it from the command's record
    default: Any
    group: str
    option: Option

    @property
    def off(self) -> str:
        """What switches it off; "" for what is no switch."""
        return (self.option.off or f"no-{self.key}") if self.option.kind is SWITCH else ""


@dataclass(frozen=True)
class Command:
    """A command: what it does, its options at their defaults, and what help shows of it."""

    perform: Callable[[Any], int]
    options: Any  # a record of flags and of such records
    example: str
    plays: bool = False  # keys before the settings file's first table are for it too
    more: Callable[[], str] | None = None  # a paragraph of help
    gone: Mapping[str, str] = field(default_factory=dict)  # flags it once had: what to write instead

    @cached_property
    def flags(self) -> tuple[Flag, ...]:
        return tuple(_flags(self.options))

    @property
    def settings(self) -> dict[str, Flag]:
        """What the settings file may say to it."""
        return {flag.key: flag for flag in self.flags if flag.option.in_file}


def _flags(record: Any, path: tuple[str, ...] = (), group: str = "") -> Iterable[Flag]:
    for each in fields(record):
        value, here = getattr(record, each.name), (*path, each.name)
        if is_dataclass(value):
            yield from _flags(value, here, each.name.replace("_", " ").capitalize())
        else:
            option: Option = each.metadata["option"]
            key = option.name or each.name.replace("_", "-")
            yield Flag(key, here, value, option.group or group, option)


def parse(
    name: str, commands: Mapping[str, Command], arguments: Sequence[str], default_file: Callable[[], Path]
) -> Any:
    """The options of command `name`; WrongUse for what cannot be meant."""
    command, see = commands[name], f"see: facepuppet {name} --help"
    given = _given(command, arguments, see)
    file = given.get("config") or default_file()
    in_file = read_config(file, commands)[name] if "config" in given or file.exists() else {}
    values = in_file | given
    missing = [flag for flag in command.flags if flag.default is REQUIRED and flag.key not in values]
    if missing:
        names = ", ".join(f.option.metavar if f.option.place else f"--{f.key}" for f in missing)
        raise WrongUse(f"{name} was given no {names}; {see}")
    return _filled(command.options, {f.path: values[f.key] for f in command.flags if f.key in values})


def _filled(record: Any, values: Mapping[tuple[str, ...], Any]) -> Any:
    changed = {}
    for name in {path[0] for path in values}:
        inner = {path[1:]: value for path, value in values.items() if path[0] == name}
        changed[name] = inner[()] if () in inner else _filled(getattr(record, name), inner)
    return replace(record, **changed)


def _given(command: Command, arguments: Sequence[str], see: str) -> Values:
    """What the command line says, checked, by key."""
    named = {flag.key: flag for flag in command.flags if not flag.option.place}
    offs = {flag.off: flag for flag in named.values() if flag.off}
    shorts = {flag.option.short: flag for flag in named.values() if flag.option.short}
    switches = {key for key, flag in named.items() if flag.off}
    try:
        pairs, places = getopt.gnu_getopt(
            list(arguments),
            "".join(f"{short}:" for short in shorts),
            [*(key if key in switches else f"{key}=" for key in named), *offs],
        )
    except getopt.GetoptError as error:
        if error.opt in command.gone:
            raise WrongUse(f"--{error.opt} is gone; {command.gone[error.opt]}") from error
        spelled = f"--{error.opt}" if any(word.startswith(f"--{error.opt}") for word in arguments) else ""
        raise _wrong_flag(spelled or f"-{error.opt}", [*named, *offs], {*switches, *offs}, see) from error
    values: Values = {}
    for spelled, text in pairs:
        key = spelled.lstrip("-")
        if key in offs:
            values[offs[key].key] = False
            continue
        flag = named[key] if spelled.startswith("--") else shorts[key]
        value = True if flag.off else _checked(text, flag.option, spelled, see)
        values[flag.key] = (*values.get(flag.key, ()), value) if flag.option.many else value
    return values | _placed([flag for flag in command.flags if flag.option.place], places, see)


def _placed(flags: Sequence[Flag], places: Sequence[str], see: str) -> Values:
    values: Values = {}
    left = list(places)
    for flag in flags:
        if left and flag.option.many:
            values[flag.key] = tuple(_checked(text, flag.option, flag.option.metavar, see) for text in left)
            left = []
        elif left:
            values[flag.key] = _checked(left.pop(0), flag.option, flag.option.metavar, see)
    if left:
        expected = " ".join(flag.option.metavar for flag in flags) or "no argument"
        raise WrongUse(f"argument {left[0]!r} is one too many, expected {expected}; {see}")
    return values


def _wrong_flag(spelled: str, known: Sequence[str], switches: Iterable[str], see: str) -> WrongUse:
    """What is wrong with a flag that getopt refused: it has no such name, or wants a value, or takes none."""
    name = spelled.lstrip("-")
    begun = [key for key in known if key.startswith(name)] if spelled.startswith("--") else []
    if name in switches:
        return WrongUse(f"{spelled} takes no value; leave it out, or {see}")
    if len(begun) > 1 and name not in known:
        return WrongUse(f"{spelled} may be {', '.join(f'--{key}' for key in begun)}; write it in full")
    if begun:
        return WrongUse(f"{spelled} was given no value; write one behind it, or {see}")
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return WrongUse(f"there is no flag {spelled};{f' did you mean --{near[0]}?' if near else ''} {see}")


def _checked(found: Any, option: Option, where: str, cure: str) -> Any:
    """The value of a text or of the settings file's value; WrongUse names what was expected."""
    kind = option.kind
    expected = f"one of {', '.join(option.allowed)}" if option.choices else kind.expected
    if option.low > float("-inf"):
        expected += f" {limits(option)}"
    try:
        value = kind.read(found)
    except (ValueError, OverflowError) as error:
        raise WrongUse(f"{where} is {found!r}, expected {expected}; {cure}") from error
    in_range = not isinstance(value, int | float) or (
        option.low <= value <= option.high and abs(value) < float("inf")
    )
    if not in_range or (option.choices and value not in option.allowed):
        raise WrongUse(f"{where} is {found!r}, expected {expected}; {cure}")
    return value


def limits(option: Option) -> str:
    """The range of a number in words, "" for none."""
    if option.low == float("-inf"):
        return ""
    return f"from {option.low:g} to {option.high:g}" if option.high < float("inf") else f"from {option.low:g}"


# The settings file


def read_config(path: Path, commands: Mapping[str, Command]) -> dict[str, Values]:
    """Per command, its values by key; WrongUse names file, key and the nearest key."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise WrongUse(f"{path} cannot be read ({why}), expected a TOML file; check --config") from error
    except tomllib.TOMLDecodeError as error:
        raise WrongUse(f"{path} is no TOML: {error}; mend that line, or see: facepuppet config") from error
    values: dict[str, Values] = {name: {} for name in commands}
    playing = {name: command.settings for name, command in commands.items() if command.plays}
    tables = {tuple(name.split()): name for name in commands}
    for key, found in content.items():
        if not isinstance(found, dict):
            owners = [name for name, flags in playing.items() if key in flags]
            if not owners:
                known = {key for flags in playing.values() for key in flags}
                raise _stranger(path, key, known | {way[0] for way in tables})
            for name in owners:
                values[name][key] = _from_file(path, key, found, playing[name][key].option)
    for way, name, table in _tables(path, content, tables):
        for key, found in table.items():
            flags = commands[name].settings
            if key not in flags:
                raise _stranger(path, f"{way}.{key}", {f"{way}.{each}" for each in flags})
            values[name][key] = _from_file(path, f"{way}.{key}", found, flags[key].option)
    return values


def _tables(
    path: Path, content: Mapping[str, Any], known: Mapping[tuple[str, ...], str], before: tuple[str, ...] = ()
) -> Iterable[tuple[str, str, Mapping[str, Any]]]:
    """The file's tables: address, command, content; [models.make] is the command `models make`."""
    for word, table in content.items():
        way = (*before, word)
        if way in known and isinstance(table, dict):
            yield ".".join(way), known[way], table
        elif isinstance(table, dict) and any(each[: len(way)] == way for each in known):
            yield from _tables(path, table, known, way)
        elif isinstance(table, dict) or before:
            raise _stranger(path, ".".join(way), [".".join(each) for each in known])


def _from_file(path: Path, key: str, found: Any, option: Option) -> Any:
    where, cure = f"{path}: {key}", "mend it"
    items = found if option.many and isinstance(found, list) else [found]
    if any(type(item) not in option.kind.in_file for item in items):
        expected = "a list of texts" if option.many else option.kind.expected
        raise WrongUse(f"{where} is {found!r}, expected {expected}; {cure}")
    checked = tuple(_checked(item, option, where, cure) for item in items)
    return checked if option.many else checked[0]


def _stranger(path: Path, key: str, known: Iterable[str]) -> WrongUse:
    near = difflib.get_close_matches(key, sorted(known), n=1, cutoff=0.0)
    return WrongUse(f"{path}: unknown key {key!r}, did you mean {near[0]!r}? all keys: facepuppet config")


def sample_config(commands: Mapping[str, Command]) -> str:
    """A file with every flag of every command at its default; one without a default stands as a comment."""
    lines = [
        "# facepuppet's settings. Flags on the command line beat this file.",
        "# It is read from config.toml in the user's configuration folder, or from --config FILE.",
    ]
    for name, command in commands.items():
        group = ""
        lines += ["", f"[{'.'.join(name.split())}]"]
        for flag in command.settings.values():
            if flag.group not in ("", group):
                group = flag.group
                lines.append(f"# {group}")
            unset = flag.default is REQUIRED or flag.default is None
            value = toml(example(flag.option) if unset else flag.default)
            lines.append(f"{'# ' if unset else ''}{flag.key} = {value}  # {help_of(flag.option)}")
    return "\n".join(lines) + "\n"


def example(option: Option) -> Any:
    """A value that a flag without a default may have."""
    value = option.allowed[0] if option.choices else option.kind.example
    return (value,) if option.many else max(value, option.low) if value == 0 else value


def help_of(option: Option) -> str:
    return " ".join((option.help() if callable(option.help) else option.help).split())


def shown(value: Any) -> str:
    """A default as people write it."""
    if isinstance(value, tuple):
        return "x".join(map(str, value)) if isinstance(value[0], int) else " ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple) and not (value and isinstance(value[0], int)):
        return "[" + ", ".join(toml(each) for each in value) + "]"
    if isinstance(value, int | float):
        return repr(value)
    escaped = shown(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
