# SPDX-License-Identifier: MIT
"""The one puppet of the methods that move a code of a generator.

A method brings its numbers: what its mover reads of a motion. The mover moves the portrait's code, the
generator draws it, and the drawn head is laid into the photo.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np

from engines import Engine, open_engine
from engines.base import Array
from engines.graphs import FEATURE, IDENTITY, IMAGE, MAPPING, STYLES, W
from face.alignment import crop_transform, ffhq_quad
from face.arrays import Floats, Image
from face.errors import ModelUnavailable, WrongUse
from face.face_model import face_model
from face.frame import Frame
from face.motion import Motion
from face.pose import euler_angles
from methods.crop_reader import PersonMatte, motion_in_crop
from methods.identity import Code, Identity
from methods.making import enrolled
from methods.method import FrameKind, OnFrame, Opening, Rest
from methods.model import LiveModel
from methods.paste_back import MARGIN, HeadMove, PasteBack
from methods.portrait import head_and_shoulders, open_portrait
from methods.subject import Photo, Seed

MAKER = "onnx"  # the runtime that is always there makes a generated face: the same everywhere
PSI = 0.7  # of generated faces
LARGEST_SHIFT = 0.45  # of the head in its photo, in outer-eye distances
LARGEST_ZOOM = 1.2


class Numbers(Protocol):
    """What a method's mover reads beside the portrait's code, by the names of its inputs. Batch 1."""

    @property
    def reads_frame(self) -> bool: ...  # whether the driver's picture counts beside the motion
    @property
    def still(self) -> Mapping[str, Array]: ...  # of the portrait at rest

    def __call__(self, motion: Motion, frame: Frame | None = None) -> Mapping[str, Array]: ...
    def close(self) -> None: ...


@dataclass(slots=True)
class Timing:
    """Milliseconds of the last call."""

    generator: float = 0.0  # the mover included
    matte: float = 0.0
    paste: float = 0.0


class Drawing:
    """A code moved and drawn: mover and generator, one after the other. Opens and closes nothing."""

    def __init__(self, mover: Engine, generator: Engine, code: Code) -> None:
        self._mover, self._generator = mover, generator
        self._moves = [spec.name for spec in mover.inputs]
        self._draws = [spec.name for spec in generator.inputs]
        w = np.ascontiguousarray(code.w[None], np.float32)  # (1, rows, w_dim)
        self._kept: dict[str, Array] = {IDENTITY: w, W: w}
        for spec in generator.inputs:
            if spec.name in (STYLES, FEATURE):  # offsets: none where no mover makes any
                self._kept[spec.name] = np.zeros([int(size) for size in spec.shape], np.float32)
        if code.feature is not None:
            self._kept[FEATURE] = np.ascontiguousarray(code.feature[None], np.float32)

    def __call__(self, numbers: Mapping[str, Array]) -> Image:
        """(H, W, 3) uint8 RGB, the caller's own."""
        given = {**self._kept, **numbers}
        given |= self._mover.run(**{name: given[name] for name in self._moves})
        drawn = self._generator.run(**{name: given[name] for name in self._draws})
        return np.asarray(drawn[IMAGE][0], np.uint8)


class LatentPuppet:
    """A portrait's code, moved by a method's numbers, drawn by its generator. Not thread-safe.

    frame "photo": the generated head laid into the whole photo; "crop": into the photo's aligned square, at
    the generator's size; "raw": what the generator draws and nothing else. Whoever opens closes.
    """

    def __init__(
        self,
        identity: Identity,
        code: Code,
        engines: tuple[Engine, Engine],
        numbers: Numbers,
        *,
        frame: FrameKind,
        longest: int,
        whole_photo: bool = False,
    ) -> None:
        """engines: mover and generator, which are the puppet's from now on, as `numbers` are."""
        if frame == "photo" and not whole_photo:
            identity = _shown(identity, longest)
        self._engines, self._numbers = engines, numbers
        self.provenance = engines[1].provenance
        self._draw = Drawing(*engines, code)
        self.timing = Timing()
        rotation = face_model().unpose(identity.landmarks)[1]
        self.rest = Rest(euler_angles(rotation), identity.motion.blendshapes)
        self.portrait, self.reads_frame = identity.portrait, numbers.reads_frame
        self._paste: PasteBack | None = None
        self._matte: PersonMatte | None = None
        self._cut = 0  # border that only lends its pixels
        still = self._draw(numbers.still)
        self.size = (still.shape[1], still.shape[0])
        if frame != "raw":
            whole = frame == "photo"
            placed = _reduced(identity, longest) if whole else _around(identity, code.size)
            self._paste = PasteBack(*placed, code.size)
            self._matte = PersonMatte()
            self._paste.match_colours(still, self._matte(still))
            self.size = self._paste.size if whole else self.size
            self._cut = (self._paste.size[0] - self.size[0]) // 2

    def __call__(self, motion: Motion, frame: Frame | None = None) -> Image:
        """(H, W, 3) uint8 RGB, a new array the caller owns."""
        began_s = time.perf_counter()
        image = self._draw(self._numbers(motion, frame))
        drawn_s = time.perf_counter()
        self.timing.generator = 1000 * (drawn_s - began_s)
        paste, matte = self._paste, self._matte
        if paste is None or matte is None:
            return image
        alpha = matte(image)
        cut_s = time.perf_counter()
        result = paste(image, alpha, head_move(motion, self.rest))
        if self._cut:
            result = np.ascontiguousarray(result[self._cut : -self._cut, self._cut : -self._cut])
        self.timing.matte = 1000 * (cut_s - drawn_s)
        self.timing.paste = 1000 * (time.perf_counter() - cut_s)
        return result

    def refined(self, motions: Sequence[Motion], *, on_frame: OnFrame | None = None) -> "LatentPuppet":
        """Itself: a generator's pictures are not corrected."""
        return self

    def close(self) -> None:
        for engine in self._engines:
            engine.close()
        self._numbers.close()
        if self._matte is not None:
            self._matte.close()


