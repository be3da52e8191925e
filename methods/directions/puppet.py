# SPDX-License-Identifier: MIT
"""The puppet of latent directions (Bounareli et al. 2024): a driver's parameters shift a portrait's code.
Knows neither how directions are learned nor how a portrait is enrolled.
"""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import cv2
import numpy as np

from engines import Engine, open_engine
from face.alignment import crop_transform, ffhq_quad
from face.arrays import Floats, Image
from face.deca_parameters import is_deca
from face.direction_parameters import NAMES, parameters_of, scaled
from face.errors import ModelUnavailable, WrongUse
from face.face_model import face_model
from face.frame import Frame
from face.motion import Motion
from face.pose import euler_angles
from methods.crop_reader import PersonMatte, motion_in_crop
from methods.directions.deca import WITHOUT_DECA, DecaNumbers, encoded, open_deca_numbers
from methods.identity import Identity, check_model, read_identity
from methods.making import DEFAULT_SIZE, enrolled, ffhq_model
from methods.method import FrameKind, OnFrame, Opening, Rest
from methods.model import MAPPING, LiveModel, open_model
from methods.paste_back import MARGIN, HeadMove, PasteBack
from methods.portrait import open_portrait
from methods.subject import Enrolled, Seed, Subject

METHOD = "directions"
MAKER = "onnx"
PSI = 0.7
LARGEST_SHIFT = 0.45  # of the head in its photo, in outer-eye distances
LARGEST_ZOOM = 1.2
# What a face can show, in raw units of the parameters; scores are 0 to 1. A portrait that lies beyond may
# stay there.
LIMITS = {"yaw": 35.0, "pitch": 24.0, "gaze_x": 30.0, "gaze_y": 20.0}
EXPRESSION = np.array([name not in ("yaw", "pitch") for name in NAMES])
GAZE = np.array([name.startswith("gaze") for name in NAMES])
LARGEST_EXPRESSION, LARGEST_GAZE = 6.5, 3.0  # scaled; looked at on real portraits: beyond, hair and skin go
LOW = np.array([-LIMITS[name] if name in LIMITS else 0.0 for name in NAMES], np.float32)
HIGH = np.array([LIMITS.get(name, 1.0) for name in NAMES], np.float32)


@dataclass(slots=True)
class Timing:
    """Milliseconds of the last call."""

    generator: float = 0.0
    matte: float = 0.0
    paste: float = 0.0


class OwnNumbers:
    """The numbers our own directions are moved by, see face/direction_parameters.py."""

    def of_portrait(self, motion: Motion, crop: Image, landmarks: Floats) -> Floats:
        """(d,) in raw units of a portrait's face in its crop."""
        return parameters_of(motion)

    def delta(self, motion: Motion, source: Floats, frame: Frame | None = None) -> Floats:
        """(d,) change against the portrait, as the graph takes it: eq. (3), Bounareli et al. 2024."""
        change = parameters_of(motion)
        if motion.neutral is None:
            change = change - source
        target = np.clip(source + change, np.minimum(LOW, source), np.maximum(HIGH, source))
        return held_together(scaled(target - source))

    @property
    def reads_frame(self) -> bool:
        return False

    def close(self) -> None:
        """Nothing is open."""


OWN = OwnNumbers()


