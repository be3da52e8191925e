# SPDX-License-Identifier: MIT
"""A driver's movement as the numbers that a model of StelaBou's is moved by. Knows no generator.

Angles and jaw come from our tracker; expression coefficients, and then the jaw as well, from DECA, where the
user's own copy of it lies in the model folder. Without it expressions stay the portrait's.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from engines import Engine, open_engine
from engines.base import Array
from engines.graphs import ENCODER, W
from face.arrays import Floats, Image
from face.deca_parameters import JAW, POSE, deca_picture, pose_of, vox_crop
from face.errors import ModelUnavailable
from face.frame import Frame
from face.motion import Motion
from methods.crop_reader import driver_crop, motion_in_crop
from methods.directions.motion import DELTA
from methods.identity import Code, Identity
from methods.model import LiveModel
from methods.portrait import open_portrait
from methods.subject import Photo

DECA = "tracker"  # role of the graph: image (N, 3, 224, 224) to DECA's parameters
PORTRAIT_PX = 1024  # longer side a portrait is read at
WITHOUT_DECA = (
    "its head and jaw follow the driver, its expression does not: that needs DECA, which you would have to "
    "bring (facepuppet export ... --with deca_model.tar)"
)


class DecaReader:
    """DECA's regressor on one face. Not thread-safe; whoever opens closes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __call__(self, image: Image, landmarks: NDArray[np.floating]) -> tuple[float, Floats]:
        """Angle of the jaw in radians and expression (50,) of the face with these landmarks (478, 2 or 3)."""
        read = self._engine.run(image=deca_picture(image, landmarks))
        return float(read["pose"][0, 3]), np.asarray(read["expression"][0], np.float32)

    def close(self) -> None:
        self._engine.close()


class DecaNumbers:
    """The model's numbers, of a portrait and of a driver; `deca` is closed with it. Not thread-safe."""

    def __init__(
        self,
        model: LiveModel,
        deca: DecaReader | None,
        portrait: Motion,
        crop: Image,
        landmarks: NDArray[np.floating],
    ) -> None:
        """portrait: its face as the tracker reads it; crop: the picture DECA reads, with its landmarks."""
        self._deca = deca
        self._ranges = np.array(model.ranges, np.float32)  # (d, 2) in raw units
        self._scales = np.array(model.scales, np.float32)  # (d,) of a raw unit
        self._count = len(model.parameters)
        self.still: Mapping[str, Array] = {DELTA: np.zeros((1, self._count), np.float32)}
        self.source = np.zeros(self._count, np.float32)  # of the portrait; what nobody reads is 0
        self.source[: len(POSE)] = pose_of(portrait)
        if deca is not None:
            self._read_deca(self.source, crop, landmarks)
        self._last: Floats | None = None  # what DECA read last, (d,)

    @property
    def reads_frame(self) -> bool:
        """Whether expressions are read off the driver's picture."""
        return self._deca is not None

    def __call__(self, motion: Motion, frame: Frame | None = None) -> Mapping[str, Array]:
        """Each number's change against the portrait, eq. (3) of Bounareli et al.

        Angles are the driver's against its rest, where it has one; what DECA reads is never against a rest.
        """
        source = self.source
        change = np.zeros(self._count, np.float32)
        change[: len(POSE)] = pose_of(motion) - (
            source[: len(POSE)] if motion.neutral is None else pose_of(motion.neutral)
        )
        if self._deca is not None:
            change[JAW:] = self._driver(motion, frame)[JAW:] - source[JAW:]
        low, high = np.minimum(self._ranges[:, 0], source), np.maximum(self._ranges[:, 1], source)
        target = np.clip(source + change, low, high)
        return {DELTA: np.asarray((target - source) * self._scales, np.float32)[None]}

    def _driver(self, motion: Motion, frame: Frame | None) -> Floats:
        """(d,) what DECA sees of the driver; without a picture of it the last reading fades to the portrait's
        own as the tracker's confidence does.
        """
        seen = driver_crop(motion, frame) if frame is not None else None
        if seen is not None:
            self._last = np.zeros(self._count, np.float32)
            self._read_deca(self._last, *seen)
            return self._last
        if self._last is None:
            return self.source
        return np.asarray(self.source + motion.confidence * (self._last - self.source), np.float32)

    def _read_deca(self, numbers: Floats, crop: Image, landmarks: NDArray[np.floating]) -> None:
        """Write jaw and expression of a face into `numbers`."""
        assert self._deca is not None
        jaw, expression = self._deca(crop, landmarks)
        numbers[JAW] = jaw
        numbers[len(POSE) :] = expression[: self._count - len(POSE)]

    def close(self) -> None:
        if self._deca is not None:
            self._deca.close()


def open_deca_numbers(
    model: LiveModel,
    portrait: Motion,
    crop: Image,
    landmarks: NDArray[np.floating],
    *,
    engine: str,
    threads: int,
) -> DecaNumbers:
    """With DECA where the model folder has it."""
    deca = None
    if model.holds(DECA):
        deca = DecaReader(open_engine(model.folder / DECA, backend=engine, threads=threads))
    try:
        return DecaNumbers(model, deca, portrait, crop, landmarks)
    except BaseException:
        if deca is not None:
            deca.close()
        raise


def encoded(photo: Photo, model: LiveModel) -> Identity:
    """A portrait by the model's own encoder, in one pass: nothing is tuned and nothing kept.

    Raises BadPortrait for the photo, ModelUnavailable where the folder has no encoder.
    """
    if not model.holds(ENCODER):
        raise ModelUnavailable(
            f"{model.folder} has no encoder, so no portrait can be brought into it; export it together with "
            "its e4e checkpoint, or name a face of its own: seed:1"
        )
    portrait = open_portrait(photo.image, photo.name, longest=PORTRAIT_PX)
    crop, landmarks = vox_crop(portrait.image, portrait.landmarks)
    image = np.asarray(crop.transpose(2, 0, 1)[None], np.float32) / np.float32(127.5) - 1
    with open_engine(model.folder / ENCODER, backend="onnx", threads=0) as engine:
        w = np.asarray(engine.run(image=image)[W][0], np.float32)
    if w.shape[0] != model.rows:
        raise ModelUnavailable(
            f"the encoder in {model.folder} gives {w.shape[0]} rows, its generator reads {model.rows}; "
            "export those made together"
        )
    motion = motion_in_crop(crop, landmarks, photo.name)
    code = Code(model.name, model.key, model.size, w)
    return Identity(photo.name, portrait.image, portrait.alpha, portrait.landmarks, motion, (code,))
