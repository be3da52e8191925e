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
from face.calibration import FIRST_SIGHT_S, ON_DEMAND_S, NeutralEstimate
from face.frame import Frame
from face.gain import apply_gain, gain_of
from face.gaze import gaze_of
from face.idle import IdleMotion
from face.motion import LANDMARKS, Motion
from face.motion_vector import (
    CENTRE,
    GAZE,
    LOG_SCALE,
    SHAPE,
    SIZE,
    landmarks_of,
    mirrored,
    motion_of,
    resting_vector,
    vector_of,
)
from face.smoothing import MotionSmoother
from face.spring import Spring
from realtime.tracker.follow import Detector, FaceDetector, Follower
from realtime.tracker.neutrals import KeptNeutral, NeutralStore

HOLD_S = 0.25  # a face missing for less than this is waited for without moving
LOST_S = 0.5  # to ease from the last motion to idling, and confidence from 1 to 0
FOUND_S = 0.3  # to ease from idling to the face that was found
NEUTRAL_S = 0.6  # to ease to another neutral
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


class Neutral:
    """The driver's rest, from the first sight of a face on; it glides whenever it changes."""

    def __init__(self, kept: KeptNeutral | None) -> None:
        self._kept = kept
        self._estimate = NeutralEstimate(FIRST_SIGHT_S)
        self._seat_only = kept is not None and kept.chosen  # the face is known, only where it sits is not
        self._asked = False
        self._fresh = True  # the estimate has seen nothing yet
        self._target: Floats | None = None
        self._arrival = Spring(SIZE)  # in step with the face that arrives, so that the portrait does not stir
        self._drift = Spring(SIZE)  # of a face that is there
        self._value = resting_vector() if kept is None else kept.vector
        self.version = 0  # rises with every change of the value

    def __call__(self, dt_s: float) -> Floats:
        """The neutral `dt_s` later."""
        if self._target is not None and not (self._arrival.settled and self._drift.settled):
            self._value = self._target + self._arrival(dt_s) + self._drift(dt_s)
            self.version += 1
        return self._value

    def ask(self) -> None:
        """The next ON_DEMAND_S of the face are its rest."""
        self._estimate, self._seat_only, self._asked = NeutralEstimate(ON_DEMAND_S), False, True
        self._fresh = False

    def start_anew(self, *, same_person: bool) -> None:
        """Measure as at the start. Of the same person, a rest that was asked for stays, all but its place."""
        if not same_person:
            self._kept = None
        self._estimate, self._asked = NeutralEstimate(FIRST_SIGHT_S), False
        self._seat_only = self._kept is not None and self._kept.chosen
        self._fresh = True

    def see(self, vector: Floats, dt_s: float) -> KeptNeutral | None:
        """One more tracked instant. Returns the rest at the moment it is measured anew, else None."""
        if self._estimate.done:
            return None
        self._estimate.add(vector, dt_s)
        done = self._estimate.done
        if self._asked and not done and self._target is not None:
            return None  # what holds now stays until the new rest is known
        found = self._estimate()
        if self._kept is not None and (self._seat_only or not done):
            seen, found = found, self._kept.vector.copy()
            found[CENTRE], found[LOG_SCALE] = seen[CENTRE], seen[LOG_SCALE]
        jump = (self._value if self._target is None else self._target) - found
        if self._fresh or self._target is None:
            self._arrival.jump(jump, FOUND_S)
        else:
            self._drift.jump(jump, NEUTRAL_S)
        self._target, self._fresh = found, False
        if not done:
            return None
        self._kept = KeptNeutral(found, self._asked or self._seat_only)
        return None if self._seat_only else self._kept

    def arrive(self) -> None:
        """Be where the glide leads, at once."""
        if self._target is not None:
            self._arrival.stop()
            self._drift.stop()
            self._value = self._target
            self.version += 1


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
        self._calibrate = False

    def __enter__(self) -> Self:
        self._detector.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._detector.__exit__(*exc_info)
        if self._store is not None and self._measured is not None:  # now: a slow disk would halt the picture
            self._store.save(self._source_name, self._measured)

    def calibrate(self) -> None:
        """Take the next half second of the face for its rest, and keep it for the next run."""
        self._calibrate = True

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
            target = self._without_face(dt_s)
        else:
            target = self._with_face(face, size, dt_s)
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

    def _with_face(self, face: Face, size: tuple[int, int], dt_s: float) -> Floats:
        raw = vector_of(
            face.landmarks, size, rotation=face.rotation, gaze=np.zeros(2), blendshapes=face.blendshapes
        )
        gaze, trust = gaze_of(raw[SHAPE].reshape(LANDMARKS, 3), face.blendshapes)
        self._gaze = raw[GAZE] = self._gaze + trust * (gaze - self._gaze)  # shut eyes look where they looked
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
        if self._calibrate:
            self._calibrate = False
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
