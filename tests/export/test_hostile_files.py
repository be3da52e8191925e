# SPDX-License-Identifier: MIT
"""No file makes the importers run anything, use up the machine, or say more than one line."""

import json
import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")

from checkpoint_files import nvlabs_state, write_nvlabs
from hostile_files import broken, honest_files
from hostile_mutations import mutated
from hostile_programs import executing, prefixed
from hostile_reasons import LOADS, REASONS
from hostile_shapes import greedy, growing

from export import export_checkpoint
from export.checkpoints.identify import import_checkpoint
from face.errors import BadCheckpoint, PuppetError

ROOT = Path(__file__).resolve().parents[2]
HONEST = (
    "matrix.pt", "nvlabs.pkl", "nvlabs2.pkl", "old.pt", "zip.pt",
    "mask_old.pt", "restyle.pt", "deca.tar", "S_mean_std",
    "beside.pt", "own.safetensors",
    "stylegan3_t.pkl", "stylegan3_r.pkl", "tensorflow.pkl", "tensorflow_4.pkl",
)  # fmt: skip
MUTATIONS = 100  # of each seed file; benchmarks/fuzz_checkpoints.py runs more
MEMORY_LIMIT = 500  # MiB that reading a file may take beside what was there
SECONDS_LIMIT = 5  # of processor time


def refused(path: Path, folder: Path, reason: str) -> str:
    """The one line an export of this file ends with, for that reason."""
    with pytest.raises(BadCheckpoint) as raised:
        export_checkpoint(path, folder / "model")
    line = str(raised.value)
    assert line.isprintable()
    assert path.name in line
    assert reason in line
    assert len(line) < 1500
    assert not (folder / "model").exists()
    assert not [p for p in folder.iterdir() if p.is_dir()]  # and no scratch folder either
    return line


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """Files, and the path that appears when something in one of them runs."""
    marker = tmp_path_factory.mktemp("programs") / "executed"
    return marker, executing(str(marker))


@pytest.mark.parametrize("name", executing("x"))
def test_nothing_in_a_file_is_executed(
    name: str, tmp_path: Path, programs: tuple[Path, dict[str, bytes]]
) -> None:
    marker, files = programs
    path = tmp_path / "model.pkl"
    path.write_bytes(files[name])
    if REASONS[name] == LOADS:
        assert LOADS in import_checkpoint(path).notes
    else:
        refused(path, tmp_path, REASONS[name])
    assert not marker.exists()


@pytest.mark.parametrize("name", prefixed())
def test_names_are_compared_whole(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(prefixed()[name])
    refused(path, tmp_path, f"it holds one {name.replace(' ', '.')}")


@pytest.fixture(scope="module")
def broken_files() -> dict[str, bytes]:
    return broken() | greedy()


BROKEN_NAMES = sorted(broken()) + sorted(greedy())


@pytest.mark.parametrize("name", BROKEN_NAMES)
def test_broken_file_is_one_line_that_says_why(
    name: str, tmp_path: Path, broken_files: dict[str, bytes]
) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(broken_files[name])
    refused(path, tmp_path, REASONS[name])


def test_every_reason_is_of_a_file() -> None:
    assert set(REASONS) == {*BROKEN_NAMES, *executing("x")}


def test_path_that_is_no_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match="cannot read"):
        export_checkpoint(tmp_path / "nowhere.pkl", tmp_path / "model")
    with pytest.raises(BadCheckpoint, match="cannot read"):
        export_checkpoint(tmp_path, tmp_path / "model")


MEASURED = """
import json, resource, sys, time
from pathlib import Path
from export.checkpoints.identify import import_checkpoint
from face.errors import BadCheckpoint
limit, folder = sys.argv[1:]
taken = {}
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
resource.setrlimit(resource.RLIMIT_CPU, (int(limit), int(limit)))
for path in sorted(Path(folder).iterdir()):
    start, escaped = time.process_time(), ""
    try:
        import_checkpoint(path)
    except BadCheckpoint:
        pass
    except BaseException as error:
        escaped = type(error).__name__
    before, peak = peak, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    taken[path.name] = (time.process_time() - start, peak - before, escaped)
print(json.dumps(taken))
"""
ALL_SECONDS = 120


