# SPDX-License-Identifier: MIT
"""Files that are whole or not there; records of arrays kept in them, shard by shard."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Record = TypeVar("Record", bound="DataclassInstance")  # each field an array of N rows


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; renamed to it when the block ends without an error."""
    unfinished = path.with_name(f"{path.name}.part")
    yield unfinished
    unfinished.replace(path)


def save_shard(record: "DataclassInstance", path: Path) -> None:
    with written_whole(path) as unfinished, unfinished.open("wb") as file:
        np.savez(file, **{field.name: getattr(record, field.name) for field in fields(record)})


def load_shards(kind: type[Record], paths: Sequence[Path]) -> Record:
    """What `save_shard` wrote, one shard after the other."""
    names = [field.name for field in fields(kind)]
    shards = []
    for path in paths:
        with np.load(path) as shard:
            shards.append(kind(**{name: shard[name] for name in names}))
    return joined(shards)


def joined(records: Sequence[Record]) -> Record:
    """At least one record, their rows one after the other."""
    kind = type(records[0])
    return kind(
        **{field.name: np.concatenate([getattr(r, field.name) for r in records]) for field in fields(kind)}
    )
