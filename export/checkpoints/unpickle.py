# SPDX-License-Identifier: MIT
"""Reads pickle streams as data, with a machine of its own that calls nothing a file names.

Python's unpickler looks up whatever a stream names and calls it. Here a name is only a key into a table of
our own readers, compared whole (module and name). Whatever else a file names becomes a `Record`: a name and
what was given to it, inert. The machine has no other way to act: no attribute is looked up, no `__setstate__`
runs. Work is bounded: steps are counted, calls are charged for the size of what they are given, only flat
keys are hashed, and nothing recurses, so depth costs heap, not stack.
"""

import pickletools
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from face.errors import BadCheckpoint

MAX_STEPS = 1_000_000  # a training file with optimiser state has about 1e5; this many take some two seconds
MAX_CHARGE_PER_BYTE = 4  # what calls may be given in all, by the file's size: each byte is read once
SMALL_CHARGE = 100_000  # is free
MAX_STRANGERS = 1000  # different names that are in no table
KEY_TYPES = (str, int, float, bool, bytes, type(None))
MAX_KEY = 8  # items of a tuple that is a key
MAX_NAME = 80  # characters kept of a module and of a name


@dataclass(slots=True, eq=False, repr=False)
class Record:
    """An instance of a class we do not have: its name, what it was constructed from, its state and its items.

    Names of what is in no table have a dot in them, those of our tables have none. As text it is its name:
    what it holds may hold itself, or the same a thousand times.
    """

    name: str
    args: tuple[Any, ...] = ()
    state: Any = None
    items: dict[Any, Any] | None = None

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Reader:
    """An allowed name, and what is called in its place; it may return something with a `take_state`."""

    name: str
    call: Callable[..., Any]


class Mark:
    """The bottom of a run of items."""


Table = Mapping[
    tuple[str, str], Any
]  # (module, name), both whole: a Reader, or a plain value that stands for it
MARK = Mark()


class Reading:
    """What reading one file of `size` bytes may still cost, in all its pickles, and what was met in it."""

    def __init__(self, size: int) -> None:
        self.steps = MAX_STEPS
        self.charge = SMALL_CHARGE + MAX_CHARGE_PER_BYTE * size
        self.strangers: dict[str, Reader] = {}  # names that are in no table, in the order they were met


def read_pickle(
    stream: BinaryIO, table: Table, reading: Reading, persistent: Callable[[Any], Any] | None = None
) -> Any:
    """The object of one pickle in a stream, which is left right behind it.

    persistent: gets what the stream calls persistent ids. BadCheckpoint says what was met.
    """
    machine = Machine(table, persistent, reading)
    try:
        while reading.steps > 0:
            reading.steps -= 1
            code = stream.read(1)
            if code == STOP:
                return machine.pop()
            if code not in READERS:
                name = NAMES.get(code, f"the unknown step {code!r}" if code else "no STOP at its end")
                raise BadCheckpoint(f"its pickle uses {name}, which no checkpoint does; nothing was run")
            step, read = READERS[code]
            step(machine, None if read is None else read(stream))
    except (
        ValueError,
        TypeError,
        IndexError,
        KeyError,
        AttributeError,
        OverflowError,
        struct.error,
    ) as error:
        reason = str(error).splitlines()[0][:80] if str(error) else type(error).__name__
        raise BadCheckpoint(f"its pickle is damaged ({reason}); download it again") from error
    raise BadCheckpoint(f"its pickle has more than {MAX_STEPS} steps, expected a few thousand")


