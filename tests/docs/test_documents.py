# SPDX-License-Identifier: MIT
"""What README and docs/ tell people to type is understood: commands, flags, modules, links."""

import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest

from realtime.cli import COMMANDS, main
from realtime.commands.parsing import parse

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "training" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LONGEST_README = 200  # lines
PLACEHOLDERS = {"COMMAND", "NAME"}
TEXTS = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in DOCUMENTS}
FENCED = re.compile(r"```\w*\n(.*?)```", re.DOTALL)
INLINE = re.compile(r"`([^`]+)`")


def code(text: str) -> list[str]:
    """Lines of code blocks, and code within sentences, each on one line without its comment."""
    blocks = [line for block in FENCED.findall(text) for line in block.splitlines()]
    inline = [" ".join(span.split()) for span in INLINE.findall(FENCED.sub("", text))]
    return [re.split(r"\s+#", line)[0].strip() for line in blocks + inline]


def typed(program: str) -> list[tuple[str, list[str]]]:
    """Document and arguments of every line that starts a program."""
    found = []
    for name, text in TEXTS.items():
        for line in code(text):
            words = re.sub(r"^\.venv[/\\](bin|Scripts)[/\\]", "", line)
            if words.startswith(f"{program} "):
                found.append((name, shlex.split(words.removeprefix(program).partition(" > ")[0])))
    return found


@pytest.mark.parametrize(("document", "words"), typed("facepuppet"), ids=lambda value: str(value))
def test_every_command_is_understood(
    document: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if PLACEHOLDERS & set(words):
        pytest.skip("stands for any command")
    monkeypatch.chdir(tmp_path)
    Path("settings.toml").touch()
    if words[0] == "train" or "--help" in words:
        recipe = [word for word in words[:2] if not word.startswith("-")]
        assert main([*recipe, "--help"]) == 0
        return
    name = words[0] if words[0] in COMMANDS else " ".join(words[:2])
    if len(words) > len(name.split()):
        parse(name, COMMANDS, words[len(name.split()) :], lambda: tmp_path / "none.toml")
    else:
        assert name in COMMANDS


@pytest.mark.parametrize(("document", "words"), typed("python -m"), ids=lambda value: str(value))
def test_every_module_is_there(document: str, words: list[str]) -> None:
    assert find_spec(words[0]) is not None


@pytest.mark.parametrize("document", TEXTS)
def test_every_flag_that_a_sentence_names_exists(document: str) -> None:
    known = {f"--{word}" for command in COMMANDS.values() for f in command.flags for word in (f.key, f.off)}
    tools = [*(ROOT / "benchmarks").glob("*.py"), *(ROOT / "training").glob("*.py")]
    known |= {
        flag for path in tools for flag in re.findall(r'"(--[\w-]+)"', path.read_text(encoding="utf-8"))
    }
    known |= {"--help"}
    spans = [span for span in code(TEXTS[document]) if span.startswith("--")]
    named = {flag for span in spans for flag in re.findall(r"--[a-z][\w-]*", span)}
    assert named <= known, named - known


@pytest.mark.parametrize("document", TEXTS)
def test_every_link_leads_to_a_file(document: str) -> None:
    folder = (ROOT / document).parent
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", TEXTS[document])
    assert [link for link in links if not (folder / link).exists()] == []


def test_the_readme_stays_short() -> None:
    assert len(TEXTS["README.md"].splitlines()) <= LONGEST_README


def test_every_document_is_linked_from_the_readme() -> None:
    assert [
        name for name in TEXTS if name.startswith("docs/") and f"({name})" not in TEXTS["README.md"]
    ] == []