def open_latent(
    identity: Identity, model: LiveModel, numbers: Numbers, opening: Opening, *, frame: FrameKind
) -> LatentPuppet:
    """The puppet of an identity that has a code in the model's generator; `numbers` are the puppet's then."""
    with ExitStack() as opened:
        opened.callback(numbers.close)
        code = identity.code(model.key, model.size, model.name)
        engines = []
        for graph in (model.mover, code.graph or model.generator):
            engines.append(open_engine(graph, backend=opening.engine, threads=opening.threads))
            opened.callback(engines[-1].close)
        pair = (engines[0], engines[1])
        puppet = LatentPuppet(
            identity, code, pair, numbers,
            frame=frame, longest=opening.longest, whole_photo=opening.whole_photo,
        )  # fmt: skip
        opened.pop_all()
        return puppet


def enrolled_photo(photo: Photo, model: LiveModel, opening: Opening) -> Identity:
    """The photo's identity, enrolled for this model now where it was not before."""
    open_portrait(photo.image, photo.name, longest=64)  # an unusable photo starts no process
    return enrolled(photo, model, opening)


def generated(seed: Seed, model: LiveModel) -> Identity:
    """A face of the model's own; psi 0 is the mean face, 1 the full variety."""
    psi = PSI if model.psi == 1 else 1.0  # a mover that truncates is given the whole code
    psi = psi if seed.psi is None else seed.psi
    if not 0 <= psi <= 1:
        raise WrongUse(f"psi is {psi:g}, expected 0 to 1, as in {seed}:{PSI}")
    if not model.holds(MAPPING):
        raise ModelUnavailable(
            f"{model.folder} has no mapping graph, so it makes no faces of its own; name a portrait"
        )
    with open_engine(model.folder / MAPPING, backend=MAKER) as mapping:
        z = np.random.default_rng(seed.number).standard_normal((1, int(mapping.inputs[0].shape[1])))
        w = mapping.run(z=z.astype(np.float32), psi=np.array(psi, np.float32))["w"][0][: model.rows]
    code = Code(model.name, model.key, model.size, np.asarray(w, np.float32))
    still = {name: np.zeros(shape, np.float32) for name, shape in model.reads.items()}
    with (
        open_engine(model.mover, backend=MAKER) as mover,
        open_engine(model.generator, backend=MAKER, threads=0) as generator,
    ):
        image = Drawing(mover, generator, code)(still)
    name = str(seed)
    portrait = open_portrait(image, name, longest=model.size)
    motion = motion_in_crop(image, portrait.landmarks, name)
    return Identity(name, image, portrait.alpha, portrait.landmarks, motion, (code,))


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


def _around(identity: Identity, side: int) -> tuple[Image, Floats, Floats]:
    """Photo, matte and landmarks of the aligned square at the generator's size, with a border around it."""
    border = round(MARGIN * side)
    whole = side + 2 * border
    quad = ffhq_quad(identity.landmarks)
    step = float(np.hypot(*(quad[3] - quad[0]))) / side  # photo pixels to one of the crop
    # Linear sampling would skip pixels: most of the reduction goes first.
    photo, alpha, points = _reduced(identity, round(max(identity.portrait.shape[:2]) * 1.5 / max(step, 1.5)))
    to_crop, _ = crop_transform(ffhq_quad(points), side)
    to_crop[:, 2] += border
    border_mode = cv2.BORDER_REFLECT_101
    photo = np.asarray(cv2.warpAffine(photo, to_crop, (whole, whole), borderMode=border_mode), np.uint8)
    alpha = np.asarray(cv2.warpAffine(alpha, to_crop, (whole, whole), borderMode=border_mode), np.float32)
    flat = points[:, :2] @ to_crop[:, :2].T + to_crop[:, 2]
    depth = points[:, 2] * float(np.hypot(*to_crop[:, 0]))
    return photo, alpha, np.column_stack((flat, depth)).astype(np.float32)


def _shown(identity: Identity, longest: int) -> Identity:
    """The identity with its photo cut to head and shoulders, itself where all of the photo is shown."""
    size = (identity.portrait.shape[1], identity.portrait.shape[0])
    window = head_and_shoulders(identity.landmarks, size, longest)
    if window is None:
        return identity
    left, top, right, bottom = window
    return replace(
        identity,
        portrait=np.ascontiguousarray(identity.portrait[top:bottom, left:right]),
        alpha=np.ascontiguousarray(identity.alpha[top:bottom, left:right]),
        landmarks=identity.landmarks - np.array((left, top, 0), np.float32),
    )


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
