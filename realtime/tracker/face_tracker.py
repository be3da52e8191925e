# SPDX-License-Identifier: MIT
"""Frames to motions: the driver's face found, smoothed, set against its rest. Knows no camera, no puppet.

One vector a frame goes through it (face/motion_vector.py):

    the driver's face in the picture -> smoothed --+
                               no face: idling ----+-> glides over every jump -> gains -> Motion
    the neutral is gathered beside it, glides when it changes, and travels with every motion
"""

from collections.abc import Mapping
from typing import Self

import numpy as np

from engines.mediapipe_reader import Face
from face.arrays import Floats
from face.frame import Frame
from face.gain import apply_gain, gain_of
from face.gaze import gaze_of
from face.idle import IdleMotion
from face.motion import LANDMARKS, Motion
from face.motion_vector import (
    GAZE,
    SHAPE,
    SIZE,
    landmarks_of,
    mirrored,
    motion_of,
    vector_of,
    vector_of_motion,
)
from face.smoothing import MotionSmoother
from face.spring import Spring
from realtime.tracker.follow import Detector, FaceDetector, Follower
from realtime.tracker.neutral import FOUND_S, Neutral
from realtime.tracker.neutrals import KeptNeutral, NeutralStore

HOLD_S = 0.25  # a face missing for less than this is waited for without moving
LOST_S = 0.5  # to ease from the last motion to idling, and confidence from 1 to 0
AWAY_S = 5.0  # after this the driver has sat down anew
USUAL_DT_S = 1 / 30  # between frames whose times do not rise
SHORTEST_DT_S, LONGEST_DT_S = 0.004, 1.0


class FrameClock:
    """Seconds from frame to frame, whatever the frames' times do.

    The time in the file counts where there is one, the time of capture otherwise. A file that begins anew,
    equal times and pauses do not disturb it.
    """

    def __init__(self) -> None:
        self._last_s: float | None = None

    def __call__(self, frame: Frame) -> float:
        """Seconds since the last frame; 0 for the first."""
        now_s = frame.captured_s if frame.media_s is None else frame.media_s
        last_s, self._last_s = self._last_s, now_s
        if last_s is None:
            return 0.0
        dt_s = now_s - last_s
        return min(max(dt_s, SHORTEST_DT_S), LONGEST_DT_S) if dt_s > 0 else USUAL_DT_S


