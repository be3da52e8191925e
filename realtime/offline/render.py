# SPDX-License-Identifier: MIT
"""A driving clip onto a portrait, offline: every frame, the same each time. Knows no camera."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import cv2
import numpy as np

from face.arrays import Image
from face.calibration import neutral_of
from face.errors import BadMotion, BadVideo
from face.frame import Frame
from face.gain import gain_of, gained
from face.motion import Motion
from methods.method import Puppet
from realtime.badge import Badge
from realtime.pipeline import Item, Step, play
from realtime.sinks.file import FileSink
from realtime.sources import open_source
from realtime.stats import LineStats
from realtime.tracker.face_tracker import FaceTracker

FACE_SEEN = 0.999  # confidence of a frame in which the face was tracked

Progress = Callable[[str, int], None]  # what is done to frames, and to how many it was done


@dataclass(frozen=True, slots=True)
class Tracked:
    """The motion of a whole clip."""

    motions: tuple[Motion, ...]
    faceless: int  # frames without a face: the portrait eases to its rest there


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a render made."""

    out: Path
    frames: int
    faceless: int
    stats: LineStats


def track_clip(
    driving: Path,
    *,
    mirror: bool = False,
    smoothing: float = 1.0,
    relative: bool = True,
    gains: Mapping[str, float] | None = None,
    on_progress: Progress | None = None,
) -> Tracked:
    """The motion of every frame of a clip, against the clip's own most neutral instant.

    Raises BadVideo when no frame shows a face.
    """
    motions: list[Motion] = []

    def tell(frame: Frame) -> None:
        if on_progress is not None:
            on_progress("tracking", len(motions))

    with (
        open_source(str(driving), live=False) as source,
        FaceTracker(smoothing=smoothing, mirror=mirror, relative=relative) as tracker,
    ):

        def keep(frame: Frame) -> Image:
            at_s = frame.index / source.fps if frame.media_s is None else frame.media_s
            motions.append(replace(tracker(frame), captured_s=at_s))
            return frame.image

        play(source, Step("tracker", keep), sink=_Nowhere(), on_delivered=tell)
    faceless = sum(motion.confidence < FACE_SEEN for motion in motions)
    if not any(motion.confidence > 0 for motion in motions):
        raise BadVideo(
            f"{driving}: no face in any of {len(motions)} frames, expected one that faces the camera and is "
            "at least 8 % of the picture wide; "
            "use another clip"
        )
    neutral = replace(neutral_of(motions), neutral=None)
    gain = gain_of(gains or {})
    gauged = (gained(motion, neutral, gain) for motion in motions)
    if not relative:
        return Tracked(tuple(replace(motion, neutral=None) for motion in gauged), faceless)
    return Tracked(tuple(gauged), faceless)


def tracked_clip_of(motions: Sequence[Motion]) -> Tracked:
    """A clip that was tracked earlier."""
    return Tracked(tuple(motions), sum(motion.confidence < FACE_SEEN for motion in motions))


def refined(puppet: Puppet, tracked: Tracked, *, on_progress: Progress | None = None) -> Puppet:
    """The puppet corrected for this clip by reading its own pictures, where its method can."""
    done = 0

    def tell() -> None:
        nonlocal done
        done += 1
        if on_progress is not None:
            on_progress("refining", done)

    return puppet.refined(tracked.motions, on_frame=tell)


def render(
    puppet: Puppet,
    driving: Path,
    out: Path,
    tracked: Tracked,
    *,
    compare: bool = False,
    mirror: bool = False,
    audio: bool = True,
    badge: bool = False,
    on_progress: Progress | None = None,
) -> Rendered:
    """Draw a tracked clip into `out`; with `compare` the driver and the portrait stand beside the result.

    A render that fails or is interrupted leaves no file. Raises BadMotion when the motion is of another clip.
    """
    mark = Badge()

    def draw(frame: Frame) -> Image:
        if frame.index >= len(tracked.motions):
            raise BadMotion(
                f"the motion has {len(tracked.motions)} frames, {driving} has more: it is of another clip; "
                "leave --motion out"
            )
        image = puppet(tracked.motions[frame.index], frame)
        return mark(image) if badge else image

    def beside(item: Item) -> Image:
        image = item.latest(np.ndarray)
        assert image is not None
        driver = item.frame.image[:, ::-1] if mirror else item.frame.image
        return side_by_side([driver, puppet.portrait, image]) if compare else image

    def tell(frame: Frame) -> None:
        if on_progress is not None:
            on_progress("drawing", frame.index + 1)

    steps = [Step("puppet", draw), *([Step("compare", beside, wants_item=True)] if compare else [])]
    with (
        open_source(str(driving), live=False) as source,
        FileSink(out, fps=source.fps, live=False, audio_from=driving if audio else None) as sink,
    ):
        stats = play(source, *steps, sink=sink, on_delivered=tell)
    return Rendered(out, stats.delivered, tracked.faceless, stats)


def side_by_side(images: list[Image]) -> Image:
    """The pictures in a row, all as high as the last one, which keeps its size."""
    height = images[-1].shape[0]
    row = [
        image
        if image.shape[0] == height
        else cv2.resize(
            image,
            (max(1, round(image.shape[1] * height / image.shape[0])), height),
            interpolation=cv2.INTER_AREA if image.shape[0] > height else cv2.INTER_CUBIC,
        )
        for image in images
    ]
    return np.ascontiguousarray(np.concatenate(row, axis=1), dtype=np.uint8)


class _Nowhere:
    """A Sink that keeps nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        return None

    def __call__(self, frame: Frame) -> None:
        return None