@pytest.fixture(scope="module")
def taken(
    tmp_path_factory: pytest.TempPathFactory, broken_files: dict[str, bytes]
) -> dict[str, tuple[float, int, str]]:
    """Seconds of processor time, MiB and what escaped, by file, from a process apart."""
    pytest.importorskip(
        "resource", reason="memory and time are measured with the resource module, which Windows lacks"
    )
    folder = tmp_path_factory.mktemp("measured")
    files = {**broken_files, **executing("x"), **{f"grows {n}": data for n, data in growing().items()}}
    for name, data in files.items():
        (folder / re.sub(r"\W", "_", name)).write_bytes(data)
    command = [sys.executable, "-c", MEASURED, str(ALL_SECONDS), str(folder)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, f"more than {ALL_SECONDS} s, or it ended: {run.stderr[-300:]}"
    found: dict[str, tuple[float, int, str]] = json.loads(run.stdout.splitlines()[-1])
    assert len(found) == len(files)
    return found


def test_all_of_them_fit_into_memory_and_time(taken: dict[str, tuple[float, int, str]]) -> None:
    assert [name for name, (seconds, _, _) in taken.items() if seconds >= SECONDS_LIMIT] == []
    assert [name for name, (_, mib, _) in taken.items() if mib >= MEMORY_LIMIT] == []
    assert [name for name, (_, _, escaped) in taken.items() if escaped] == []


def test_values_that_grow_without_end_cost_nothing(taken: dict[str, tuple[float, int, str]]) -> None:
    grown = {name: value for name, value in taken.items() if name.startswith("grows_")}
    assert len(grown) > 300
    assert [name for name, (seconds, _, _) in grown.items() if seconds >= 2.5] == []
    assert [name for name, (_, mib, _) in grown.items() if mib >= MEMORY_LIMIT / 4] == []


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Small files that load, in each container."""
    return honest_files(tmp_path_factory.mktemp("honest"))


TORN = {  # by the container: what the line says of a file cut short
    "nvlabs.pkl": ("its pickle is damaged", "no STOP"),
    "zip.pt": ("it is a damaged zip",),
    "old.pt": ("its pickle is damaged", "no STOP", "ends before", "ends early"),
    "mask_old.pt": ("its pickle is damaged", "no STOP", "ends before", "ends early"),
    "restyle.pt": ("it is a damaged zip",),
    "S_mean_std": ("its pickle is damaged", "no STOP"),
}


@pytest.mark.parametrize("name", TORN)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.9999])
def test_truncated_file_is_one_line(
    name: str, share: float, tmp_path: Path, honest: dict[str, bytes]
) -> None:
    path = tmp_path / name
    path.write_bytes(honest[name][: int(len(honest[name]) * share)])
    line = refused(path, tmp_path, "")
    assert any(reason in line for reason in TORN[name]), line


@pytest.mark.parametrize("name", HONEST)
def test_mutated_file_loads_or_is_refused(name: str, tmp_path: Path, honest: dict[str, bytes]) -> None:
    rng = random.Random(name)
    path = tmp_path / name
    outcomes = {"loaded": 0, "refused": 0}
    for _ in range(MUTATIONS):
        path.write_bytes(mutated(honest[name], rng))
        try:
            import_checkpoint(path)
            outcomes["loaded"] += 1
        except PuppetError as error:
            assert "\n" not in str(error)
            outcomes["refused"] += 1
    assert outcomes["refused"] > MUTATIONS // 10  # the mutations do bite


@pytest.mark.parametrize("package", [b"numpy.core", b"numpy._core"])
def test_old_and_new_numpy_names_load(package: bytes, tmp_path: Path) -> None:
    path = tmp_path / "g.pkl"
    attributes = {"resolution": np.int64(8), "table": np.arange(6, dtype=np.float32).reshape(2, 3)}
    write_nvlabs(path, nvlabs_state(8), attributes=attributes, protocol=2)
    data = path.read_bytes()
    written = next(p for p in (b"numpy._core", b"numpy.core") if b"c" + p + b".multiarray\n" in data)
    path.write_bytes(data.replace(b"c" + written + b".multiarray\n", b"c" + package + b".multiarray\n"))
    assert package + b".multiarray" in path.read_bytes()
    assert set(import_checkpoint(path).networks) == {"generator", "mapping"}


def test_protocol_3_sets_load(tmp_path: Path) -> None:
    path = tmp_path / "g.pkl"
    write_nvlabs(path, nvlabs_state(8), protocol=3)
    assert b"cbuiltins\nset\n" in path.read_bytes()
    assert set(import_checkpoint(path).networks) == {"generator", "mapping"}
