# SPDX-License-Identifier: MIT
"""What the page asks for reaches the session, checked; what it may not ask for is said in one line."""

import html
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np
import pytest
from waiting import HANG_S, wait_until
from web_stage import ScriptedSession, Stage, jpeg, serve
from websockets.sync.client import ClientConnection

from face.errors import WrongUse
from realtime.control import COMMANDS, MODES, key_table, obey
from realtime.web.portraits import Shelf, safe_name

CALLS = {
    ("calibrate", None): ("calibrate",),
    ("find", None): ("find",),
    ("next", None): ("next",),
    ("previous", None): ("previous",),
    ("select", 1): ("select", 1),
    ("method", "landmarks"): ("method", "landmarks"),
    ("smoothing", 0.5): ("smoothing", 0.5),
    ("gain.pose", 0): ("gain", "pose", 0.0),
    ("gain.expression", 2): ("gain", "expression", 2.0),
    ("gain.eyes", 1.25): ("gain", "eyes", 1.25),
    ("zoom_in", None): ("zoom_in",),
    ("zoom_out", None): ("zoom_out",),
    ("reset_crop", None): ("reset_crop",),
    ("reload", None): ("reload",),
    ("move", "left"): ("move", -0.03, 0.0),
    ("move", "down_fine"): ("move", 0.0, 0.003),
    ("gain", -0.1): ("gain by", -0.1),
    ("smoother", 0.25): ("smoothing by", 0.25),
    **{(mode, True): ("mode", mode, True) for mode in MODES if mode != "landmarks"},
    ("flip", None): ("toggle", "flip"),
}

WRONG = [
    ("fly", None),
    ("", None),
    ("select", 2),
    ("select", -1),
    ("select", 0.5),
    ("select", "1"),
    ("select", True),
    ("select", 1e300),
    ("select", float("inf")),
    ("select", float("nan")),
    ("method", "magic"),
    ("gain.pose", 2.01),
    ("gain.pose", -0.1),
    ("gain.pose", "1"),
    ("gain.pose", None),
    ("gain.nose", 1),
    ("smoothing", float("inf")),
    ("smoothing", float("nan")),
    ("smoothing", True),
    ("mirror", 1),
    ("badge", "on"),
    ("move", "sideways"),
    ("source", "camera"),
    ("quit", None),
    ("landmarks", True),
    ("gain", 3),
    ("smoother", None),
    ("move", "_fine"),
    ("move", "up_slowly"),
]

NO_COMMANDS = [
    "",
    "{",
    "[]",
    "3",
    "null",
    '{"value": 1}',
    '{"do": ["x"]}',
    '{"do": {}}',
    "[" * 3000,
    "x" * 9000,
    '{"do": "select", "value": 1e400}',
    '{"do": "select", "value": NaN}',
    '{"do": "next", "number": NaN}',
    '{"do": "next", "number": -Infinity}',
    '{"do": "smoothing", "value": ' + "9" * 4000 + "}",
    '{"do": "next", "more": [1e999]}',
]


@pytest.fixture
def control(stage: Stage) -> Iterator[ClientConnection]:
    stage.session.portraits = (Path("a.jpg"), Path("b.jpg"))
    with stage.socket("/control") as socket:
        yield socket


def ask(socket: ClientConnection, text: str) -> dict[str, object]:
    """The answer to one command; states that come between are passed over."""
    socket.send(text)
    while True:
        answer = json.loads(socket.recv(timeout=HANG_S))
        if "answer" in answer:
            return dict(answer)


@pytest.mark.parametrize(("command", "call"), CALLS.items(), ids=lambda pair: str(pair[0]))
def test_a_command_reaches_the_session(
    stage: Stage, control: ClientConnection, command: tuple[str, object], call: tuple[object, ...]
) -> None:
    name, value = command
    assert ask(control, json.dumps({"do": name, "value": value, "number": 5})) == {"answer": 5, "error": ""}
    assert stage.session.told == [call]


def test_every_command_is_tried_above() -> None:
    assert {name for name, _ in CALLS} == {name for name, command in COMMANDS.items() if command.on_page}


