# SPDX-License-Identifier: MIT
"""What changes something needs our own page behind it; keys are compared in constant time."""

import pytest

from realtime.web import guard as guard_module
from realtime.web.guard import Guard
from realtime.web.portraits import safe_name

KEY = "t" * 32


def asked(method: str, **headers: str) -> int | None:
    """Status of a request with the right key that is refused, None for one that passes."""
    sent = {"host": "127.0.0.1:7860", "cookie": f"facepuppet_7860={KEY}"} | headers
    scope = {
        "type": "http",
        "method": method,
        "path": "/portraits",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
    }
    refusal = Guard(KEY, "127.0.0.1", 7860).admit(scope)
    return None if refusal is None else refusal.status


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "post"])
def test_nothing_is_changed_without_an_origin(method: str) -> None:
    assert asked(method) == 403
    assert asked(method, origin="http://127.0.0.1:7860") is None


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_looking_needs_no_origin_but_never_takes_another_site_s(method: str) -> None:
    assert asked(method) is None
    assert asked(method, origin="http://evil.example") == 403


def test_keys_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []

    def spy(given: bytes, expected: bytes) -> bool:
        compared.append(given)
        return given == expected

    monkeypatch.setattr(guard_module.hmac, "compare_digest", spy)
    assert asked("GET") is None
    assert compared == [KEY.encode()]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("../../etc/passwd", "passwd.jpg"),
        ("..\\..\\me.png", "me.png"),
        ("/tmp/a b.jpg", "a b.jpg"),
        (".hidden.jpg", "hidden.jpg"),
        ("C:evil.jpg", "C_evil.jpg"),
        ("a\x00b\n.jpg", "a_b_.jpg"),
        ("", "portrait.jpg"),
        ("CON", "_CON.jpg"),  # Windows takes these for devices, whatever follows the dot
        ("aux.png", "_aux.png"),
        ("Nul.tar.gz", "_Nul.tar.gz"),
        ("com1.jpg", "_com1.jpg"),
        ("LPT¹ .jpg", "_LPT¹ .jpg"),
        ("console.jpg", "console.jpg"),
        ("com.jpg", "com.jpg"),
    ],
)
def test_the_name_of_an_upload_is_one_plain_file_name(sent: str, kept: str) -> None:
    assert safe_name(sent) == kept
