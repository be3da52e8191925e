# SPDX-License-Identifier: MIT
"""From a driver's motion to a portrait's: what of it is expression, pose, lids and gaze. Knows no picture.

Offsets travel in the face model's frame, so the driver's head pose drops out and faces of other sizes fit.
Lids and lips
are contacts: they are transferred as openness, because an offset that just closes one person's eye leaves
another's ajar.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from engines.mediapipe_reader import Face
from evaluation.shape_follow import followed
from evaluation.shapes import shapes_of
from face.arrays import Floats
from face.face_model import (
    LEFT_EYE_LOWER,
    LEFT_EYE_UPPER,
    LEFT_IRIS,
    RIGHT_EYE_LOWER,
    RIGHT_EYE_UPPER,
    RIGHT_IRIS,
    SURFACE,
    FaceModel,
)
from face.motion import BLENDSHAPE_INDEX, BLENDSHAPES, Motion
from face.mouth_reader import MouthReader, directions
from face.pose import euler_angles, rotation_matrix
from methods.mesh.lips import Lips, corners_of, gaps_of, wanted_gaps, width_of
from methods.mesh.refinement import UNTRIMMED
from methods.mesh.response import (
    LEAST_STEEP,
    Response,
    corrections,
    features,
    jaw_and_smile,
    targets,
)
from methods.mesh.rig import PIVOT

# Skin that follows a lid margin, index by index of the seven inner lid points, and by which share.
RIGHT_LID_FOLD = ((247, 30, 29, 27, 28, 56, 190), (225, 225, 224, 223, 222, 221, 221))
LEFT_LID_FOLD = ((467, 260, 259, 257, 258, 286, 414), (445, 445, 444, 443, 442, 441, 441))
FOLD_SHARES = (0.12, 0.02)
SHUT_RATIO = 0.08  # a tracked eye that is shut still measures about this share of its open height
LOWER_LID_SHARE = 0.05  # of the way to closing that the lower lid comes up
GAP_SHARE = 0.3  # of the gap that the driver opens, by which lips may be opened more or less for a score
TIGHTEST_SKIN = 0.4  # of its length at rest that skin below the lip may shrink to
CHIN_COLUMNS = (
    (17, 18, 200, 199, 175, 152),
    (84, 83, 201, 208, 171, 148),
    (314, 313, 421, 428, 396, 377),
    (181, 182, 194, 211, 140, 176),
    (405, 406, 418, 431, 369, 400),
)
LOWEST_BROW = -0.1  # height in the model's frame
WIDEST_EYE = 1.2  # openness
YAW_LIMIT, PITCH_LIMIT = 36.0, 27.0  # degrees away from a photo that faces the camera, approached softly
LEAST_YAW = 9.0  # degrees that a half-turned portrait may still turn back
SHIFT_LIMIT = 0.55  # outer eye distances
BLINK = [BLENDSHAPE_INDEX["eyeBlinkLeft"], BLENDSHAPE_INDEX["eyeBlinkRight"]]
LIDS_STEEP = -2.5  # logits of the blink score by the eyes' openness, on most faces
HALF_SHUT = 0.5  # eyes less open than this are opened the less by a trim: a shut eye stays shut


@dataclass(frozen=True, slots=True)
class RigPose:
    """What a HeadRig and the eye and mouth painters need for one picture."""

    offsets: Floats  # (468, 3) expression in the model's frame
    turn: Floats  # (3, 3)
    shift: Floats  # (2,) outer eye distances
    zoom: float
    openness: tuple[float, float]  # right, left eye; 0 shut, 1 as in the photo, may exceed 1
    gaze: Floats  # (2,) shift of the irises in outer eye distances, x right, y down
    jaw: float  # chin drop against rest, outer eye distances
    jaw_shift: float  # sideways


@dataclass(frozen=True, slots=True)
class _Reading:
    """A driver's landmarks in the model's frame."""

    shape: Floats
    rotation: Floats
    scale: float
    pivot: Floats  # (2,) pixels
    eyes: tuple[float, float]  # openness as share of the eye's width


class Retargeter:
    """Carries drivers' motions over to one portrait; remembers the reading of the neutral it saw last."""

    def __init__(
        self, model: FaceModel, face_shape: Floats, rotation: Floats, response: Response | None = None
    ) -> None:
        self._model = model
        self._response = response
        self._drive = np.eye(3) if response is None else np.linalg.inv(response.turning)  # read turn to true
        self._read_mouth = MouthReader(model)
        below_brows = model.mean[:SURFACE, 1:2] > LOWEST_BROW  # brows are no matter of mouths' scores
        self._jaw, self._smile = directions(model)[:2] * below_brows
        self._portrait = face_shape  # (478, 3)
        self._contact = Lips(model, face_shape)
        self._rest_gaps = np.maximum(self._contact.rest, 0)
        self._rotation = rotation
        self._calm = np.zeros(2, np.float32)  # where the corners go for the score of a driver at rest
        if response is not None:
            still = np.zeros_like(face_shape[:SURFACE])
            at_rest = self._toward(still, targets(response, 0.0, 0.0), np.eye(3, dtype=np.float32), response)
            self._calm = corners_of(at_rest)
        self._neutral: Motion | None = None
        self._neutral_reading: _Reading | None = None

    def __call__(self, motion: Motion, trim: Floats = UNTRIMMED) -> RigPose:
        """The portrait's pose for a motion; trim (6,) adds to it, see refinement.py."""
        now = self._read(motion)
        rest = self._rest_of(motion)
        offsets = now.shape[:SURFACE] - rest.shape[:SURFACE]
        relative = now.rotation @ rest.rotation.T
        shift = (now.pivot - rest.pivot) / rest.scale
        right, left = (
            _trimmed_eye(_openness(eye, open_eye), float(trim[5]))
            for eye, open_eye in zip(now.eyes, rest.eyes, strict=True)
        )
        if self._response is not None:
            aside = corners_of(offsets) * width_of(self._portrait) / width_of(rest.shape)
            offsets = self._toward(offsets, _wanted(motion, self._response), relative, self._response)
            offsets = offsets + self._jaw * trim[0] + self._smile * trim[1]
            offsets = self._contact.widened(offsets, aside + self._calm)
        offsets = self._lids(offsets, right, left)
        offsets = self._lips(offsets, wanted_gaps(self._rest_gaps, gaps_of(now.shape), gaps_of(rest.shape)))
        gaze = self._gaze(now, rest, min(1.0, (left + right) / 2))
        return RigPose(
            offsets=offsets,
            turn=rotation_matrix(*(float(angle) for angle in trim[2:5])) @ self._turn(motion, relative),
            shift=(SHIFT_LIMIT * np.tanh(shift / SHIFT_LIMIT)).astype(np.float32),
            zoom=float(np.clip(now.scale / rest.scale, 0.75, 1.35)),
            openness=(right, left),
            gaze=gaze,
            jaw=float(offsets[152, 1]),
            jaw_shift=float(offsets[152, 0]),
        )

    def probe(self, offsets: Floats, turn: NDArray[np.floating]) -> RigPose:
        """An expression offset (468, 3) and a turn of the head by (3,) degrees of yaw, pitch and roll,
        nothing else; lips still never cross.
        """
        offsets = offsets.astype(np.float32)
        offsets = self._lips(offsets, np.maximum(self._contact.gaps(offsets), 0))
        return RigPose(
            offsets=offsets,
            turn=self._limited(rotation_matrix(*(float(angle) for angle in turn))),
            shift=np.zeros(2, np.float32),
            zoom=1.0,
            openness=(1.0, 1.0),
            gaze=np.zeros(2, np.float32),
            jaw=float(offsets[152, 1]),
            jaw_shift=float(offsets[152, 0]),
        )

    def lidded(self, right: float, left: float) -> RigPose:
        """The photo's own face with its eyes open as far as asked, nothing else moved."""
        still = self.probe(np.zeros_like(self._portrait[:SURFACE]), np.zeros(3))
        return replace(still, offsets=self._lids(still.offsets, right, left), openness=(right, left))

    def steepness(self) -> Floats:
        """(3,) logits of the jaw's, smile's and blink's scores that a trim of 1 adds."""
        own = (0, 0) if self._response is None else np.diag(self._response.weights[:, :2])
        return np.array([*np.maximum(own, LEAST_STEEP), LIDS_STEEP], np.float32)

    def wanted(self, motion: Motion, at_rest: Floats) -> Floats:
        """(10,) what the picture of a motion should read, see refinement.py, of a portrait that reads
        `at_rest` (10,); NaN for what cannot be told.
        """
        wanted = np.full_like(at_rest, np.nan)
        if self._response is not None:
            wanted[:2] = _wanted(motion, self._response)
        if motion.neutral is not None:
            yaw, pitch, roll = (float(angle) for angle in motion.rotation - motion.neutral.rotation)
            wanted[2:5] = self._limited_angles(yaw, pitch, roll)
            blink, rest = (float(of.blendshapes[BLINK].mean()) for of in (motion, motion.neutral))
            own = float(at_rest[5])
            if blink > rest:
                wanted[5] = own + (1 - own) * (blink - rest) / max(1 - rest, 0.2)
            else:
                wanted[5] = own * blink / max(rest, 1e-3)
            now, before = (followed(shapes_of(of.landmarks)[None])[0] for of in (motion, motion.neutral))
            shapes = at_rest[len(UNTRIMMED) :]
            wanted[len(UNTRIMMED) :] = np.maximum(shapes + now - before, 0)
            wanted[8] = shapes[2] * now[2] / max(before[2], 1e-3)  # lids of a narrow eye close as far
        return wanted

    def _read(self, motion: Motion) -> _Reading:
        shape, rotation, scale, translation = self._model.unpose(motion.landmarks)
        pivot = (scale * rotation @ PIVOT + translation)[:2]
        eyes = (
            _eye_ratio(shape, RIGHT_EYE_UPPER, RIGHT_EYE_LOWER),
            _eye_ratio(shape, LEFT_EYE_UPPER, LEFT_EYE_LOWER),
        )
        return _Reading(shape, rotation, scale, np.asarray(pivot, np.float32), eyes)

    def _rest_of(self, motion: Motion) -> _Reading:
        if (
            motion.neutral is None
        ):  # absolute: the portrait's own face is the rest, in the middle of the picture
            width, height = motion.image_size
            eyes = (
                _eye_ratio(self._portrait, RIGHT_EYE_UPPER, RIGHT_EYE_LOWER),
                _eye_ratio(self._portrait, LEFT_EYE_UPPER, LEFT_EYE_LOWER),
            )
            centre = np.array([width / 2, height / 2], np.float32)
            scale = self._read(motion).scale
            return _Reading(self._portrait, self._rotation, scale, centre, eyes)
        if motion.neutral is not self._neutral or self._neutral_reading is None:
            self._neutral, self._neutral_reading = motion.neutral, self._read(motion.neutral)
        return self._neutral_reading

    def _toward(self, offsets: Floats, wanted: Floats, relative: Floats, response: Response) -> Floats:
        """Offsets with jaw and smile brought to what this portrait needs to read the wanted (2,) scores."""
        yaw, pitch, _ = euler_angles(relative)
        held = features(self._read_mouth(offsets), float(yaw), float(pitch))
        jaw, smile = corrections(held, wanted, response)
        return np.asarray(offsets + self._jaw * jaw + self._smile * smile, np.float32)

    def _turn(self, motion: Motion, relative: Floats) -> Floats:
        """The turn (3, 3) that this portrait is read to make when it should read like the driver."""
        if self._response is None or motion.neutral is None:
            return self._limited(relative)
        # what was read follows the driver best where reading and turn agree, what the landmarks' fit tells
        # where a half-turned photo crosses them
        both = (motion.rotation - motion.neutral.rotation + euler_angles(relative)) / 2
        yaw, pitch, roll = (float(angle) for angle in both)
        wanted = np.array(self._limited_angles(yaw, pitch, roll))
        return rotation_matrix(*(float(angle) for angle in self._drive @ wanted))

    def _limited(self, relative: Floats) -> Floats:
        """The turn (3, 3), bent softly towards what the photo can show: least where it would uncover a side
        that the photo's own turn hides.
        """
        return rotation_matrix(*self._limited_angles(*(float(angle) for angle in euler_angles(relative))))

    def _limited_angles(self, yaw: float, pitch: float, roll: float) -> tuple[float, float, float]:
        own_yaw = float(euler_angles(self._rotation)[0])
        hidden = abs(own_yaw) if yaw * own_yaw < 0 else 0.6 * abs(own_yaw)
        limit = max(YAW_LIMIT - hidden, LEAST_YAW)
        return _softly(yaw, limit), _softly(pitch, PITCH_LIMIT), roll

    def _lids(self, offsets: Floats, right: float, left: float) -> Floats:
        offsets = offsets.copy()
        for upper, lower, folds, openness in (
            (RIGHT_EYE_UPPER, RIGHT_EYE_LOWER, RIGHT_LID_FOLD, right),
            (LEFT_EYE_UPPER, LEFT_EYE_LOWER, LEFT_LID_FOLD, left),
        ):
            up, low = list(upper[1:-1]), list(lower[1:-1])
            opening = self._portrait[up] - self._portrait[low]  # (7, 3), pointing up
            corner = (offsets[upper[0]] + offsets[upper[-1]]) / 2
            closing = 1 - min(openness, 1.0)
            raised = corner + opening * LOWER_LID_SHARE * closing
            offsets[low] = raised
            margin = (
                self._portrait[low] + raised + opening * (openness - LOWER_LID_SHARE * closing * openness)
            )
            before = offsets[up].copy()
            offsets[up] = margin - self._portrait[up]
            for fold, share in zip(folds, FOLD_SHARES, strict=True):
                offsets[list(fold)] += (offsets[up] - before) * share * (0 if openness > 1 else 1)
        return offsets

    def _lips(self, offsets: Floats, gaps: Floats) -> Floats:
        """Lips brought as far apart as the driver's are, `gaps` (9,), give or take GAP_SHARE of it for a
        score's sake: what else lowers the jaw stretches the skin around them. Skin below the lower lip is
        pushed on rather than folded under.
        """
        held = np.clip(self._contact.gaps(offsets), (1 - GAP_SHARE) * gaps, (1 + GAP_SHARE) * gaps)
        offsets = self._contact.set(offsets, held)
        for column in CHIN_COLUMNS:
            for upper, lower in pairwise(column):
                room = (self._portrait[lower, 1] - self._portrait[upper, 1]) * (1 - TIGHTEST_SKIN)
                offsets[lower, 1] = max(offsets[lower, 1], offsets[upper, 1] - room)
        return offsets

    @staticmethod
    def _gaze(now: _Reading, rest: _Reading, openness: float) -> Floats:
        def iris(reading: _Reading) -> Floats:
            right = reading.shape[RIGHT_IRIS[0]] - (reading.shape[33] + reading.shape[133]) / 2
            left = reading.shape[LEFT_IRIS[0]] - (reading.shape[263] + reading.shape[362]) / 2
            return np.asarray((right + left)[:2] / 2)

        shift = iris(now) - iris(rest)
        trusted = np.clip((openness - 0.3) / 0.4, 0, 1)  # a shut eye's iris is a guess of the tracker's
        return np.asarray(np.clip(shift * trusted, -0.09, 0.09), np.float32)


