# SPDX-License-Identifier: MIT
"""Who may import whom, read off the source; and what importing the command line does not load."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("face", "engines", "export", "training", "realtime")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

# package: the packages of ours it may import beside itself
MAY_IMPORT = {
    "face": set[str](),
    "engines": {"face"},
    "export": {"engines", "face"},
    "training": {"engines", "face", "export", "realtime"},
    "realtime": {"engines", "face"},
}
# What moves a frame, by the first part of its name: each may import the neutral ones and itself, not another.
PARTS = {
    "sources": "realtime/sources",
    "tracker": "realtime/tracker.py realtime/landmarker.py realtime/follow.py",
    "puppet": "realtime/puppet.py realtime/portrait.py realtime/directions_puppet.py realtime/paste_back.py "
    "realtime/crop_reader.py realtime/identity.py realtime/live_model.py realtime/deca_numbers.py",
    "sinks": "realtime/sinks",
    "web": "realtime/web",
}
HEAVY = ("torch", "onnx", "onnxruntime", "tensorrt", "tensorrt_rtx")


def imports_of(path: Path, *, at_top: bool = False) -> set[str]:
    """Dotted names a file imports; `at_top`: only what importing the file itself loads."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    found: set[str] = set()
    nodes = _top_level(tree) if at_top else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            module = node.module or ""
            found |= {module, *(f"{module}.{name.name}" for name in node.names)}
    return found


def _top_level(tree: ast.Module) -> list[ast.AST]:
    """Statements that run at import: not those in functions, nor those for type checkers alone."""
    nodes: list[ast.AST] = []
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        nodes.append(node)
        waiting += ast.iter_child_nodes(node)
    return nodes


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def part_of(dotted: str) -> str | None:
    """The part of the line that a dotted name belongs to."""
    as_path = dotted.replace(".", "/")
    for part, places in PARTS.items():
        for place in places.split():
            place = place.removesuffix(".py")
            if as_path == place or as_path.startswith(f"{place}/"):
                return part
    return None


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_packages_import_only_those_below_them(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    allowed = {package} | MAY_IMPORT[package]
    if name_of(path) == "realtime/cli.py":
        allowed |= {"export", "training"}  # inside the sub-command that needs them
    found = {name.partition(".")[0] for name in imports_of(path)} & set(PACKAGES)
    assert found <= allowed


def test_the_command_line_meets_export_only_inside_a_command() -> None:
    at_top = {name.partition(".")[0] for name in imports_of(ROOT / "realtime" / "cli.py", at_top=True)}
    assert not at_top & {"export", "training"}


@pytest.mark.parametrize(
    "path", [path for path in FILES if part_of(name_of(path).removesuffix(".py"))], ids=name_of
)
def test_source_tracker_puppet_sinks_and_page_never_meet(path: Path) -> None:
    own = part_of(name_of(path).removesuffix(".py").replace("/__init__", ""))
    met = {part_of(name) for name in imports_of(path)} - {None, own}
    assert not met


@pytest.mark.parametrize("path", [p for p in FILES if name_of(p).startswith("realtime/")], ids=name_of)
def test_realtime_reaches_engines_by_the_facade_and_never_torch(path: Path) -> None:
    names = imports_of(path)
    assert not {name.partition(".")[0] for name in names} & set(HEAVY)
    assert not {name for name in names if name.startswith("engines.") and name.count(".") > 1}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_file_opens_with_its_licence_and_one_sentence(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# SPDX-License-Identifier: MIT\n")
    assert ast.get_docstring(ast.parse(text)), "a file says what it does and what it does not know"


def test_importing_the_command_line_loads_nothing_heavy() -> None:
    program = "import sys, realtime.cli; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True, cwd=ROOT
    )
    loaded = set(done.stdout.split())
    assert "realtime.cli" in loaded
    assert not loaded & {*HEAVY, "mediapipe", "numba", "uvicorn", "pyvirtualcam", "export", "training"}


def test_a_whole_live_line_is_imported_without_torch() -> None:
    program = "import sys, realtime.live, realtime.bench, realtime.demo; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True, cwd=ROOT
    )
    assert not set(done.stdout.split()) & set(HEAVY)
