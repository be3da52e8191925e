# SPDX-License-Identifier: MIT
"""The TOML file that mirrors every flag: read, checked, written as a sample. Knows no flag by name.

Flags are read off the commands' own signatures: a flag that is added to a command is a key of the file too.
Keys before the first table are for every command that has such a flag, a table for the command of its name.
"""

import difflib
import inspect
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from typer.models import OptionInfo

from engines.folders import config_folder
from face.errors import WrongUse

NOT_IN_FILE = frozenset({"config", "json_line"})  # where the file lies, and what one call prints

Value = str | int | float | bool | list[str]
Table = dict[str, Value]


@dataclass(frozen=True, slots=True)
class Flag:
    """One option of one command."""

    key: str  # in the file: the long option without dashes at its front
    parameter: str  # of the command's function
    kind: type  # bool, int, float, str, or list for a list of str
    choices: tuple[str, ...]  # empty: any
    default: Value | None  # None: the flag has none
    help: str
    group: str


def flags_of(command: Callable[..., Any]) -> tuple[Flag, ...]:
    """The options of a typer command, in its order."""
    flags = []
    for name, parameter in inspect.signature(command, eval_str=True).parameters.items():
        if get_origin(parameter.annotation) is not Annotated or name in NOT_IN_FILE:
            continue
        annotation, *notes = get_args(parameter.annotation)
        option = next((note for note in notes if isinstance(note, OptionInfo)), None)
        if option is None:
            continue
        kind, choices = _kind(annotation)
        spelled = (option.default, *(option.param_decls or ()))  # the first stands as default
        long = next((str(each) for each in spelled if str(each).startswith("--")), f"--{name}")
        key = long.split("/")[0].removeprefix("--").replace("_", "-")
        default = None if parameter.default is parameter.empty else _plain(parameter.default)
        flags.append(Flag(key, name, kind, choices, default, option.help or "", option.rich_help_panel or ""))
    return tuple(flags)


def _kind(annotation: Any) -> tuple[type, tuple[str, ...]]:
    """The TOML type of an annotation, and what it may be."""
    if get_origin(annotation) in (Union, UnionType):
        annotation = next(each for each in get_args(annotation) if each is not type(None))
    if get_origin(annotation) is Literal:
        return str, tuple(get_args(annotation))
    if get_origin(annotation) is list:
        inner = get_args(annotation)[0]
        return list, tuple(get_args(inner)) if get_origin(inner) is Literal else ()
    if annotation in (bool, int, float):
        return annotation, ()
    return str, ()


def _plain(default: object) -> Value | None:
    if isinstance(default, Path):
        return str(default)
    if isinstance(default, list | tuple):
        return [str(each) for each in default]
    return default if isinstance(default, str | int | float | bool) else None


def default_path() -> Path:
    """Where the file is looked for when no flag names one."""
    return config_folder() / "config.toml"


def read_config(path: Path, commands: Mapping[str, Iterable[Flag]]) -> dict[str, dict[str, Value]]:
    """Per command, its values by parameter name; WrongUse names key, file and the nearest key."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise WrongUse(f"{path} cannot be read ({error}), expected a TOML file; check --config") from error
    except tomllib.TOMLDecodeError as error:
        raise WrongUse(f"{path} is no TOML: {error}; mend that line, or see: facepuppet config") from error
    tables = {name: {flag.key: flag for flag in flags} for name, flags in commands.items()}
    values: dict[str, dict[str, Value]] = {name: {} for name in tables}
    for key, found in content.items():
        if not isinstance(found, dict):
            owners = [name for name, flags in tables.items() if key in flags]
            if not owners:
                raise _stranger(path, key, {*tables, *(known for each in tables.values() for known in each)})
            for name in owners:
                flag = tables[name][key]
                values[name].setdefault(flag.parameter, _checked(path, key, found, flag))
    for name, table in content.items():
        if not isinstance(table, dict):
            continue
        if name not in tables:
            raise _stranger(path, name, tables)
        for key, found in table.items():
            if key not in tables[name]:
                raise _stranger(path, f"{name}.{key}", {f"{name}.{each}" for each in tables[name]})
            flag = tables[name][key]
            values[name][flag.parameter] = _checked(path, f"{name}.{key}", found, flag)
    return values


def _stranger(path: Path, key: str, known: Iterable[str]) -> WrongUse:
    near = difflib.get_close_matches(key, sorted(known), n=1, cutoff=0.0)
    return WrongUse(f"{path}: unknown key {key!r}, did you mean {near[0]!r}? all keys: facepuppet config")


def _checked(path: Path, key: str, found: object, flag: Flag) -> Value:
    """The value if it has the flag's type and is one of its choices."""
    fits: Value | None = None
    if flag.kind is float:
        fits = float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None
    elif flag.kind is int:
        fits = found if isinstance(found, int) and not isinstance(found, bool) else None
    elif flag.kind is list:
        items = found if isinstance(found, list) else [found]
        fits = [str(item) for item in items] if all(isinstance(item, str) for item in items) else None
    elif flag.kind is bool:
        fits = found if isinstance(found, bool) else None
    else:
        fits = found if isinstance(found, str) else None
    names = {bool: "true or false", int: "a whole number", float: "a number", list: "a list of texts"}
    if fits is None:
        raise WrongUse(
            f"{path}: {key} is {found!r}, expected {names.get(flag.kind, 'a text in quotes')}; mend it"
        )
    for item in fits if isinstance(fits, list) else [fits]:
        if flag.choices and item not in flag.choices:
            raise WrongUse(f"{path}: {key} is {item!r}, expected one of {', '.join(flag.choices)}")
    return fits


def sample_config(commands: Mapping[str, Iterable[Flag]]) -> str:
    """A file with every flag of every command at its default; one without a default stands as a comment."""
    lines = [
        "# facepuppet's settings. Flags on the command line beat this file.",
        f"# It is read from {default_path().name} in the user's configuration folder, or from --config FILE.",
    ]
    for name, flags in commands.items():
        lines += ["", f"[{name}]"]
        group = ""
        for flag in flags:
            if flag.group and flag.group != group:
                group = flag.group
                lines += [f"# {group}"]
            note = " ".join(flag.help.split())
            if flag.default is None:
                lines.append(f"# {flag.key} = {_toml(_example(flag))}  # {note}")
            else:
                lines.append(f"{flag.key} = {_toml(flag.default)}  # {note}")
    return "\n".join(lines) + "\n"


def _example(flag: Flag) -> Value:
    examples: dict[type, Value] = {bool: False, int: 0, float: 0.0, list: []}
    return flag.choices[0] if flag.choices else examples.get(flag.kind, "")


def _toml(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(each) for each in value) + "]"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return repr(value)
