# SPDX-License-Identifier: MIT
"""The runner keeps two frames apart on three streams, makes nothing in the loop, and says when a GPU died.

The device is a fake that finds races; that it finds them is tested first.
"""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fake_device import COPY_MS, FakeDevice, FakeStage, Misuse

from engines.base import Array, Provenance, TensorSpec
from engines.device_runner import DeviceRunner
from face.errors import EngineUnavailable

DELTA = TensorSpec("delta", (1, 4))
DELTA_AGAIN = TensorSpec("again", (1, 4))
W = TensorSpec("w", (1, 3))
IMAGE = TensorSpec("image", (2, 3), "uint8")
PROVENANCE = Provenance(Path("live"), "torch", "fake 1", "fake GPU")
MATRIX = np.random.default_rng(5).standard_normal((4, 3)).astype(np.float32)
MAPPING_MS, DRAWING_MS = 0.5, 2.0


def mapped(delta: Array) -> Array:
    return delta @ MATRIX


def drawn(w: Array) -> Array:
    return np.broadcast_to(np.clip(w * 20 + 128, 0, 255), (2, 3)).astype(np.uint8)


def stages(device: FakeDevice) -> list[FakeStage]:
    return [
        FakeStage("mapping", device, (DELTA,), (W,), mapped, ms=MAPPING_MS),
        FakeStage("drawing", device, (W,), (IMAGE,), drawn, ms=DRAWING_MS),
    ]


def open_runner(device: FakeDevice, *, slots: int = 2, graphs: bool = True) -> DeviceRunner:
    return DeviceRunner(device, stages(device), provenance=PROVENANCE, slots=slots, graphs=graphs)


def deltas(n: int) -> list[Array]:
    return list(np.random.default_rng(7).standard_normal((n, 1, 4)).astype(np.float32))


def overlapped(runner: DeviceRunner, frames: list[Array]) -> list[Array]:
    """Every frame's image, the next one given before the last one is fetched."""
    images = []
    runner.submit(delta=frames[0])
    for frame in frames[1:]:
        runner.submit(delta=frame)
        images.append(runner.collect()["image"].copy())
    images.append(runner.collect()["image"].copy())
    return images


# -- the fake finds what it is there to find


def copy_forgetting(device: FakeDevice, *, wait: bool) -> None:
    """In on one stream, out on another, with or without the event between."""
    first, second, event = device.stream(), device.stream(), device.event()
    here, there, back = device.host_buffer(W), device.device_buffer(W), device.host_buffer(W)
    device.copy_in(there, here, first)
    device.record(event, first)
    if wait:
        device.wait(second, event)
    device.copy_out(back, there, second)


def test_fake_tells_an_ordered_copy_from_a_race() -> None:
    copy_forgetting(FakeDevice(), wait=True)
    with pytest.raises(Misuse, match="w is read by stream \\d+ while it is written"):
        copy_forgetting(FakeDevice(), wait=False)


def test_fake_finds_pinned_memory_touched_too_early() -> None:
    device = FakeDevice()
    stream, event = device.stream(), device.event()
    here, there = device.host_buffer(W), device.device_buffer(W)
    here.array.fill(1)
    device.copy_in(there, here, stream)
    with pytest.raises(Misuse, match="host buffer w is written by host while it is read"):
        here.array.fill(2)
    device.record(event, stream)
    device.synchronise(event)
    here.array.fill(2)  # now it may be


@pytest.mark.parametrize("made", ["stream", "event", "host_buffer", "device_buffer"])
def test_fake_finds_what_is_made_in_the_loop(made: str) -> None:
    device = FakeDevice()
    device.freeze()
    with pytest.raises(Misuse, match="inside the loop"):
        getattr(device, made)(*([W] if "buffer" in made else []))