class FaceTracker:
    """The Tracker of a live or offline line. Settings may be changed from any thread, frames come from one.

    `gains` (pose, expression, eyes: 1 each) scale the movement against the neutral; `relative=False` gives
    motions without one; `mirror` gives them as of the mirror image of the picture. With a `store` the neutral
    of `source_name` is kept from run to run, written on leaving; `start_from_kept=False` measures it anew.
    `seed` decides the idle life. Raises ModelUnavailable on entering.
    """

    def __init__(
        self,
        detector: Detector | None = None,
        *,
        smoothing: float = 1.0,
        gains: Mapping[str, float] | None = None,
        mirror: bool = False,
        relative: bool = True,
        store: NeutralStore | None = None,
        source_name: str = "",
        start_from_kept: bool = True,
        seed: int = 0,
    ) -> None:
        self._detector: Detector = detector or FaceDetector()
        self._gain = gain_of(gains or {})
        self._mirror = mirror
        self._relative = relative
        self._store, self._source_name = store, source_name
        kept = store.load(source_name) if store is not None and start_from_kept else None
        self._clock = FrameClock()
        self._follow = Follower(self._detector)
        self._smoother = MotionSmoother()
        self.set_smoothing(smoothing)
        self._neutral = Neutral(kept)
        self._measured: KeptNeutral | None = None  # in this run
        self._published: tuple[tuple[int, tuple[int, int], bool], Motion] | None = None
        self._idle: IdleMotion | None = None  # None while there is a face
        self._idle_s = 0.0
        self._seed = seed
        self._glide = Spring(SIZE)
        self._target: Floats | None = None  # of the last frame, before gliding and gains
        self._gaze: Floats = np.zeros(2, np.float32)
        self._absent_s = 0.0  # since the face was last seen
        self._confidence = 0.0
        self._calibrate: Motion | bool = False
        self._tracked: tuple[Floats, tuple[int, int], bool, float] | None = None

    def __enter__(self) -> Self:
        self._detector.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._detector.__exit__(*exc_info)
        if self._store is not None and self._measured is not None:  # now: a slow disk would halt the picture
            self._store.save(self._source_name, self._measured)

    def calibrate(self, instant: Motion | None = None) -> None:
        """Take the next half second of the face for its rest, or an instant of `tracked`, and keep it for the
        next run.
        """
        self._calibrate = instant or True

    def tracked(self) -> Motion | None:
        """The face of the last frame as it was tracked, before smoothing and gains; None without one."""
        if self._tracked is None:
            return None
        raw, size, mirror, captured_s = self._tracked
        return motion_of(mirrored(raw) if mirror else raw, size, captured_s=captured_s, mirrored=mirror)

    def news(self) -> str:
        """One line about the rest, told once: that it was taken, or why not; "" for none."""
        line, self._neutral.news = self._neutral.news, ""
        return line

    def set_smoothing(self, value: float) -> None:
        """0 off, 1 the default, 2 twice as slow."""
        if not 0 <= value <= 2:
            raise ValueError(f"smoothing is {value}, expected 0 to 2")
        self._smoother.strength = value

    def set_gain(self, region: str, value: float) -> None:
        """`region`: pose, expression or eyes."""
        self._gain = gain_of({region: value}, self._gain)

    def set_mirror(self, on: bool) -> None:
        self._mirror = on

    def __call__(self, frame: Frame) -> Motion:
        """The motion of the driver in this frame; idling, with confidence going to 0, without one."""
        image, mirror = frame.image, self._mirror
        size = (image.shape[1], image.shape[0])
        dt_s = self._clock(frame)
        face = self._follow(image, dt_s)
        if face is None:
            self._tracked = None
            target = self._without_face(dt_s)
        else:
            raw = self._read(face, size)
            self._tracked = (raw, size, mirror, frame.captured_s)
            target = self._with_face(raw, dt_s)
        self._target = target
        neutral = self._neutral(dt_s)
        shown = apply_gain(target + self._glide(dt_s), neutral, self._gain)
        return motion_of(
            mirrored(shown) if mirror else shown,
            size,
            captured_s=frame.captured_s,
            confidence=self._confidence,
            neutral=self._neutral_motion(neutral, size, mirror, frame.captured_s) if self._relative else None,
            mirrored=mirror,
            seen=None if face is None else landmarks_of(mirrored(target) if mirror else target, size),
        )

    def _read(self, face: Face, size: tuple[int, int]) -> Floats:
        raw = vector_of(
            face.landmarks, size, rotation=face.rotation, gaze=np.zeros(2), blendshapes=face.blendshapes
        )
        gaze, trust = gaze_of(raw[SHAPE].reshape(LANDMARKS, 3), face.blendshapes)
        self._gaze = raw[GAZE] = self._gaze + trust * (gaze - self._gaze)  # shut eyes look where they looked
        return raw

    def _with_face(self, raw: Floats, dt_s: float) -> Floats:
        anew = self._follow.changed or self._absent_s > 0
        if self._follow.changed or self._absent_s >= AWAY_S:
            self._neutral.start_anew(same_person=not self._follow.changed)
        if anew:
            self._smoother.reset()
        smooth = self._smoother(raw, dt_s)
        if self._target is not None and anew:
            self._glide.jump(self._target - smooth, FOUND_S)
        self._learn_neutral(smooth, dt_s)
        self._confidence = min(1.0, self._confidence + dt_s / FOUND_S)
        if self._target is None:  # nobody has seen anything else yet
            self._neutral.arrive()
            self._confidence = 1.0
        self._absent_s, self._idle = 0.0, None
        return smooth

    def _without_face(self, dt_s: float) -> Floats:
        self._absent_s += dt_s
        self._confidence = max(0.0, self._confidence - dt_s / LOST_S)
        if self._target is not None and self._idle is None and self._absent_s < HOLD_S:
            return self._target
        rest = self._neutral(0.0)
        if self._idle is not None:
            self._idle_s += dt_s
            return self._idle(rest, self._idle_s)
        self._seed += 1  # every idling has a life of its own
        self._idle, self._idle_s = IdleMotion(self._seed), 0.0
        idling = self._idle(rest, self._idle_s)
        if self._target is not None:
            self._glide.jump(self._target - idling, LOST_S)
        return idling

    def _learn_neutral(self, vector: Floats, dt_s: float) -> None:
        asked, self._calibrate = self._calibrate, False
        if isinstance(asked, Motion):
            instant = vector_of_motion(asked)
            self._measured = self._neutral.adopt(mirrored(instant) if asked.mirrored else instant)
        elif asked:
            self._neutral.ask()
        self._measured = self._neutral.see(vector, dt_s) or self._measured

    def _neutral_motion(
        self, neutral: Floats, size: tuple[int, int], mirror: bool, captured_s: float
    ) -> Motion:
        """The same object as long as nothing changed, so that a puppet may keep what it made of it."""
        made_of = (self._neutral.version, size, mirror)
        if self._published is None or self._published[0] != made_of:
            vector = mirrored(neutral) if mirror else neutral
            self._published = (made_of, motion_of(vector, size, captured_s=captured_s))
        return self._published[1]
