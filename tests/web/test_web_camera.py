# SPDX-License-Identifier: MIT
"""The browser as a camera: what arrives is handed on, newest first; what is no picture harms nothing."""

import json
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
from waiting import HANG_S, STUCK_S, wait_until
from web_stage import Stage, jpeg
from websockets.exceptions import ConnectionClosed

from face.frame import Frame
from realtime.web.camera import LARGEST_BLOB, BadBlob, BrowserSource

JPEG_TOLERANCE = 6  # grey levels an even colour may move in an encoded picture
NOISE = np.random.default_rng(7).integers(0, 255, (48, 64, 3), np.uint8)
WHOLE = jpeg(NOISE)

BROKEN = {
    "nothing": b"",
    "text": b"<html>no picture</html>",
    "cut in half": WHOLE[: len(WHOLE) // 2],
    "without its last bytes": WHOLE[:-2],
    "a header alone": WHOLE[:24],
    "PNG": jpeg(suffix=".png"),
    "WebP cut in half": jpeg(NOISE, suffix=".webp")[:600],
    "too many bytes": WHOLE + b"\0" * LARGEST_BLOB,
    "a side too long": jpeg(size=(4000, 20)),
    "too small": jpeg(size=(8, 8)),
    "noise behind a JPEG's beginning": b"\xff\xd8\xff" + bytes(range(256)) * 20,
}


class Reader:
    """Iterates a source in a thread and keeps every frame."""

    def __init__(self, source: BrowserSource) -> None:
        self._source = source
        self.frames: list[Frame] = []
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Reader":
        self._source.__enter__()
        self.thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._source.close()
        self.thread.join(HANG_S)

    def _run(self) -> None:
        for frame in self._source:
            self.frames.append(frame)

    def colours(self) -> set[tuple[int, ...]]:
        """The first pixel of each frame so far, except the idle grey."""
        firsts = (tuple(int(v) for v in frame.image[0, 0]) for frame in self.frames)
        return {first for first in firsts if first != (96, 96, 96)}


@pytest.fixture
def reader() -> Iterator[Reader]:
    with Reader(BrowserSource(pause_s=0.1, idle_fps=50)) as reading:
        yield reading


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_a_blob_becomes_an_rgb_frame(suffix: str) -> None:
    source = BrowserSource()
    before_s = time.perf_counter()
    arrival = source.offer(jpeg(size=(80, 60), suffix=suffix))
    frame = next(iter(source))
    assert frame.image.shape == (60, 80, 3) and frame.image.dtype == np.uint8
    assert frame.image.flags.c_contiguous
    assert np.abs(frame.image.astype(int) - (40, 120, 200)).max() <= JPEG_TOLERANCE
    assert frame.captured_s == arrival.captured_s
    assert before_s <= frame.captured_s <= time.perf_counter()
    assert frame.media_s is None and source.live


def test_the_newest_blob_wins_and_the_gap_is_counted() -> None:
    source = BrowserSource()
    for level in (10, 60, 200):
        source.offer(jpeg(np.full((48, 64, 3), level, np.uint8)))
    frame = next(iter(source))
    assert abs(int(frame.image.mean()) - 200) <= JPEG_TOLERANCE
    assert frame.index == 2 and source.dropped == 2


@pytest.mark.parametrize("blob", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_blob_is_refused_in_one_line_and_the_line_goes_on(blob: bytes, reader: Reader) -> None:
    source = reader._source
    with pytest.raises(BadBlob) as refused:
        source.offer(blob)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 160
    assert source.refused == 1 and source.refusal == str(refused.value)
    source.offer(WHOLE)
    assert wait_until(lambda: any(frame.image.shape == (48, 64, 3) for frame in reader.frames))
    assert reader.thread.is_alive()


def test_a_blob_that_only_fails_in_the_decoder_is_skipped(reader: Reader) -> None:
    spoilt = bytearray(WHOLE)
    start = spoilt.index(b"\xff\xc4") + 5  # the counts of the first Huffman table
    spoilt[start : start + 16] = b"\xfe" * 16
    reader._source.offer(bytes(spoilt))
    assert wait_until(lambda: reader._source.refused == 1)
    reader._source.offer(WHOLE)
    assert wait_until(lambda: any(frame.image.shape == (48, 64, 3) for frame in reader.frames))


def test_a_page_that_closes_leaves_a_faceless_picture_and_coming_back_resumes(reader: Reader) -> None:
    source = reader._source
    source.offer(jpeg(np.full((48, 64, 3), 200, np.uint8)))
    assert wait_until(lambda: len(reader.colours()) == 1) and source.sending
    assert wait_until(lambda: bool((reader.frames[-1].image == 96).all()))
    assert not source.sending
    count = len(reader.frames)
    assert wait_until(lambda: len(reader.frames) >= count + 5)  # the line lives on
    source.offer(jpeg(np.full((48, 64, 3), 30, np.uint8)))
    assert wait_until(lambda: len(reader.colours()) == 2)
    captured = [frame.captured_s for frame in reader.frames]
    indices = [frame.index for frame in reader.frames]
    assert captured == sorted(captured) and indices == sorted(set(indices))


def test_a_picture_from_before_the_source_was_chosen_is_not_shown() -> None:
    source = BrowserSource(pause_s=0.1)
    source.offer(jpeg(np.full((48, 64, 3), 200, np.uint8)))  # a page sends while another source is on
    time.sleep(0.2)
    with source:
        frames = iter(source)
        assert (next(frames).image == 96).all(), "an old picture was shown"
        source.offer(WHOLE)
        assert next(frames).image.shape == (48, 64, 3)
    assert source.dropped == 1


def test_a_page_on_a_slow_computer_keeps_its_face_from_picture_to_picture(reader: Reader) -> None:
    source = reader._source
    for _ in range(4):  # five a second, where a pause is a tenth of one
        source.offer(WHOLE)
        time.sleep(0.2)
    shown = [frame.image.shape == (48, 64, 3) for frame in reader.frames]
    second = [number for number, own in enumerate(shown) if own][1]  # from here on its pace is known
    assert all(shown[second:]), "blank pictures stand between the page's"
    assert source.sending
    assert wait_until(lambda: bool((reader.frames[-1].image == 96).all()), 1.0), "it waits for ever"
    assert not source.sending


def test_closing_ends_the_iteration_at_once_and_it_can_be_opened_again() -> None:
    source = BrowserSource(pause_s=STUCK_S, idle_fps=1 / STUCK_S)
    with Reader(source) as reading:
        assert wait_until(lambda: len(reading.frames) == 1)
    assert not reading.thread.is_alive()
    with Reader(source) as again:
        source.offer(WHOLE)
        assert wait_until(lambda: any(frame.image.shape == (48, 64, 3) for frame in again.frames))


def test_the_rate_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr("realtime.web.camera.time", SimpleNamespace(perf_counter=lambda: now_s))
    source = BrowserSource()
    assert source.fps == 0
    for _ in range(24):
        source.offer(WHOLE)
        now_s += 0.08
    assert source.fps == 12, "of the last second"
    now_s += 1.0
    assert source.fps == 0


def test_the_socket_answers_every_picture_with_its_time_or_with_the_reason(stage: Stage) -> None:
    with stage.socket("/camera") as socket:
        socket.send(WHOLE)
        answer = _json(socket.recv(timeout=HANG_S))
        frame = next(iter(stage.camera))
        assert answer == {"captured_s": frame.captured_s}  # exactly: the page finds its picture by it
        for blob in BROKEN.values():
            socket.send(blob)
            assert "refused" in _json(socket.recv(timeout=HANG_S))
        socket.send("text instead of a picture")
        assert "refused" in _json(socket.recv(timeout=HANG_S))
        socket.send(WHOLE)
        assert "captured_s" in _json(socket.recv(timeout=HANG_S))


def test_a_message_beyond_all_measure_closes_that_socket_only(stage: Stage) -> None:
    with stage.socket("/camera") as socket:
        with pytest.raises(ConnectionClosed):
            socket.send(b"\xff\xd8" * (3 * LARGEST_BLOB))
            socket.recv(timeout=HANG_S)
    with stage.socket("/camera") as socket:
        socket.send(WHOLE)
        assert "captured_s" in _json(socket.recv(timeout=HANG_S))


def test_the_page_that_comes_last_sends(stage: Stage) -> None:
    with stage.socket("/camera") as first, stage.socket("/camera") as second:
        second.send(WHOLE)
        assert "captured_s" in _json(second.recv(timeout=HANG_S))
        with pytest.raises(ConnectionClosed) as told:
            first.recv(timeout=HANG_S)
        assert told.value.rcvd is not None and told.value.rcvd.code == 4001
        second.send(WHOLE)
        assert "captured_s" in _json(second.recv(timeout=HANG_S))


def _json(text: str | bytes) -> dict[str, object]:
    answer = json.loads(text)
    assert isinstance(answer, dict)
    return answer
