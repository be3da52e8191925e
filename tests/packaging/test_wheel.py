# SPDX-License-Identifier: MIT
"""What is built holds everything that it should, and building it warns of nothing."""

import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUN_FROM_A_CHECKOUT = {"benchmarks", "tests", "docs"}  # in the sdist alone
SHIPPED = {".py", ".npz", ".safetensors", ".js", ".css", ".html", ".svg"}
LARGEST_WHEEL_MIB = 8
BUILD = """
from setuptools.build_meta import build_editable, build_sdist, build_wheel
for build in (build_wheel, build_sdist, build_editable):
    build("built")
"""


@dataclass(frozen=True)
class Built:
    """What one checkout was built into."""

    tracked: set[str]  # files of the checkout
    wheel: Path
    sdist: Path
    said: str  # all that was printed


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    if not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout, which tells what belongs to it")
    pytest.importorskip("setuptools", "77", reason="needs setuptools, which comes with the extra dev")
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    told = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    tracked = {name for name in told.splitlines() if (ROOT / name).is_file()}
    tree = tmp_path_factory.mktemp("tree")
    for name in tracked:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tree / name)
    (tree / "built").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", BUILD],
        cwd=tree,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    (wheel,) = (path for path in (tree / "built").glob("*.whl") if "editable" not in path.name)
    (sdist,) = (tree / "built").glob("*.tar.gz")
    return Built(tracked, wheel, sdist, done.stdout)


def test_the_wheel_holds_every_program_weight_and_page_of_the_tree(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        found = {name for name in archive.namelist() if Path(name).suffix in SHIPPED}
    folders = {name for name in built.tracked if "/" in name and Path(name).suffix in SHIPPED}
    assert found == {name for name in folders if name.split("/")[0] not in RUN_FROM_A_CHECKOUT}


def test_every_model_card_travels_with_its_weights(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        names = set(archive.namelist())
    weights = {str(Path(name).parent) for name in names if name.endswith(".safetensors")}
    assert weights
    assert {f"{folder}/MODEL_CARD.md" for folder in weights} <= names


def test_the_wheel_stays_small(built: Built) -> None:
    assert built.wheel.stat().st_size < LARGEST_WHEEL_MIB * 2**20


def test_the_sdist_is_the_whole_checkout(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        found = {member.name.partition("/")[2] for member in archive if member.isfile()}
    made = {name for name in found if name in {"PKG-INFO", "setup.cfg"} or ".egg-info/" in name}
    assert found - made == built.tracked


def test_building_warns_of_nothing(built: Built) -> None:
    assert [line for line in built.said.splitlines() if "Warning" in line] == []


def test_one_version_of_opencv_is_asked_for_under_both_its_names() -> None:
    """opencv-python and opencv-contrib-python write into one folder, and the models' packages need both."""
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    versions = [line.partition("==")[2] for line in asked if line.startswith("opencv-")]
    assert len(versions) == 2 and len(set(versions)) == 1 and versions[0]