def _wanted(motion: Motion, response: Response) -> Floats:
    """(2,) jaw and smile scores the portrait should read."""
    at_rest = np.zeros(len(BLENDSHAPES), np.float32) if motion.neutral is None else motion.neutral.blendshapes
    jaw, smile = jaw_and_smile(motion.blendshapes)
    rest_jaw, rest_smile = jaw_and_smile(at_rest)
    return targets(response, jaw - rest_jaw, (smile - rest_smile) / max(1 - rest_smile, 0.2))


def read_of(face: Face, still: Face) -> Floats:
    """(10,) in the order of refinement.py; angles count from those of `still`."""
    scores, shapes = face.blendshapes, followed(shapes_of(face.landmarks)[None])[0]
    turned = face.rotation - still.rotation
    return np.array([*jaw_and_smile(scores), *turned, scores[BLINK].mean(), *shapes], np.float32)


def _softly(angle: float, limit: float) -> float:
    return limit * float(np.tanh(angle / limit))


def _eye_ratio(shape: Floats, upper: tuple[int, ...], lower: tuple[int, ...]) -> float:
    """Mean height of the middle of the eye over its width."""
    height = np.linalg.norm(shape[list(upper[3:6]), :2] - shape[list(lower[3:6]), :2], axis=1).mean()
    return float(height / np.linalg.norm(shape[upper[0], :2] - shape[upper[-1], :2]))


