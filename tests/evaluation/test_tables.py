# SPDX-License-Identifier: MIT
"""Tables as text."""

from pathlib import Path

from evaluation.tables import Section, markdown, number, page

TABLE = Section("Faces & more", "Means.", [["face", "yaw"], ["<one>", "1.00"]])


def test_markdown_has_heading_note_and_pipes() -> None:
    wanted = "## Faces & more\n\nMeans.\n\n| face | yaw |\n| --- | --- |\n| <one> | 1.00 |\n"
    assert markdown([TABLE]) == wanted
    assert markdown([TABLE, TABLE]) == f"{wanted}\n{wanted}"


def test_a_page_escapes_what_is_no_html() -> None:
    text = page([TABLE], [Path("out/a&b.png")], "Run <1>")
    assert "<h1>Run &lt;1&gt;</h1>" in text and "<th>yaw</th>" in text and "<td>&lt;one&gt;</td>" in text
    assert "<img src='a&amp;b.png'>" in text


def test_what_is_not_known_is_a_dash() -> None:
    assert [number(0.126), number(2.0, 3), number(float("nan"))] == ["0.13", "2.000", "-"]
