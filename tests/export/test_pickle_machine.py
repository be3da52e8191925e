# SPDX-License-Identifier: MIT
"""The pickle machine hashes short flat keys only, reads no text steps, and knows names whole."""

import io
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")

from export.checkpoints.tensors import TENSOR_NAMES
from export.checkpoints.unpickle import MAX_KEY, Reading, Record, read_pickle
from face.errors import BadCheckpoint


def read(data: bytes) -> Any:
    return read_pickle(io.BytesIO(data), TENSOR_NAMES, Reading(len(data)))


@pytest.mark.parametrize("step", [b"s", b"u"])
def test_a_key_of_many_items_is_not_hashed(step: bytes) -> None:
    """Hashing it costs its length, each time that two bytes of the stream use it."""
    for count in (MAX_KEY, MAX_KEY + 1):
        key = b"(" + b"K\x01" * count + b"t"
        (found,) = read(b"\x80\x04}" + (b"(" if step == b"u" else b"") + key + b"N" + step + b".")
        assert found == (1,) * count if count <= MAX_KEY else isinstance(found, Record)
        (found,) = read(b"\x80\x04\x8f(" + key + b"\x90.")
        assert found == (1,) * count if count <= MAX_KEY else isinstance(found, Record)


@pytest.mark.parametrize("key", [b")\x85", b")\x85\x85", b"ca\nb\n)R", b"ca\nb\n", b"N)\x86"])
def test_a_key_that_is_not_flat_is_equal_to_itself_alone(key: bytes) -> None:
    found = read(b"\x80\x04}(" + key + b"K\x01" + key + b"K\x02u.")
    assert all(isinstance(name, Record) for name in found)
    assert list(found.values()) == [1, 2]


@pytest.mark.parametrize(
    ("step", "name"),
    [
        (b"I1\n", "INT"),
        (b"L1L\n", "LONG"),
        (b"F1.0\n", "FLOAT"),
        (b"S'\\d'\n", "STRING"),
        (b"V\\d\n", "UNICODE"),
        (b"Pa\n", "PERSID"),
        (b"g0\n", "GET"),
        (b"(ia\nb\n", "INST"),
        (b"(ca\nb\no", "OBJ"),
    ],
)
def test_text_steps_are_refused_by_their_name(step: bytes, name: str) -> None:
    with pytest.raises(BadCheckpoint, match=f"its pickle uses {name}, "):
        read(b"\x80\x02" + step + b".")


def test_a_record_is_shown_by_its_name() -> None:
    record = read(b"\x80\x02cmade.up\nThing\n(]q\x00h\x00aK\x01tR.")
    assert f"{record}" == repr(record) == "made.up.Thing"