class DirectionsPuppet:
    """A portrait's code, shifted by the driver's parameters, drawn by its generator. Not thread-safe.

    frame "photo": the generated head laid into the whole photo; "crop": into the photo's aligned square, at
    the generator's size; "raw": what the generator draws and nothing else. Whoever opens closes.
    """

    def __init__(
        self,
        identity: Identity,
        engine: Engine,
        *,
        frame: FrameKind,
        longest: int,
        numbers: OwnNumbers | DecaNumbers = OWN,
    ) -> None:
        self._engine, self._numbers = engine, numbers
        self.provenance = engine.provenance
        self._code = np.ascontiguousarray(identity.w_plus[None], np.float32)  # (1, rows, w_dim)
        self._source = identity.p_source
        self._delta = np.zeros((1, len(identity.p_source)), np.float32)
        self.timing = Timing()
        rotation = face_model().unpose(identity.landmarks)[1]
        self.rest = Rest(euler_angles(rotation), identity.blendshapes)
        self.portrait, self.reads_frame = identity.portrait, numbers.reads_frame
        self._paste: PasteBack | None = None
        self._matte: PersonMatte | None = None
        self._cut = 0  # border that only lends its pixels
        still = self._draw()
        self.size = (still.shape[1], still.shape[0])
        if frame != "raw":
            whole = frame == "photo"
            photo, alpha, landmarks = _reduced(identity, longest) if whole else _around(identity)
            self._paste = PasteBack(photo, alpha, landmarks, identity.size)
            self._matte = PersonMatte()
            self._paste.match_colours(still, self._matte(still))
            self.size = self._paste.size if whole else self.size
            self._cut = (self._paste.size[0] - self.size[0]) // 2

    def __call__(self, motion: Motion, frame: Frame | None = None) -> Image:
        """(H, W, 3) uint8 RGB, a new array the caller owns."""
        self._delta[0] = self._numbers.delta(motion, self._source, frame)
        paste, matte = self._paste, self._matte
        if paste is None or matte is None:
            return self._draw()
        image = self._draw()
        began_s = time.perf_counter()
        alpha = matte(image)
        cut_s = time.perf_counter()
        result = paste(image, alpha, head_move(motion, self.rest))
        if self._cut:
            result = np.ascontiguousarray(result[self._cut : -self._cut, self._cut : -self._cut])
        self.timing.matte = 1000 * (cut_s - began_s)
        self.timing.paste = 1000 * (time.perf_counter() - cut_s)
        return result

    def _draw(self) -> Image:
        began_s = time.perf_counter()
        image = self._engine.run(identity=self._code, delta=self._delta)["image"][0]
        self.timing.generator = 1000 * (time.perf_counter() - began_s)
        return np.asarray(image, np.uint8)

    def refined(self, motions: Sequence[Motion], *, on_frame: OnFrame | None = None) -> "DirectionsPuppet":
        """Itself: a generator's pictures are not corrected."""
        return self

    def close(self) -> None:
        self._engine.close()
        self._numbers.close()
        if self._matte is not None:
            self._matte.close()


def held_together(delta: Floats) -> Floats:
    """(d,) scaled, its expression no further from rest than what the directions were learned for.

    Each number may be within its range and all of them together far outside of what the generator draws as a
    face: a grin with bared teeth and a look aside. The whole expression is then made less, in proportion.
    """
    kept = np.where(GAZE, np.clip(delta, -LARGEST_GAZE, LARGEST_GAZE), delta)
    length = float(np.linalg.norm(kept[EXPRESSION]))
    if length > LARGEST_EXPRESSION:
        kept[EXPRESSION] *= LARGEST_EXPRESSION / length
    return np.asarray(kept, np.float32)


def head_move(motion: Motion, rest: Rest) -> HeadMove:
    """Where the driver's head went, within what a photo has room for."""
    start = motion.neutral
    if start is None:
        yaw, pitch, roll = (float(v) for v in motion.rotation - rest.rotation)
        return HeadMove((yaw, pitch, roll), (0.0, 0.0), 1.0)
    yaw, pitch, roll = (float(v) for v in motion.rotation - start.rotation)
    moved = (motion.translation - start.translation) / max(start.scale, 1e-6)
    across, down = (float(v) for v in np.clip(moved, -LARGEST_SHIFT, LARGEST_SHIFT))
    zoom = float(np.clip(motion.scale / max(start.scale, 1e-6), 1 / LARGEST_ZOOM, LARGEST_ZOOM))
    return HeadMove((yaw, pitch, roll), (across, down), zoom)


def open_directions(subject: Subject, opening: Opening) -> DirectionsPuppet:
    """The puppet of an identity, of a photo, which is enrolled first, or of a generated face.

    A model that is moved by DECA's numbers is shown as its generator draws it.
    """
    if opening.model is None:
        size = subject.identity.size if isinstance(subject, Enrolled) else DEFAULT_SIZE
        model = open_model(ffhq_model(size, opening), method=METHOD, names=NAMES)
    else:
        model = open_model(opening.model, method=METHOD, names=NAMES, also=is_deca)
    with ExitStack() as opened:
        numbers: OwnNumbers | DecaNumbers = OWN
        frame = opening.frame
        if is_deca(model.parameters):
            numbers, frame = open_deca_numbers(model, engine=opening.engine, threads=opening.threads), "raw"
            opened.callback(numbers.close)
            opening.tell(f"{model.name}: shown as its generator draws it; {_what_follows(numbers)}")
        identity = _identity(subject, model, numbers, opening)
        check_model(identity, model.key, model.name, model.parameters)
        graph = model.graph if identity.live is None else identity.live.with_suffix("")
        engine = open_engine(graph, backend=opening.engine, threads=opening.threads)
        opened.callback(engine.close)
        puppet = DirectionsPuppet(identity, engine, frame=frame, longest=opening.longest, numbers=numbers)
        opened.pop_all()
        return puppet


