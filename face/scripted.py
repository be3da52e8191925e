# SPDX-License-Identifier: MIT
"""A driver nobody had to film: scripted turns, speech, blinks and looks. Knows no picture and no clock."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from face.arrays import Floats
from face.face_model import LEFT_EYE_LOWER, LEFT_EYE_UPPER, RIGHT_EYE_LOWER, RIGHT_EYE_UPPER, face_model
from face.motion import BLENDSHAPE_INDEX, LANDMARKS, Motion
from face.pose import euler_angles, rotation_matrix

PERIOD_S = 10.0  # the script starts and ends at rest, so that it can be looped
GAZE_DEGREES = 30.0  # eye rotation at a look score of 1

# Channel: (time in s, value), joined by smooth steps. Angles in degrees, signs as Motion.rotation.
Keys = tuple[tuple[float, float], ...]
POSE_KEYS: dict[str, Keys] = {
    "yaw": (
        (0.6, 0), (1.2, 4), (1.9, -4), (2.7, 3), (3.4, 0), (4.3, 20), (4.7, 20), (5.6, -20), (6.0, -20),
        (6.7, 0), (8.2, 0), (8.8, -5), (9.6, 0),
    ),
    "pitch": (
        (0.6, 0), (1.4, 3), (2.3, -3), (3.2, 0), (6.7, 0), (7.0, 10), (7.35, -10), (7.7, 8), (8.05, 0),
        (8.8, 2), (9.6, 0),
    ),
    "roll": ((3.2, 0), (4.4, 3), (5.7, -3), (6.7, 0), (8.1, 0), (8.6, 9), (9.1, 9), (9.7, 0)),
    "gaze_yaw": (
        (2.2, 0), (2.35, 8), (2.9, 8), (3.05, 0), (3.6, 0), (3.75, 18), (4.9, 18), (5.0, -18), (6.1, -18),
        (6.25, 0), (8.1, 0), (8.2, -20), (8.6, -20), (8.7, 18), (9.05, 18), (9.2, 0),
    ),
    "gaze_pitch": ((6.7, 0), (7.0, -5), (7.35, 6), (7.7, 0), (8.6, 0), (8.7, 8), (9.05, 8), (9.2, 0)),
}  # fmt: skip
# Scores of blendshapes; those that move on both sides carry their name without Left and Right.
SCORE_KEYS: dict[str, Keys] = {
    "jawOpen": (
        (0.6, 0), (0.75, 0.35), (0.9, 0.08), (1.05, 0.45), (1.2, 0.05), (1.4, 0.3), (1.55, 0.12),
        (1.7, 0.5), (1.95, 0.02), (2.2, 0.02), (2.35, 0.4), (2.5, 0.1), (2.65, 0.35), (2.8, 0.05),
        (2.95, 0.55), (3.2, 0.1), (3.35, 0.25), (3.5, 0), (5.1, 0), (5.25, 0.3), (5.4, 0.08), (5.55, 0.35),
        (5.75, 0), (9.1, 0),
    ),
    "mouthFunnel": (
        (1.2, 0), (1.4, 0.4), (1.6, 0), (2.5, 0), (2.7, 0.45), (2.9, 0), (5.4, 0), (5.55, 0.3), (5.75, 0),
    ),
    "mouthPucker": ((1.9, 0), (2.1, 0.6), (2.3, 0), (3.15, 0), (3.3, 0.5), (3.5, 0)),
    "mouthSmile": (
        (0.9, 0), (1.05, 0.3), (1.3, 0), (3.5, 0), (3.9, 0.5), (4.9, 0.5), (5.2, 0), (8.0, 0), (8.5, 0.85),
        (9.3, 0.85), (9.8, 0),
    ),
    "mouthUpperUp": ((0.6, 0), (1.05, 0.25), (1.3, 0.05), (2.3, 0.25), (3.4, 0)),
    "mouthLowerDown": ((0.6, 0), (1.05, 0.3), (1.3, 0.05), (2.3, 0.3), (3.4, 0)),
    "browInnerUp": ((1.6, 0), (1.8, 0.5), (2.1, 0), (6.6, 0), (6.9, 0.7), (7.3, 0.7), (7.6, 0)),
    "browOuterUp": ((1.6, 0), (1.8, 0.4), (2.1, 0), (6.6, 0), (6.9, 0.6), (7.3, 0.6), (7.6, 0)),
    "browDown": ((2.8, 0), (3.0, 0.4), (3.3, 0)),
}  # fmt: skip
BLINKS_S = (0.35, 2.45, 3.85, 5.15, 6.35, 7.5, 9.45)
BLINK_SHUT_S, BLINK_OPEN_S = 0.10, 0.18  # lids fall faster than they rise
LIDS = (
    ("eyeBlinkRight", np.array(RIGHT_EYE_UPPER), np.array(RIGHT_EYE_LOWER)),
    ("eyeBlinkLeft", np.array(LEFT_EYE_UPPER), np.array(LEFT_EYE_LOWER)),
)


@dataclass(frozen=True, slots=True)
class Pose:
    """What the script asks for at one instant."""

    rotation: Floats  # (3,) degrees, as Motion.rotation
    gaze: Floats  # (2,) degrees, as Motion.gaze
    blendshapes: Floats  # (52,)


def scripted_pose(time_s: float) -> Pose:
    """The script at an instant; repeats every PERIOD_S."""
    at = time_s % PERIOD_S
    rotation = [_value(POSE_KEYS[channel], at) for channel in ("yaw", "pitch", "roll")]
    gaze_yaw, gaze_pitch = (_value(POSE_KEYS[channel], at) for channel in ("gaze_yaw", "gaze_pitch"))
    scores = {name: _value(keys, at) for name, keys in SCORE_KEYS.items()}
    scores["eyeBlink"] = max(_blink(at - start) for start in BLINKS_S)
    left, right, up, down = max(gaze_yaw, 0), max(-gaze_yaw, 0), max(gaze_pitch, 0), max(-gaze_pitch, 0)
    looks = {
        "eyeLookOutLeft": left, "eyeLookInRight": left, "eyeLookInLeft": right, "eyeLookOutRight": right,
        "eyeLookUp": up, "eyeLookDown": down,
    }  # fmt: skip
    scores |= {name: angle / GAZE_DEGREES for name, angle in looks.items()}
    blendshapes = np.zeros(len(BLENDSHAPE_INDEX), np.float32)
    for name, score in scores.items():
        for each in (name,) if name in BLENDSHAPE_INDEX else (f"{name}Left", f"{name}Right"):
            blendshapes[BLENDSHAPE_INDEX[each]] = score
    return Pose(np.array(rotation, np.float32), np.array((gaze_yaw, gaze_pitch), np.float32), blendshapes)


def scripted_clip(
    landmarks: NDArray[np.floating],
    image_size: tuple[int, int],
    *,
    fps: float = 30.0,
    seconds: float = PERIOD_S,
) -> Iterator[Motion]:
    """The script played by a face at rest: `landmarks` are (478, 3) pixels of a picture of `image_size`.

    `captured_s` counts from 0; every motion names the resting one as its neutral.
    """
    if landmarks.shape != (LANDMARKS, 3):
        raise ValueError(f"landmarks are {landmarks.shape}, expected ({LANDMARKS}, 3)")
    if fps <= 0 or seconds <= 0:
        raise ValueError(f"fps is {fps}, seconds is {seconds}; both must be positive")
    model = face_model()
    shape, head, scale, origin = model.unpose(landmarks)
    width, height = image_size
    centre = np.array((width / 2, height / 2), np.float32)
    rest = Motion(
        captured_s=0.0,
        rotation=euler_angles(head),
        translation=((origin[:2] - centre) / width).astype(np.float32),
        scale=scale / width,
        blendshapes=np.zeros(len(BLENDSHAPE_INDEX), np.float32),
        landmarks=landmarks.astype(np.float32),
        gaze=np.zeros(2, np.float32),
        confidence=1.0,
        image_size=image_size,
    )
    pivot = np.array((0.0, 1.1, 0.55), np.float32)  # the neck, behind and below the eyes, in eye distances
    for index in range(round(fps * seconds)):
        pose = scripted_pose(index / fps)
        turn = rotation_matrix(*pose.rotation) @ head
        moved_shape = _close_lids(
            shape + np.tensordot(pose.blendshapes, model.basis, 1), shape, pose.blendshapes
        )
        moved = origin + scale * (head - turn) @ pivot  # the head turns about the neck, not about the eyes
        yield replace(
            rest,
            captured_s=index / fps,
            rotation=euler_angles(turn),
            translation=((moved[:2] - centre) / width).astype(np.float32),
            blendshapes=pose.blendshapes,
            landmarks=(scale * moved_shape @ turn.T + moved).astype(np.float32),
            gaze=pose.gaze,
            neutral=rest,
        )


def _close_lids(moved: Floats, rest: Floats, scores: Floats) -> Floats:
    """Upper lids of (478, 3) `moved` laid on the lower ones by the blink scores; the basis leaves eyes
    ajar.
    """
    closed = moved.copy()
    for name, upper, lower in LIDS:
        score = scores[BLENDSHAPE_INDEX[name]]
        if score > 0:
            line = rest[lower] - 0.1 * (rest[lower] - rest[upper])  # the lower lid comes up a little
            closed[upper] = (1 - score) * rest[upper] + score * line
            closed[lower] = (1 - score) * moved[lower] + score * line
    return closed


def _value(keys: Keys, at: float) -> float:
    """Smooth steps through the keys; the first value before them, the last one after."""
    times, values = zip(*keys, strict=True)
    after = int(np.searchsorted(times, at))
    if after == 0:
        return float(values[0])
    if after == len(times):
        return float(values[-1])
    part = (at - times[after - 1]) / (times[after] - times[after - 1])
    part = part * part * (3 - 2 * part)
    return float(values[after - 1] + part * (values[after] - values[after - 1]))


def _blink(since_s: float) -> float:
    """Lid score some seconds after a blink began."""
    if not 0 <= since_s <= BLINK_SHUT_S + BLINK_OPEN_S:
        return 0.0
    part = since_s / BLINK_SHUT_S if since_s < BLINK_SHUT_S else 1 - (since_s - BLINK_SHUT_S) / BLINK_OPEN_S
    return float(part * part * (3 - 2 * part))
