# SPDX-License-Identifier: MIT
"""An engine is found again only where nothing it depends on has changed."""

import json
import os
import stat
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest

from engines.cache import EngineCache, EngineKey, graph_hash
from face.errors import EngineUnavailable

KEY = EngineKey(
    graph="9f" * 32,
    backend="tensorrt-rtx",
    runtime="1.7.1.116",
    system="Linux x86_64",
    compute_capability="8.6",
    gpu="NVIDIA GeForce RTX 3060",
    cuda="13.0",
    flags=("refit",),
    shapes=("identity 1x16x512",),
    precision="fp16",
)
OTHER_VALUES = {
    field.name: ("other",) if field.name in ("flags", "shapes") else "other" for field in fields(EngineKey)
}
WAIT_S = 30.0  # only what hangs takes this long


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return EngineCache(tmp_path / "engines")


def test_engine_is_found_again_by_another_process_eyes(cache: EngineCache) -> None:
    assert cache.load(KEY) is None
    path = cache.store(KEY, b"engine", seconds=1.5, driver="580.1")
    assert EngineCache(cache.folder).load(KEY) == b"engine"
    sidecar = json.loads(path.with_suffix(".json").read_text())
    assert sidecar["key"]["gpu"] == "NVIDIA GeForce RTX 3060"
    assert (sidecar["bytes"], sidecar["seconds"], sidecar["driver"]) == (6, 1.5, "580.1")


@pytest.mark.parametrize("changed", [field.name for field in fields(EngineKey)])
def test_anything_different_is_built_anew(cache: EngineCache, changed: str) -> None:
    cache.store(KEY, b"engine")
    other = replace(KEY, **{changed: OTHER_VALUES[changed]})
    assert cache.load(other) is None
    assert cache.load_or_build(other, lambda: b"another") == b"another"
    assert (cache.load(KEY), cache.load(other)) == (b"engine", b"another")


def flip_a_bit(engine: Path, sidecar: Path) -> None:
    data = bytearray(engine.read_bytes())
    data[3] ^= 1
    engine.write_bytes(data)


def cut_short(engine: Path, sidecar: Path) -> None:
    engine.write_bytes(engine.read_bytes()[:-1])


def lose_the_engine(engine: Path, sidecar: Path) -> None:
    engine.unlink()


def lose_the_sidecar(engine: Path, sidecar: Path) -> None:
    sidecar.unlink()


def break_the_sidecar(engine: Path, sidecar: Path) -> None:
    sidecar.write_text(sidecar.read_text()[:40])


def empty_the_sidecar(engine: Path, sidecar: Path) -> None:
    sidecar.write_text("[]")


def claim_another_key(engine: Path, sidecar: Path) -> None:
    said = json.loads(sidecar.read_text())
    said["key"]["runtime"] = "1.8.0.1"
    sidecar.write_text(json.dumps(said))


def link_out_of_the_folder(engine: Path, sidecar: Path) -> None:
    outside = engine.parent.parent / "outside"
    outside.write_bytes(engine.read_bytes())  # the very bytes: the place alone is wrong
    engine.unlink()
    engine.symlink_to(outside)


def nest_the_sidecar(engine: Path, sidecar: Path) -> None:
    sidecar.write_text("[" * 100_000)


