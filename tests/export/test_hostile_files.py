# SPDX-License-Identifier: MIT
"""No file makes the importers run anything, use up the machine, or say more than one line."""

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")

from checkpoint_files import nvlabs_state, write_nvlabs
from hostile_files import broken, executing, honest_files, mutated, prefixed

from export import export_checkpoint
from export.checkpoints.identify import import_checkpoint
from face.errors import BadCheckpoint, PuppetError

ROOT = Path(__file__).resolve().parents[2]
HONEST = (
    "matrix.pt", "nvlabs.pkl", "nvlabs2.pkl", "old.pt", "zip.pt",
    "mask_old.pt", "restyle.pt", "deca.tar", "S_mean_std",
    "stylegan3_t.pkl", "stylegan3_r.pkl", "tensorflow.pkl", "tensorflow_4.pkl",
)  # fmt: skip
MUTATIONS = 200  # of each seed file; benchmarks/fuzz_checkpoints.py runs more
MEMORY_LIMIT = 3 << 30
SECONDS_LIMIT = 60  # of the processor, for one file: only a loop without end takes as long


def refused(path: Path, folder: Path) -> str:
    """The one line an export of this file ends with."""
    with pytest.raises(BadCheckpoint) as raised:
        export_checkpoint(path, folder / "model")
    line = str(raised.value)
    assert "\n" not in line
    assert path.name in line
    assert not (folder / "model").exists()
    assert not [p for p in folder.iterdir() if p.is_dir()]  # and no scratch folder either
    return line


@pytest.mark.parametrize("name", executing("x"))
def test_nothing_in_a_file_is_executed(name: str, tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    path = tmp_path / "model.pkl"
    path.write_bytes(executing(str(marker))[name])
    refused(path, tmp_path)
    assert not marker.exists()


@pytest.mark.parametrize("name", prefixed())
def test_names_are_compared_whole(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(prefixed()[name])
    assert name.replace(" ", ".") in refused(path, tmp_path)


@pytest.fixture(scope="module")
def broken_files() -> dict[str, bytes]:
    return broken()


BROKEN_NAMES = sorted(broken())


@pytest.mark.parametrize("name", BROKEN_NAMES)
def test_broken_file_is_one_line(name: str, tmp_path: Path, broken_files: dict[str, bytes]) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(broken_files[name])
    refused(path, tmp_path)


def test_path_that_is_no_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match="cannot read"):
        export_checkpoint(tmp_path / "nowhere.pkl", tmp_path / "model")
    with pytest.raises(BadCheckpoint, match="cannot read"):
        export_checkpoint(tmp_path, tmp_path / "model")


def test_all_of_them_fit_into_memory_and_time(tmp_path: Path, broken_files: dict[str, bytes]) -> None:
    pytest.importorskip(
        "resource", reason="peak memory is read with the resource module, which Windows lacks"
    )
    for number, data in enumerate([*broken_files.values(), *executing("x").values()]):
        (tmp_path / f"{number:03}.pkl").write_bytes(data)
    program = (
        "import json, resource, sys, time\n"
        "from pathlib import Path\n"
        "from export.checkpoints.identify import import_checkpoint\n"
        "from face.errors import BadCheckpoint\n"
        "slowest = refused = 0\n"
        "for path in sorted(Path(sys.argv[1]).iterdir()):\n"
        "    start = time.process_time()\n"
        "    try:\n"
        "        import_checkpoint(path)\n"
        "    except BadCheckpoint:\n"
        "        refused += 1\n"
        "    slowest = max(slowest, time.process_time() - start)\n"
        "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "print(json.dumps({'peak': peak, 'slowest': slowest, 'refused': refused}))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    found = json.loads(run.stdout.splitlines()[-1])
    assert found["refused"] == len(list(tmp_path.iterdir()))
    assert found["peak"] < MEMORY_LIMIT
    assert found["slowest"] < SECONDS_LIMIT


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Small files that load, in each container."""
    return honest_files(tmp_path_factory.mktemp("honest"))


@pytest.mark.parametrize(
    "name", ["nvlabs.pkl", "zip.pt", "old.pt", "mask_old.pt", "restyle.pt", "S_mean_std"]
)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.9999])
def test_truncated_file_is_one_line(
    name: str, share: float, tmp_path: Path, honest: dict[str, bytes]
) -> None:
    path = tmp_path / name
    path.write_bytes(honest[name][: int(len(honest[name]) * share)])
    refused(path, tmp_path)


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