def test_every_key_of_the_page_is_a_command_it_may_give(stage: Stage, control: ClientConnection) -> None:
    stage.session.portraits = tuple(Path(f"{number}.jpg") for number in range(9))
    rows = json.loads(html.unescape(key_table().decode()))
    for row in rows:
        assert ask(control, json.dumps({"do": row["do"], "value": row["value"]}))["error"] == "", row["key"]
    assert len(stage.session.told) == len(rows) > 25
    assert stage.request("/")[1].count(key_table()) == 1


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_wish_is_one_line_and_changes_nothing(
    stage: Stage, control: ClientConnection, name: str, value: object
) -> None:
    answer = ask(control, json.dumps({"do": name, "value": value, "number": 1}))
    assert answer["error"] and "\n" not in str(answer["error"])
    assert stage.session.told == []


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan"), 1e300, 0.5, True, "1", None])
def test_a_portrait_that_cannot_be_meant_is_wrong_use(value: object) -> None:
    with pytest.raises(WrongUse, match="portrait"):
        obey(ScriptedSession((Path("a.jpg"),)), "select", value)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", NO_COMMANDS, ids=lambda text: text[:12])
def test_what_is_no_command_is_answered_and_the_page_stays_connected(
    stage: Stage, control: ClientConnection, text: str
) -> None:
    assert "expected" in str(ask(control, text)["error"])
    assert stage.session.told == []
    assert ask(control, '{"do": "next"}')["error"] == ""


@pytest.mark.parametrize("number", ['"\\ud800"', "[1]", '{"a": 1}', "true", "null", '"7"'])
def test_a_number_that_is_none_is_answered_without_one(
    stage: Stage, control: ClientConnection, number: str
) -> None:
    assert ask(control, f'{{"do": "next", "number": {number}}}') == {"answer": None, "error": ""}


def refuse_constants(text: str) -> float:
    raise AssertionError(f"{text} is no JSON")


def test_what_the_page_is_sent_is_json_whatever_a_disk_calls_its_files(stage: Stage) -> None:
    stage.session.portraits = (Path("caf\udce9.jpg"), Path("日本.jpg"), Path("a\nb.jpg"))
    with stage.socket("/control") as socket:
        for _ in range(2):
            state = json.loads(socket.recv(timeout=2), parse_constant=refuse_constants)["state"]
            assert [each["name"] for each in state["portraits"]] == ["caf\udce9", "日本", "a\nb"]
        assert ask(socket, '{"do": "x\\ud800"}')["error"]


@pytest.mark.parametrize(
    "number", ["9" * 5000, "9" * 30, "2", "-1", "1e0", "+1", "０", "²", "0x0", "0 ", "", "%00", "..%2f0"]
)
def test_a_portrait_that_is_not_there_is_not_found(
    stage: Stage, number: str, caplog: pytest.LogCaptureFixture
) -> None:
    stage.session.portraits = (Path("a.jpg"), Path("b.jpg"))
    response, body = stage.request(f"/portraits/{quote(number, safe='%')}.jpg")
    assert response.status == 404 and b"a.jpg" not in body
    assert caplog.text == ""


def test_the_state_comes_by_itself_and_is_json(stage: Stage, control: ClientConnection) -> None:
    first = json.loads(control.recv(timeout=HANG_S))["state"]
    second = json.loads(control.recv(timeout=HANG_S))["state"]
    assert first["fps"] == 29.5 and first["latency_p95_ms"] is None  # nan is no JSON
    assert [each["name"] for each in first["portraits"]] == ["a", "b"]
    assert first["method"] == "mesh" and first["camera"] is True
    assert first["upload_limit"] == 1_000_000
    assert stage.server.token not in json.dumps(first)
    assert second["portraits"] == first["portraits"]  # keys are stable, thumbnails are not fetched again


def test_a_slow_command_does_not_hold_up_the_picture_of_others() -> None:
    with serve() as stage, stage.socket("/control") as one, stage.socket("/control") as two:
        stage.session.free.clear()
        one.send('{"do": "next"}')
        for _ in range(3):
            two.recv(timeout=HANG_S)
        assert stage.session.told == []
        stage.session.free.set()
        assert wait_until(lambda: stage.session.told == [("next",)])


