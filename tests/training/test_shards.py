# SPDX-License-Identifier: MIT
"""Shards come back as they were, one after the other, and are whole or not there."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from training.shards import joined, load_shards, save_shard, written_whole


@dataclass(frozen=True, slots=True)
class Rows:
    number: NDArray[np.float32]
    name: NDArray[np.str_]


FIRST = Rows(np.array([1, 2], np.float32), np.array(["a", "bc"]))
SECOND = Rows(np.array([3], np.float32), np.array(["d"]))


def test_shards_are_joined_in_the_order_they_are_named(tmp_path: Path) -> None:
    paths = [tmp_path / "rows-1.npz", tmp_path / "rows-0.npz"]
    save_shard(FIRST, paths[0])
    save_shard(SECOND, paths[1])
    assert sorted(tmp_path.iterdir()) == sorted(paths), "nothing unfinished is left"
    for found in (load_shards(Rows, paths), joined([FIRST, SECOND])):
        assert found.number.tolist() == [1, 2, 3] and found.name.tolist() == ["a", "bc", "d"]
        assert found.number.dtype == np.float32


def test_what_is_interrupted_while_it_is_written_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "rows-0.npz"
    save_shard(FIRST, path)
    with pytest.raises(KeyboardInterrupt), written_whole(path) as unfinished:
        unfinished.write_bytes(b"half")
        raise KeyboardInterrupt
    assert load_shards(Rows, [path]).number.tolist() == [1, 2]
    assert list(tmp_path.glob("rows-*.npz")) == [path], "half a shard is not taken for one"