def test_fake_finds_the_default_stream_the_cold_capture_and_the_second_thread() -> None:
    device = FakeDevice()
    stage = stages(device)[0]
    buffers = {"delta": device.device_buffer(DELTA), "w": device.device_buffer(W)}
    stream = device.stream()
    with pytest.raises(Misuse, match="default stream"):
        device.copy_in(buffers["w"], device.host_buffer(W), None)
    with pytest.raises(Misuse, match="captured before it was warmed up"):
        device.capture(stream, lambda: stage.enqueue(buffers, stream))
    stage.enqueue(buffers, stream)
    with pytest.raises(Misuse, match="two streams"):
        stage.enqueue(buffers, device.stream())
    found: list[str] = []

    def elsewhere() -> None:
        try:
            stage.enqueue(buffers, stream)
        except Misuse as misuse:
            found.append(str(misuse))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert found == ["the context of mapping was used from two threads"]


# -- the runner


def test_a_runner_may_be_opened_in_one_thread_and_run_in_another() -> None:
    device = FakeDevice()
    frame = deltas(1)[0]
    with open_runner(device) as runner:
        device.freeze()
        images: list[Array] = []
        thread = threading.Thread(target=lambda: images.append(runner.run(delta=frame)["image"]))
        thread.start()
        thread.join()
        np.testing.assert_array_equal(images[0], drawn(mapped(frame)))
        with pytest.raises(Misuse, match="used from two threads"):
            runner.run(delta=frame)
        device.freeze()  # closed where it was opened


@pytest.mark.parametrize("graphs", [True, False])
@pytest.mark.parametrize("slots", [1, 2, 3])
def test_frames_come_back_as_computed_one_by_one(slots: int, graphs: bool) -> None:
    frames = deltas(9)
    device = FakeDevice()
    with open_runner(device, slots=slots, graphs=graphs) as runner:
        device.freeze()
        if slots > 1:
            images = overlapped(runner, frames)
        else:
            images = [runner.run(delta=frame)["image"] for frame in frames]
    for frame, image in zip(frames, images, strict=True):
        np.testing.assert_array_equal(image, drawn(mapped(frame)))
    assert len({image.tobytes() for image in images}) == len(frames)


def test_nothing_leaves_the_device_between_the_stages_and_the_graphs_do_the_work() -> None:
    device = FakeDevice()
    with open_runner(device) as runner:
        device.log.clear()
        runner.run(delta=deltas(1)[0])
        assert device.log == ["copy in", "replay mapping", "replay drawing", "copy out"]


@pytest.mark.parametrize("skipped", [1, 2])
def test_each_wait_of_a_frame_is_needed(skipped: int) -> None:
    with pytest.raises(Misuse, match="while it is (read|written)"):
        open_runner(FakeDevice(skip_wait=skipped))


def test_a_frame_takes_exactly_the_waits_just_shown_to_be_needed() -> None:
    device = FakeDevice()
    with open_runner(device) as runner:
        before = device.waits
        runner.run(delta=deltas(1)[0])
        assert device.waits - before == 2


def test_events_give_the_time_of_each_stage() -> None:
    device = FakeDevice()
    with open_runner(device) as runner:
        runner.run(delta=deltas(1)[0])
        times = runner.times
    assert times is not None
    assert runner.stage_names == ("mapping", "drawing")
    assert times.stages == (MAPPING_MS, DRAWING_MS)
    assert (times.copy_in, times.copy_out) == (COPY_MS, COPY_MS)
    assert times.total == MAPPING_MS + DRAWING_MS + 2 * COPY_MS


def test_warming_up_feeds_zeros_and_not_what_lay_in_memory() -> None:
    seen = []
    device = FakeDevice()
    stage = FakeStage(
        "look", device, (DELTA,), (DELTA_AGAIN,), lambda delta: seen.append(delta.copy()) or delta
    )
    DeviceRunner(device, [stage], provenance=PROVENANCE).close()
    assert seen and not np.any(seen)


def test_a_frame_is_copied_in_while_another_is_computed() -> None:
    """Device time of n frames: overlapped, only the first copy in and the last copy out add to computing."""
    device = FakeDevice()
    n = 20
    with open_runner(device) as runner:
        start = runner._compute.now_ms
        overlapped(runner, deltas(n))
        spent = runner._compute.now_ms - start
    assert n * (MAPPING_MS + DRAWING_MS) <= spent <= n * (MAPPING_MS + DRAWING_MS) + 2 * COPY_MS