class Machine:
    """The stack and the memo of one stream."""

    def __init__(self, table: Table, persistent: Callable[[Any], Any] | None, reading: Reading) -> None:
        self.table, self.persistent, self.reading = table, persistent, reading
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is MARK:
            raise ValueError("a mark where a value belongs")
        return value

    def pop_run(self) -> list[Any]:
        """Everything above the last mark, and the mark off."""
        run: list[Any] = []
        while (value := self.stack.pop()) is not MARK:
            run.append(value)
        run.reverse()
        return run

    def top(self) -> Any:
        value = self.stack[-1]
        if value is MARK:
            raise ValueError("a mark where a value belongs")
        return value

    def find(self, module: str, name: str) -> Any:
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("a name that is no text")
        if (module, name) in self.table:
            return self.table[module, name]
        strangers, whole = self.reading.strangers, f"{module[:MAX_NAME]}.{name[:MAX_NAME]}"
        if whole not in strangers and len(strangers) >= MAX_STRANGERS:
            raise BadCheckpoint(f"its pickle names more than {MAX_STRANGERS} things that no checkpoint needs")
        return strangers.setdefault(whole, instance(whole))

    def call(self, reader: Any, args: Any, keywords: Any = None) -> None:
        """Push what our reader makes of `args`; a call of anything else is a Record of it."""
        if not isinstance(args, tuple):
            raise ValueError("a call without its arguments")
        self.reading.charge -= sum(
            len(arg) for arg in args if isinstance(arg, str | bytes | list | tuple | dict | set)
        )
        if self.reading.charge < 0:
            raise BadCheckpoint("its pickle reads the same bytes again and again, which no checkpoint does")
        if isinstance(reader, Reader) and not keywords:
            self.push(reader.call(*args))
        else:
            name = reader.name if isinstance(reader, Reader | Record) else f"builtins.{type(reader).__name__}"
            self.push(Record(name, args, keywords))

    def persist(self, key: Any) -> None:
        if self.persistent is None:
            raise ValueError("a persistent id where none belongs")
        self.push(self.persistent(key))


def instance(name: str) -> Reader:
    """The reader of a class whose instances become Records."""
    return Reader(name, lambda *args: Record(name, args))


def flat_key(key: Any) -> Any:
    """The key when it hashes without recursion, else a Record in its place, equal to itself alone."""
    items = key if type(key) is tuple else (key,)
    if len(items) <= MAX_KEY and all(type(item) in KEY_TYPES for item in items):
        return key
    return key if isinstance(key, Record) else Record(f"builtins.{type(key).__name__}")


def _set_items(machine: Machine, pairs: list[Any]) -> None:
    target = machine.top()
    if isinstance(target, Record):  # a class that is a dictionary and more
        target.items = target.items or {}
        target = target.items
    if type(target) is not dict or len(pairs) % 2:
        raise ValueError("items set on something that is no dictionary")
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        target[flat_key(key)] = value


def _append(machine: Machine, items: list[Any]) -> None:
    target = machine.top()
    if isinstance(target, Record):  # a class that is a list and more holds nothing that is read
        return
    if type(target) is not list:
        raise ValueError("items appended to something that is no list")
    target.extend(items)


def _add(machine: Machine, items: list[Any]) -> None:
    target = machine.top()
    if type(target) is not set:
        raise ValueError("items added to something that is no set")
    target.update(flat_key(item) for item in items)


def _two(machine: Machine) -> list[Any]:
    second = machine.pop()
    return [machine.pop(), second]


def _build(machine: Machine, _: Any) -> None:
    state = machine.pop()
    target = machine.top()
    if isinstance(target, Record):
        target.state = state
    elif hasattr(type(target), "take_state"):
        target.take_state(state)
    elif isinstance(target, str | bytes | int | float | None):  # attributes of the others carry no weights
        raise ValueError(f"state set on a {type(target).__name__}")


def _reduce(machine: Machine, _: Any) -> None:
    reader, args = _two(machine)
    machine.call(reader, args)


def _new_with_keywords(machine: Machine, _: Any) -> None:
    keywords = machine.pop()
    reader, args = _two(machine)
    machine.call(reader, args, keywords)


def _stack_global(machine: Machine, _: Any) -> None:
    module, name = _two(machine)
    machine.push(machine.find(module, name))