def _openness(ratio: float, rest_ratio: float) -> float:
    """0 shut, 1 as at rest, up to WIDEST_EYE."""
    openness = (ratio / max(rest_ratio, 1e-3) - SHUT_RATIO) / (1 - SHUT_RATIO)
    wide = 1 + (WIDEST_EYE - 1) * np.tanh(max(openness - 1, 0) / 0.4)
    return float(np.clip(min(openness, wide), 0.0, WIDEST_EYE))


def _trimmed_eye(openness: float, trim: float) -> float:
    share = 1.0 if trim < 0 else min(1.0, openness / HALF_SHUT)
    return float(np.clip(openness + trim * share, 0.0, WIDEST_EYE))


def blended(pose: RigPose, other: RigPose, share: float) -> RigPose:
    """A pose `share` of the way from one to another."""

    def mix(a: Floats, b: Floats) -> Floats:
        return np.asarray(a + (b - a) * np.float32(share), np.float32)

    angles = mix(euler_angles(pose.turn), euler_angles(other.turn))
    return RigPose(
        offsets=mix(pose.offsets, other.offsets),
        turn=rotation_matrix(*(float(angle) for angle in angles)),
        shift=mix(pose.shift, other.shift),
        zoom=pose.zoom + (other.zoom - pose.zoom) * share,
        openness=(
            pose.openness[0] + (other.openness[0] - pose.openness[0]) * share,
            pose.openness[1] + (other.openness[1] - pose.openness[1]) * share,
        ),
        gaze=mix(pose.gaze, other.gaze),
        jaw=pose.jaw + (other.jaw - pose.jaw) * share,
        jaw_shift=pose.jaw_shift + (other.jaw_shift - pose.jaw_shift) * share,
    )
