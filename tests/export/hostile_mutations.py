# SPDX-License-Identifier: MIT
"""Files changed at random: bytes, and values for ones that grow."""

import io
import pickletools
import random
import zipfile
from functools import cache

from hostile_files import zipfile_of
from hostile_shapes import LEVEL, LEVELS, doubled

VALUES = {
    "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "NONE", "NEWTRUE",
    "NEWFALSE", "EMPTY_LIST", "EMPTY_TUPLE", "EMPTY_DICT", "BINGET", "LONG_BINGET", "SHORT_BINBYTES",
}  # fmt: skip
EXPLODED = 1 << 20  # bytes of a pickle that is worth a look at its steps
GROWN = 0.25  # share of inputs with a value that grows


def mutated(data: bytes, rng: random.Random) -> bytes:
    """A few bytes changed or one value grown; of a zip mostly in its pickle, with the zip made good again."""
    change = swapped if rng.random() < GROWN else _changed
    if not data.startswith(b"PK\x03\x04") or (change is _changed and rng.random() < 0.5):
        return change(data, rng)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = {info.filename: archive.read(info) for info in archive.infolist()}
    except (zipfile.BadZipFile, OSError, EOFError):
        return _changed(data, rng)
    pickled = [name for name in entries if name.endswith("data.pkl")]
    return zipfile_of({**entries, **{name: change(entries[name], rng) for name in pickled}})


def _changed(data: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, taken out, doubled or put in; mostly where the structure is, at both ends."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        near = rng.choice((len(out), 3000))
        at = rng.randrange(min(near, len(out)))
        if rng.random() < 0.4:
            at = len(out) - 1 - at
        kind = rng.randrange(4)
        if kind == 0:
            out[at] = rng.randrange(256)
        elif kind == 1:
            del out[at : at + rng.randint(1, 8)]
        elif kind == 2:
            out[at:at] = out[at : at + rng.randint(1, 40)]
        else:
            out[at:at] = rng.choice(
                (b"(", b"R", b"\x93", b"b", b"0", b"h\x01", b"\x85", b"c", b"s", b"}", b"Q", b".")
            )
        if not out:
            return b"\x80"
    return bytes(out)


def swapped(pickled: bytes, rng: random.Random) -> bytes:
    """The pickle with one of its values changed for one that grows; bytes changed where it has none."""
    found = _values(pickled) if len(pickled) < EXPLODED else ()
    if not found:
        return _changed(pickled, rng)
    start, end = rng.choice(found)
    return pickled[:start] + doubled(rng.choice([*LEVEL]), rng.randint(10, LEVELS)) + pickled[end:]


@cache
def _values(pickled: bytes) -> tuple[tuple[int, int], ...]:
    """Where steps that push a value begin and end, in this pickle and those behind it."""
    found, stream, end = [], io.BytesIO(pickled), 0
    try:
        while end < len(pickled) and pickled[end : end + 1] == b"\x80":
            ops = [(info.name, at) for info, _, at in pickletools.genops(stream)]
            end = stream.tell()
            starts = [at for _, at in ops] + [end]
            found += [(at, starts[i + 1]) for i, (name, at) in enumerate(ops) if name in VALUES]
    except ValueError:  # the storages of an old torch file, or a broken file
        pass
    return tuple(found)
