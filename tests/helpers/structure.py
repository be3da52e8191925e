# SPDX-License-Identifier: MIT
"""Which file of ours imports which, read off the syntax trees; imports in functions and strings count."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
# Each may import those before it and itself.
ORDER = ("face", "engines", "evaluation", "export", "training", "methods", "realtime", "benchmarks")
FILES = sorted(path for package in ORDER for path in (ROOT / package).rglob("*.py"))
IMPORT_IN_TEXT = re.compile(r"(?:\bfrom|\bimport|-m)\s+([A-Za-z_][\w.]*)")


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in FILES}


def imports_of(path: Path, *, at_top: bool = False) -> set[str]:
    """Dotted names a file imports, as written; `at_top`: only what importing the file itself loads."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    found: set[str] = set()
    for node in _top_level(tree) if at_top else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            module = node.module or ""
            found |= {module, *(f"{module}.{name.name}" for name in node.names)}
    return found


def _top_level(tree: ast.Module) -> Iterator[ast.AST]:
    """Statements that run at import: not those in functions, nor those for type checkers alone."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        yield node
        waiting += ast.iter_child_nodes(node)


def named_in_strings(path: Path) -> set[str]:
    """Modules of ours that a string of the file names: whole, as `import_module` takes them, or in a program
    text ("from x import y", "-m x"). Of a string with gaps, every module that begins as it does counts.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    found: set[str] = set()
    for node in _without_docstrings(tree):
        if isinstance(node, ast.JoinedStr):
            first = node.values[0] if node.values else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                start = first.value
                if "." in start and start.partition(".")[0] in ORDER and re.fullmatch(r"[\w.]+", start):
                    found |= {name for name in MODULES if name.startswith(start)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if node.value in MODULES and ("." in node.value or node.value not in ORDER):
                found.add(node.value)
            found |= {name for name in IMPORT_IN_TEXT.findall(node.value) if name in MODULES}
    return found


def _without_docstrings(tree: ast.Module) -> Iterator[ast.AST]:
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    return (node for node in ast.walk(tree) if id(node) not in docstrings)


def arrows() -> dict[str, set[str]]:
    """For each module of ours the others that it imports; a name of a package's __init__ is that file."""
    result: dict[str, set[str]] = {}
    for name, path in MODULES.items():
        targets: set[str] = set()
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                targets |= {alias.name for alias in node.names if alias.name in MODULES}
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    inside = f"{node.module}.{alias.name}"
                    targets.add(inside if inside in MODULES else node.module or "")
        targets |= named_in_strings(path)
        result[name] = {target for target in targets if target in MODULES and target != name}
    return result


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of files that reach each other (Tarjan's strongly connected components of more than one)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in sorted(graph[node]):
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                groups.append(sorted(group))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return groups


def upward(graph: dict[str, set[str]]) -> list[str]:
    """Arrows against ORDER, as "from -> to"."""
    rank = {package: place for place, package in enumerate(ORDER)}
    return sorted(
        f"{source} -> {target}"
        for source, targets in graph.items()
        for target in targets
        if rank[source.partition(".")[0]] < rank[target.partition(".")[0]]
    )


def layers(graph: dict[str, set[str]]) -> int:
    """Files on the longest way down; of a graph without cycles."""
    depth: dict[str, int] = {}

    def below(node: str) -> int:
        if node not in depth:
            depth[node] = 1 + max((below(target) for target in graph[node]), default=0)
        return depth[node]

    return max(map(below, graph))


if __name__ == "__main__":
    drawn = arrows()
    print(f"{len(drawn)} modules, {sum(map(len, drawn.values()))} imports among them")
    found = cycles(drawn)
    for group in found:
        print(f"cycle of {len(group)}: {', '.join(group)}")
    for arrow in upward(drawn):
        print(f"against the order: {arrow}")
    if not found:
        print(f"{layers(drawn)} layers")
