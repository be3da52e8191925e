# SPDX-License-Identifier: MIT
"""Who may import whom, read off the source; and what importing the command line does not load."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from structure import FILES, MODULES, ORDER, ROOT, arrows, cycles, imports_of, upward

from methods.registry import METHODS

# What moves a frame: each may import the neutral ones and itself, not another.
PARTS = {
    "sources": "realtime.sources",
    "tracker": "realtime.tracker",
    "methods": "methods",
    "sinks": "realtime.sinks",
    "web": "realtime.web",
}
HEAVY = ("torch", "onnx", "onnxruntime", "tensorrt", "tensorrt_rtx")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def part_of(module: str) -> str | None:
    """The part of the line that a module belongs to."""
    return next((part for part, place in PARTS.items() if f"{module}.".startswith(f"{place}.")), None)


def test_packages_import_only_those_below_them() -> None:
    assert not upward(arrows())


def test_no_files_import_each_other_in_a_circle() -> None:
    assert not cycles(arrows())


def test_every_package_has_its_place_in_the_order() -> None:
    found = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert found - {"tests"} <= set(ORDER)


@pytest.mark.parametrize("module", [module for module in MODULES if part_of(module)])
def test_source_tracker_methods_sinks_and_page_never_meet(module: str) -> None:
    met = {part_of(name) for name in imports_of(MODULES[module])} - {None, part_of(module)}
    if part_of(module) == "methods":
        assert not met
    else:
        assert met <= set()


@pytest.mark.parametrize("path", [p for p in FILES if name_of(p).startswith("realtime/")], ids=name_of)
def test_realtime_never_imports_torch_or_a_network(path: Path) -> None:
    names = imports_of(path)
    assert not {name.partition(".")[0] for name in names} & set(HEAVY)
    assert not {name for name in names if name.startswith("engines.networks")}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_file_opens_with_its_licence_and_one_sentence(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# SPDX-License-Identifier: MIT\n")
    assert ast.get_docstring(ast.parse(text)), "a file says what it does"


def test_importing_the_command_line_loads_nothing_heavy() -> None:
    program = "import sys, realtime.cli; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True, cwd=ROOT
    )
    loaded = set(done.stdout.split())
    assert "realtime.cli" in loaded
    assert not loaded & {*HEAVY, "mediapipe", "numba", "uvicorn", "pyvirtualcam", "export", "training"}


def test_a_whole_live_line_is_imported_without_torch() -> None:
    program = "import sys, realtime.live.opening, realtime.offline.bench; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True, cwd=ROOT
    )
    assert not set(done.stdout.split()) & set(HEAVY)


@pytest.mark.parametrize("package", METHODS.values())
def test_every_method_has_the_same_four_files(package: str) -> None:
    folder = ROOT.joinpath(*package.split("."))
    assert {"__init__.py", "motion.py", "puppet.py", "train.py"} <= {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("path", [p for p in FILES if name_of(p).startswith("methods/")], ids=name_of)
def test_methods_play_without_torch(path: Path) -> None:
    """Only what enrols and what trains may name it."""
    if path.name != "enrol.py" and not path.name.startswith("train"):
        assert not {name.partition(".")[0] for name in imports_of(path)} & {"torch", "safetensors", "onnx"}
        assert not {name for name in imports_of(path, at_top=True) if name.startswith("engines.networks")}