def _what_follows(numbers: DecaNumbers) -> str:
    return "head, jaw and expression follow the driver" if numbers.reads_frame else WITHOUT_DECA


def _identity(
    subject: Subject, model: LiveModel, numbers: OwnNumbers | DecaNumbers, opening: Opening
) -> Identity:
    if isinstance(subject, Seed):
        psi = PSI if model.psi == 1 else 1.0  # a graph that truncates is given the whole code
        return generated(subject, psi if subject.psi is None else subject.psi, model, numbers)
    if isinstance(subject, Enrolled):
        return subject.identity
    if isinstance(numbers, DecaNumbers):
        return encoded(subject, model, numbers)
    open_portrait(subject.image, subject.name, longest=64)  # an unusable photo starts no process
    return read_identity(enrolled(subject, model, opening))


def generated(seed: Seed, psi: float, model: LiveModel, numbers: OwnNumbers | DecaNumbers = OWN) -> Identity:
    """A face of the model's own; psi 0 is the mean face, 1 the full variety.

    Made once with the runtime that is always there, whatever draws the frames: the same face everywhere.
    """
    if not 0 <= psi <= 1:
        raise WrongUse(f"psi is {psi:g}, expected 0 to 1, as in {seed}:{PSI}")
    path = model.folder / MAPPING
    if not path.with_suffix(".onnx").is_file():
        raise ModelUnavailable(
            f"{model.folder} has no mapping graph, so it makes no faces of its own; name a portrait"
        )
    with open_engine(path, backend=MAKER) as mapping:
        z = np.random.default_rng(seed.number).standard_normal((1, int(mapping.inputs[0].shape[1])))
        w = mapping.run(z=z.astype(np.float32), psi=np.array(psi, np.float32))["w"][0][: model.rows]
    with open_engine(model.graph, backend=MAKER, threads=0) as live:
        delta = np.zeros((1, len(model.parameters)), np.float32)
        image = np.asarray(live.run(identity=w[None], delta=delta)["image"][0], np.uint8)
    name = str(seed)
    portrait = open_portrait(image, name, longest=model.size)
    motion = motion_in_crop(image, portrait.landmarks, name)
    return Identity(
        name=name,
        model=model.key,
        size=model.size,
        w_plus=np.asarray(w, np.float32),
        p_source=numbers.of_portrait(motion, image, portrait.landmarks),
        portrait=image,
        alpha=portrait.alpha,
        landmarks=portrait.landmarks,
        blendshapes=motion.blendshapes,
        live=None,
    )


def _around(identity: Identity) -> tuple[Image, Floats, Floats]:
    """Photo, matte and landmarks of the aligned square at the generator's size, with a border around it."""
    border = round(MARGIN * identity.size)
    side = identity.size + 2 * border
    quad = ffhq_quad(identity.landmarks)
    step = float(np.hypot(*(quad[3] - quad[0]))) / identity.size  # photo pixels to one of the crop
    # Linear sampling would skip pixels: most of the reduction goes first.
    photo, alpha, points = _reduced(identity, round(max(identity.portrait.shape[:2]) * 1.5 / max(step, 1.5)))
    to_crop, _ = crop_transform(ffhq_quad(points), identity.size)
    to_crop[:, 2] += border
    border_mode = cv2.BORDER_REFLECT_101
    photo = np.asarray(cv2.warpAffine(photo, to_crop, (side, side), borderMode=border_mode), np.uint8)
    alpha = np.asarray(cv2.warpAffine(alpha, to_crop, (side, side), borderMode=border_mode), np.float32)
    flat = points[:, :2] @ to_crop[:, :2].T + to_crop[:, 2]
    depth = points[:, 2] * float(np.hypot(*to_crop[:, 0]))
    return photo, alpha, np.column_stack((flat, depth)).astype(np.float32)


def _reduced(identity: Identity, longest: int) -> tuple[Image, Floats, Floats]:
    """Photo, matte and landmarks at the size they are worked on."""
    photo, alpha, landmarks = identity.portrait, identity.alpha, identity.landmarks
    shrink = longest / max(photo.shape[:2])
    if shrink < 1:
        size = (round(photo.shape[1] * shrink), round(photo.shape[0] * shrink))
        photo = np.ascontiguousarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA))
        alpha = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)
        landmarks = (landmarks * shrink).astype(np.float32)
    return photo, alpha, landmarks
