# SPDX-License-Identifier: MIT
"""Who gets in: token, cookie, Host, Origin, content policy, asked of the guard and of a running server."""

import socket

import pytest
from waiting import HANG_S
from web_stage import Stage
from websockets.exceptions import InvalidStatus

from face.errors import WrongUse
from realtime.web.guard import Guard, check_host, new_token

PAGES = ("/", "/page.js", "/picture.mjpg", "/portraits/0.jpg", "/nothing-here")
SOCKETS = ("/live", "/camera", "/control")
STRANGERS = (
    "http://evil.example",
    "http://127.0.0.1:1",  # another program on this machine
    "https://127.0.0.1:7860",
    "null",
    "http://127.0.0.1:7860.evil.example",
)
REBOUND = ("evil.example:7860", "evil.example", "127.0.0.1", "127.0.0.1:1", "192.168.0.7:7860", "", ":7860")


def scope(path: str = "/", *, kind: str = "http", query: str = "", **headers: str) -> dict[str, object]:
    sent = {"host": "127.0.0.1:7860"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return {
        "type": kind,
        "method": "GET",
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in sent.items() if value is not None],
    }


def guard(**changes: object) -> Guard:
    return Guard("t" * 32, "127.0.0.1", 7860, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", PAGES)
def test_nothing_is_served_without_the_key(stage: Stage, path: str) -> None:
    response, body = stage.request(path, key=False)
    assert response.status == 401
    assert b"open the address that facepuppet printed" in body


@pytest.mark.parametrize("path", SOCKETS)
def test_no_socket_opens_without_the_key(stage: Stage, path: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        stage.socket(path, cookie="facepuppet_1=wrong")
    assert refused.value.response.status_code == 401


@pytest.mark.parametrize("path", SOCKETS)
@pytest.mark.parametrize("origin", [*STRANGERS, None])
def test_no_socket_opens_for_another_site(stage: Stage, path: str, origin: str | None) -> None:
    with pytest.raises(InvalidStatus) as refused:
        stage.socket(path, origin=origin)
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize("path", SOCKETS)
def test_a_socket_opens_for_our_own_page(stage: Stage, path: str) -> None:
    with stage.socket(path) as socket:
        assert socket.ping().wait(HANG_S)


def test_the_token_in_the_address_becomes_a_cookie(stage: Stage) -> None:
    response, body = stage.request(f"/?token={stage.server.token}", key=False)
    cookie = response.getheader("set-cookie") or ""
    assert response.status == 200 and b"<canvas" in body
    assert cookie.startswith(stage.cookie)
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert stage.request("/")[0].status == 200  # the cookie alone is enough from now on
    assert stage.request("/")[0].getheader("set-cookie") is None


@pytest.mark.parametrize("token", ["", "wrong", "ü", "%FF%00", "x" * 100_000])
def test_a_wrong_token_opens_nothing(stage: Stage, token: str) -> None:
    response, _ = stage.request(f"/?token={token.replace('ü', '%C3%BC')[:60_000]}", key=False)
    assert response.status == 401
    assert response.getheader("set-cookie") is None


@pytest.mark.parametrize("path", ["/page.js", "/portraits/0.jpg", "/live"])
def test_the_token_counts_in_no_other_address(path: str) -> None:
    assert guard().admit(scope(path, query=f"token={'t' * 32}")) is not None


def test_the_picture_has_a_lesser_key_of_its_own() -> None:
    picture = guard().picture_path
    query = picture.partition("?")[2]
    assert "t" * 32 not in picture
    assert guard().admit(scope("/picture.mjpg", query=query)) is None
    assert guard().admit(scope("/", query=query)) is not None
    assert guard().admit(scope("/picture.mjpg", query="token=" + "t" * 32)) is not None


@pytest.mark.parametrize("host", REBOUND)
def test_a_name_that_is_not_ours_is_refused(host: str) -> None:
    refusal = guard().admit(scope(host=host, cookie=f"facepuppet_7860={'t' * 32}"))
    assert refusal is not None and refusal.status == 421


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:7860", "[::1]:7860", "LOCALHOST:7860"])
def test_every_loopback_name_is_ours(host: str) -> None:
    assert guard().admit(scope(host=host, cookie=f"facepuppet_7860={'t' * 32}")) is None


@pytest.mark.parametrize(
    ("host", "welcome"),
    [("192.168.0.7:7860", True), (f"{socket.gethostname()}:7860", True), ("evil.example:7860", False)],
)
def test_a_server_for_others_answers_to_addresses_and_its_own_name(host: str, welcome: bool) -> None:
    refusal = guard(allow_remote=True).admit(scope(host=host, cookie=f"facepuppet_7860={'t' * 32}"))
    assert (refusal is None) is welcome


def test_a_rebound_name_is_refused_by_the_server(stage: Stage) -> None:
    response, _ = stage.request("/", headers={"Host": f"evil.example:{stage.server.port}"})
    assert response.status == 421


@pytest.mark.parametrize("origin", STRANGERS)
def test_another_site_cannot_post(stage: Stage, origin: str) -> None:
    response, _ = stage.request("/portraits?name=a.jpg", method="POST", body=b"x", headers={"Origin": origin})
    assert response.status == 403
    assert stage.session.told == []


def test_a_picture_in_another_site_stays_empty() -> None:
    """Ports share a site: SameSite=Strict still sends the cookie for a page on another port."""
    cookie = f"facepuppet_7860={'t' * 32}"
    for site in ("cross-site", "same-site"):
        refusal = guard().admit(scope("/picture.mjpg", cookie=cookie, sec_fetch_site=site))
        assert refusal is not None and refusal.status == 403
    assert guard().admit(scope("/picture.mjpg", cookie=cookie, sec_fetch_site="same-origin")) is None


def test_a_link_in_a_chat_still_opens_the_page() -> None:
    link = scope(query="token=" + "t" * 32, sec_fetch_site="cross-site", sec_fetch_mode="navigate")
    assert guard().admit(link) is None


def test_an_address_of_endless_questions_is_not_read() -> None:
    assert guard().admit(scope(query="a=1&" * 20 + "token=" + "t" * 32)) is None
    assert guard().admit(scope(query="a=1&" * 20_000 + "token=" + "t" * 32)) is not None


def test_other_programs_cookies_do_not_hide_ours() -> None:
    cookie = f'odd[name]="; facepuppet_7861=old; facepuppet_7860={"t" * 32}; =; x'
    assert guard().admit(scope(cookie=cookie)) is None


def test_the_page_may_run_its_own_scripts_only(stage: Stage) -> None:
    for path in ("/", "/page.js", "/nothing-here"):
        headers = dict(stage.request(path)[0].getheaders())
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self'" in policy
        assert "unsafe" not in policy and "http" not in policy and "*" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.0.7", "::", "example.org"])
def test_listening_beyond_this_machine_has_to_be_meant(host: str) -> None:
    with pytest.raises(WrongUse, match="--allow-remote") as refused:
        check_host(host, allow_remote=False)
    assert "\n" not in str(refused.value)
    check_host(host, allow_remote=True)


def test_no_two_tokens_are_alike() -> None:
    assert len({new_token() for _ in range(100)}) == 100
    assert len(new_token()) >= 32
