# SPDX-License-Identifier: MIT
"""The page's own files: complete, self-contained, the same hot keys as everywhere."""

import re
from pathlib import Path

import pytest

import realtime.web
from realtime.control import COMMANDS
from realtime.web.routes import ASSETS

HERE = Path(realtime.web.__file__).parent
HTML = (HERE / "page.html").read_text(encoding="utf-8")
SCRIPTS = {path.name: path.read_text(encoding="utf-8") for path in HERE.glob("*.js")}
FILES = [path for path in HERE.iterdir() if path.suffix in {".html", ".js", ".css", ".svg"}]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_comes_from_elsewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"(https?:)?//[a-z0-9-]+\.", text)
    assert "@import" not in text and "url(" not in text
    assert "SPDX-License-Identifier: MIT" in text.splitlines()[0] + text.splitlines()[1]


def test_the_page_keeps_its_own_content_policy() -> None:
    assert not re.search(r"<script(?![^>]*\bsrc=)", HTML)  # no inline script
    assert not re.search(r"\s(on\w+|style)\s*=", HTML)  # no inline handler, no inline style
    assert "<style" not in HTML
    for name, script in SCRIPTS.items():
        assert not re.search(r"\beval\(|new Function|innerHTML|outerHTML|document\.write", script), name


def test_every_file_is_served_and_every_served_file_exists() -> None:
    served = {address[1:] for address in ASSETS}
    assert served == {path.name for path in FILES} - {"page.html"}
    wanted = set(re.findall(r'(?:src|href)="/([^"]+)"', HTML))
    for script in SCRIPTS.values():
        wanted |= set(re.findall(r'(?:from|Worker\() ?"/([^"]+)"', script))
    assert wanted - {"picture.mjpg"} <= served


def test_every_element_a_script_asks_for_is_in_the_page() -> None:
    ids = set(re.findall(r'\bid="([^"]+)"', HTML))
    asked = set(re.findall(r'(?:\$|setText)\("([a-z-]+)"', SCRIPTS["page.js"]))
    assert len(asked) > 25 and asked <= ids


def test_every_control_has_a_name() -> None:
    for button in re.findall(r"<button([^>]*)>(.*?)</button>", HTML, re.DOTALL):
        assert "aria-label=" in button[0] or re.sub(r"<[^>]+>|\W", "", button[1]), button
    for control in re.findall(r"<(?:select|input)[^>]*>", HTML):
        before = HTML[: HTML.index(control)]
        assert before.rfind("<label") > before.rfind("</label>"), f"{control} stands in no label"


def test_every_command_of_the_page_is_known_to_the_server() -> None:
    sent = set(re.findall(r'control\.send\("([a-z_.]+)"', SCRIPTS["page.js"]))
    sent |= set(re.findall(r'data-command="([a-z_.]+)"', HTML))
    assert len(sent) > 15 and sent - {"source"} <= set(COMMANDS)


def test_no_key_of_a_command_is_written_in_the_page() -> None:
    """The program's own table reaches it: another key there is another key on the page."""
    assert 'data-keys="KEY_TABLE"' in HTML
    assert "kbd>" not in HTML and "aria-keyshortcuts" not in HTML
    assert set(re.findall(r'key: "(.)"', SCRIPTS["keys.js"])) == {"?"}