def test_more_frames_than_slots_and_fewer_than_one_are_refused() -> None:
    frame = deltas(1)[0]
    with open_runner(FakeDevice()) as runner:
        with pytest.raises(ValueError, match="no frame is under way"):
            runner.collect()
        runner.submit(delta=frame)
        runner.submit(delta=frame)
        with pytest.raises(ValueError, match="2 frames are under way"):
            runner.submit(delta=frame)
        with pytest.raises(ValueError, match="collect them first"):
            runner.run(delta=frame)


def test_collected_arrays_stay_until_their_slot_is_used_again() -> None:
    frames = deltas(3)
    with open_runner(FakeDevice()) as runner:
        runner.submit(delta=frames[0])
        runner.submit(delta=frames[1])
        first = runner.collect()["image"]
        runner.collect()
        np.testing.assert_array_equal(first, drawn(mapped(frames[0])))
        runner.submit(delta=frames[2])
        assert (first == 0xA5).all()  # the fake's poison: this memory is the device's again


def test_a_failing_device_is_one_line_now_and_at_every_later_call() -> None:
    probe = FakeDevice()
    open_runner(probe).close()
    device = FakeDevice(fails_at=probe.operations + 6)  # within the second frame
    runner = open_runner(device)
    frame = deltas(1)[0]
    runner.run(delta=frame)
    runner.submit(delta=frame)  # given to the device: it fails later
    with pytest.raises(EngineUnavailable, match="illegal memory access") as raised:
        runner.collect()
    assert "\n" not in str(raised.value) and "--engine" in str(raised.value)
    for call in (lambda: runner.submit(delta=frame), runner.collect):
        with pytest.raises(EngineUnavailable, match="illegal memory access"):
            call()
    runner.close()
    assert device.closes == 1


def test_a_device_that_fails_while_opening_is_closed_again() -> None:
    device = FakeDevice(fails_at=3)
    with pytest.raises(EngineUnavailable, match="mapping, drawing"):
        open_runner(device)
    assert device.closes == 1


def test_closing_waits_for_frames_under_way_and_closes_each_part_once() -> None:
    device = FakeDevice()
    parts = stages(device)
    runner = DeviceRunner(device, parts, provenance=PROVENANCE)
    runner.submit(delta=deltas(1)[0])
    stream = runner._copy_out
    runner.close()
    runner.close()
    assert stream.ran == len(stream.work)
    assert [part.closes for part in parts] == [1, 1] and device.closes == 1
    with pytest.raises(ValueError, match="closed"):
        runner.submit(delta=deltas(1)[0])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: [FakeStage("a", d, (TensorSpec("x", ("n", 2)),), (W,), mapped)], "expected fixed sizes"),
        (
            lambda d: [stages(d)[0], FakeStage("b", d, (TensorSpec("w", (1, 9)),), (IMAGE,), drawn)],
            "b takes",
        ),
        (lambda d: [stages(d)[0], FakeStage("b", d, (W,), (DELTA,), drawn)], "makes delta"),
    ],
)
def test_stages_that_do_not_fit_together_are_refused(
    change: Callable[[FakeDevice], list[FakeStage]], said: str
) -> None:
    device = FakeDevice()
    with pytest.raises(ValueError, match=said):
        DeviceRunner(device, change(device), provenance=PROVENANCE)


def test_arrays_that_do_not_fit_are_refused_before_the_device_sees_them() -> None:
    device = FakeDevice()
    with open_runner(device) as runner:
        before = device.operations
        with pytest.raises(ValueError, match="delta has shape"):
            runner.submit(delta=np.zeros((1, 5), np.float32))
        with pytest.raises(TypeError, match="expected \\['delta'\\]"):
            runner.submit(w=np.zeros((1, 3), np.float32))
        assert device.operations == before