def test_an_uploaded_photo_is_kept_and_shown(stage: Stage) -> None:
    photo = jpeg(size=(320, 240))
    response, body = stage.request("/portraits?name=My%20photo.jpg", method="POST", body=photo)
    assert response.status == 200 and json.loads(body)["added"].startswith("My photo")
    ((word, path),) = stage.session.told
    assert word == "add" and isinstance(path, Path) and path.read_bytes() == photo
    again = json.loads(stage.request("/portraits?name=My%20photo.jpg", method="POST", body=photo)[1])
    assert again["added"] != path.stem  # a second one of that name does not replace the first


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "photo.jpg"),
        (b"a text file named .jpg" * 50, "photo.jpg"),
        (jpeg(size=(320, 240))[:900], "photo.jpg"),
        (jpeg(size=(1, 1)), "1 x 1"),
    ],
    ids=["empty", "text", "cut", "one pixel"],
)
def test_an_upload_that_is_no_photo_is_one_line_and_leaves_nothing(
    stage: Stage, tmp_path: Path, data: bytes, said: str
) -> None:
    response, body = stage.request("/portraits?name=photo.jpg", method="POST", body=data)
    line = json.loads(body)["error"]
    assert response.status == 422 and said in line and "\n" not in line
    assert stage.session.told == []


def test_a_photo_the_session_refuses_says_why(stage: Stage) -> None:
    _, body = stage.request("/portraits?name=refused.jpg", method="POST", body=jpeg(size=(320, 240)))
    assert json.loads(body)["error"].endswith("crop it")


def test_a_photo_beyond_the_limit_is_refused_before_it_is_read(stage: Stage) -> None:
    response, body = stage.request("/portraits?name=big.jpg", method="POST", body=b"\xff" * 1_200_000)
    assert response.status == 413
    assert "expected at most 1 MB" in json.loads(body)["error"]
    assert stage.session.told == []


def test_a_refused_upload_leaves_no_file(tmp_path: Path) -> None:
    with serve(uploads=tmp_path) as stage:
        stage.request("/portraits?name=photo.jpg", method="POST", body=b"no photo")
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "..\\..\\x.jpg",
        "/abs.jpg",
        ".hidden",
        "",
        "a\0b.jpg",
        "n" * 500 + ".jpg",
        "ü\n.png",
        "𝔄" * 80 + ".jpg",
        "日" * 300,
        "x." + "𝔄" * 80,
        "caf\udce9.jpg",
    ],
    ids=lambda name: ascii(name)[:20],
)
def test_an_uploads_name_stays_in_its_folder_and_every_disk_takes_it(name: str) -> None:
    safe = safe_name(name)
    assert Path(safe).name == safe and safe.isprintable()
    assert not safe.startswith(".") and len(safe.encode()) < 100 and "." in safe


def test_a_photo_with_a_name_of_four_byte_letters_is_taken(stage: Stage) -> None:
    for _ in range(2):  # the second one of that name gets a number
        address = f"/portraits?name={quote('𝔄' * 80)}.jpg"
        response, body = stage.request(address, method="POST", body=jpeg(size=(320, 240)))
        assert response.status == 200 and json.loads(body)["added"].startswith("𝔄𝔄")


@pytest.mark.parametrize(
    ("error", "cure"),
    [
        (OSError(28, "No space left on device"), "free some space"),
        (OSError(36, "File name too long"), "rename"),
    ],
)
def test_a_disk_that_takes_no_photo_is_said_with_its_cure(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, error: OSError, cure: str
) -> None:
    def fails(path: Path, data: bytes) -> int:
        raise error

    monkeypatch.setattr(Path, "write_bytes", fails)
    response, body = stage.request("/portraits?name=a.jpg", method="POST", body=jpeg(size=(320, 240)))
    line = json.loads(body)["error"]
    assert response.status == 507 and cure in line and line.startswith("a.jpg cannot be stored")


def test_a_thumbnail_is_small_upright_and_made_once(stage: Stage, tmp_path: Path) -> None:
    photo = tmp_path / "tall.jpg"
    photo.write_bytes(jpeg(size=(600, 900)))
    stage.session.portraits = (photo, tmp_path / "gone.jpg")
    response, body = stage.request("/portraits/0.jpg")
    thumbnail = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
    assert response.status == 200 and thumbnail.shape[:2] == (288, 192)
    assert stage.request("/portraits/1.jpg")[0].status == 404
    assert stage.request("/portraits/7.jpg")[0].status == 404
    shelf = Shelf(tmp_path)
    assert shelf.thumbnail(photo) is shelf.thumbnail(photo)