def _read_two_lines(stream: BinaryIO) -> tuple[str, str]:
    module, name = stream.readline(), stream.readline()
    if not (module.endswith(b"\n") and name.endswith(b"\n")):
        raise ValueError("a name that ends early")
    return module[:-1].decode(), name[:-1].decode()


def _global(machine: Machine, argument: tuple[str, str]) -> None:
    machine.push(machine.find(*argument))


def _memoize(machine: Machine, _: Any) -> None:
    machine.memo[len(machine.memo)] = machine.top()


def _put(machine: Machine, index: int) -> None:
    machine.memo[index] = machine.top()


def _get(machine: Machine, index: int) -> None:
    if index not in machine.memo:
        raise ValueError("a memo that was not set")
    machine.push(machine.memo[index])


def _push(machine: Machine, argument: Any) -> None:
    machine.push(argument)


def _pop(machine: Machine, _: Any) -> None:
    machine.stack.pop()


def _pop_mark(machine: Machine, _: Any) -> None:
    machine.pop_run()


def _tuple(size: int) -> Callable[[Machine, Any], None]:
    def step(machine: Machine, _: Any) -> None:
        items = [machine.pop() for _ in range(size)]
        machine.push(tuple(reversed(items)))

    return step


def _dict_of(pairs: list[Any]) -> dict[Any, Any]:
    if len(pairs) % 2:
        raise ValueError("a dictionary with half an item")
    return {flat_key(key): value for key, value in zip(pairs[::2], pairs[1::2], strict=True)}


STEPS: dict[str, Callable[[Machine, Any], None]] = {
    **dict.fromkeys(("PROTO", "FRAME"), lambda machine, argument: None),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"), _push),
    **dict.fromkeys(("BINSTRING", "SHORT_BINSTRING"), _push),
    **dict.fromkeys(("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"), _push),
    **dict.fromkeys(("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"), _push),
    "BYTEARRAY8": lambda machine, argument: machine.push(bytes(argument)),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_SET": lambda machine, _: machine.push(set()),
    "MARK": lambda machine, _: machine.push(MARK),
    "POP": _pop,
    "POP_MARK": _pop_mark,
    "DUP": lambda machine, _: machine.push(machine.top()),
    "LIST": lambda machine, _: machine.push(machine.pop_run()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_run())),
    "TUPLE1": _tuple(1),
    "TUPLE2": _tuple(2),
    "TUPLE3": _tuple(3),
    "DICT": lambda machine, _: machine.push(_dict_of(machine.pop_run())),
    "FROZENSET": lambda machine, _: machine.push({flat_key(item) for item in machine.pop_run()}),
    "APPEND": lambda machine, _: _append(machine, [machine.pop()]),
    "APPENDS": lambda machine, _: _append(machine, machine.pop_run()),
    "SETITEM": lambda machine, _: _set_items(machine, _two(machine)),
    "SETITEMS": lambda machine, _: _set_items(machine, machine.pop_run()),
    "ADDITEMS": lambda machine, _: _add(machine, machine.pop_run()),
    "MEMOIZE": _memoize,
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), _put),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), _get),
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _reduce,
    "NEWOBJ": _reduce,
    "NEWOBJ_EX": _new_with_keywords,
    "BUILD": _build,
    "BINPERSID": lambda machine, _: machine.persist(machine.pop()),
}


# By the byte in the stream: what a step does, and what reads its argument. Text steps of protocols 0 and 1
# are left out, as pickletools interprets escapes in them, but for GLOBAL, whose lines are read here.
STOP = b"."
NAMES = {info.code.encode("latin1"): info.name for info in pickletools.opcodes}
READERS: dict[bytes, tuple[Callable[[Machine, Any], None], Callable[[BinaryIO], Any] | None]] = {
    info.code.encode("latin1"): (STEPS[info.name], info.arg.reader if info.arg else None)
    for info in pickletools.opcodes
    if info.name in STEPS
}
READERS[b"c"] = (_global, _read_two_lines)
