# SPDX-License-Identifier: MIT
"""Values of a file as short text for error lines.

A file of a few hundred bytes may hold a list that is printed as gigabytes (`l = [l, l]`, again and again),
a tuple nested deeper than the stack, a name with line breaks or with commands to the terminal. No value of a
file is printed, sorted or formatted but through `shown`.
"""

from collections.abc import Iterable
from itertools import islice
from typing import Any

import numpy as np

from export.checkpoints.unpickle import Reader, Record

LIMIT = 60  # characters of one value
ITEMS = 4  # of a list, and names in one line
LINE = 1000  # characters of a whole error line
MAX_BITS = 256  # of an integer that is printed


def shown(value: Any, limit: int = LIMIT) -> str:
    """The value as at most `limit` printable ASCII characters, at a cost that its size does not change."""
    text = _text(value, limit, levels=2)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def shown_names(names: Iterable[Any]) -> str:
    """The first names, sorted by what is shown of them, and how many more there are."""
    texts = sorted(shown(name) for name in names)
    more = f" and {len(texts) - ITEMS} more" if len(texts) > ITEMS else ""
    return f"{', '.join(texts[:ITEMS])}{more}"


def one_line(text: str, limit: int = LINE) -> str:
    """A text that may quote a file, on one line and without what a terminal would obey."""
    text = " ".join(text[: 4 * limit].split())
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def _text(value: Any, limit: int, levels: int) -> str:
    if value is None or isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, int):
        return repr(value) if value.bit_length() <= MAX_BITS else f"a number of {value.bit_length()} bits"
    if isinstance(value, str | bytes):
        return ascii(value[:limit])
    if isinstance(value, Record | Reader):
        return one_line(value.name)
    if isinstance(value, np.ndarray):
        return f"{value.dtype} of shape {value.shape}"
    if not isinstance(value, list | tuple | set | dict):
        return type(value).__name__
    if not levels:
        return "..."
    brackets = {list: "[]", tuple: "()"}.get(type(value), "{}")
    items = [_text(item, limit, levels - 1) for item in islice(value, ITEMS)]
    if isinstance(value, dict):
        values = (_text(item, limit, levels - 1) for item in islice(value.values(), ITEMS))
        items = [f"{key}: {item}" for key, item in zip(items, values, strict=True)]
    items += ["..."] if len(value) > ITEMS else []
    return f"{brackets[0]}{', '.join(items)}{brackets[1]}"