DAMAGES = [
    flip_a_bit, cut_short, lose_the_engine, lose_the_sidecar, break_the_sidecar, empty_the_sidecar,
    claim_another_key, link_out_of_the_folder, nest_the_sidecar,
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damaged_entry_is_detected_and_built_anew(
    cache: EngineCache, damage: Callable[[Path, Path], None]
) -> None:
    path = cache.store(KEY, b"engine")
    damage(path, path.with_suffix(".json"))
    assert cache.load(KEY) is None
    assert cache.load_or_build(KEY, lambda: b"fresh!") == b"fresh!"
    assert cache.load(KEY) == b"fresh!"


def test_whole_entry_is_not_built_anew(cache: EngineCache) -> None:
    cache.store(KEY, b"engine")

    def never() -> bytes:
        raise AssertionError("built although it is there")

    assert cache.load_or_build(KEY, never) == b"engine"


def test_an_engine_that_cannot_be_kept_is_used_all_the_same_and_leaves_the_old_entry(
    cache: EngineCache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache.store(KEY, b"engine")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    other = replace(KEY, runtime="2")
    assert cache.load_or_build(other, lambda: b"took minutes") == b"took minutes"
    cache.store(KEY, b"longer engine")
    assert caplog.text.count("No space left on device") == 2
    monkeypatch.undo()
    assert cache.load(KEY) == b"engine" and cache.load(other) is None
    assert not list(cache.folder.glob(".*")), "scratch files are gone"


def test_an_entry_that_goes_while_it_is_read_is_built_again_or_read_whole(
    cache: EngineCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process prunes at each of the places where this one touches a file."""
    read, touch = Path.read_bytes, os.utime

    def read_and_lose(path: Path) -> bytes:
        content = read(path)
        sidecar.unlink(missing_ok=True)
        engine.unlink(missing_ok=True)
        return content

    def lose_and_touch(path: Path) -> None:
        path.unlink()
        touch(path)

    engine = cache.store(KEY, b"engine")
    sidecar = engine.with_suffix(".json")
    monkeypatch.setattr(os, "utime", lose_and_touch)
    assert cache.load(KEY) == b"engine", "it was read whole"
    cache.store(KEY, b"engine")
    monkeypatch.setattr(Path, "read_bytes", read_and_lose)
    assert cache.load_or_build(KEY, lambda: b"engine") == b"engine"


def test_what_killed_writers_left_is_pruned_after_a_day_and_a_running_writers_is_not(
    cache: EngineCache,
) -> None:
    engine = cache.store(KEY, b"engine")
    lost = [cache.folder / name for name in (".tmpx1.part", f".{engine.name}.1-2.part", "a.engine", "b.json")]
    fresh = [cache.folder / name for name in (".tmpx2.part", "c.engine", "d.json")]
    for path in (*lost, *fresh):
        path.write_bytes(b"half")
    for path in (*lost, engine, engine.with_suffix(".json")):
        os.utime(path, (time.time() - 2 * 86_400,) * 2)
    cache.store(replace(KEY, runtime="2"), b"another")
    assert [path.exists() for path in (*lost, *fresh)] == [False] * 4 + [True] * 3
    assert cache.load(KEY) == b"engine", "a whole entry stays, however old"


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions of this system say nothing")
def test_folder_that_others_can_write_to_is_refused(tmp_path: Path) -> None:
    EngineCache(tmp_path / "own")
    assert stat.S_IMODE((tmp_path / "own").stat().st_mode) == 0o700
    (tmp_path / "own").chmod(0o777)
    with pytest.raises(EngineUnavailable, match="chmod 700"):
        EngineCache(tmp_path / "own")


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path / "engines", limit_bytes=250)
    keys = [replace(KEY, runtime=str(number)) for number in range(3)]
    for age, key in zip((300, 200, 0), keys, strict=True):
        path = cache.store(key, bytes(100))
        then = time.time() - age
        os.utime(path.with_suffix(".json"), (then, then))
        if age == 200:
            cache.load(keys[0])  # used again: the other is older now
    assert [cache.load(key) is not None for key in keys] == [True, False, True]


def test_hash_of_a_graph_counts_the_weights_beside_it(tmp_path: Path) -> None:
    graph = tmp_path / "live.onnx"
    graph.write_bytes(b"graph")
    alone = graph_hash(graph)
    (tmp_path / "live.onnx.data").write_bytes(b"weights")
    with_weights = graph_hash(graph)
    (tmp_path / "live.onnx.data").write_bytes(b"weightz")
    assert len({alone, with_weights, graph_hash(graph)}) == 3
    (tmp_path / "live.onnx.data").unlink()
    graph.write_bytes(b"graphweights")
    assert graph_hash(graph) not in (alone, with_weights)
