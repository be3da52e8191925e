# SPDX-License-Identifier: MIT
"""A portrait's reconstruction judged, a driver and a driven portrait read. Knows the line, but no table.

Every picture is read by the tracker on its own, the driver's as the result's, so that both are read alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.raw_track import clip_frames
from benchmarks.sheets import around_face
from engines.mediapipe_reader import Face, StillReader
from evaluation.distances import Track, track_of
from evaluation.follow import SIGNALS
from evaluation.perceptual import open_lite0, perceptual, psnr_db
from evaluation.recognisers import DlibRecogniser, SecondRecogniser
from face.alignment import aligned_crop
from face.arrays import Floats, Image
from face.errors import BadVideo
from face.motion import Motion
from methods.identity import Identity
from methods.method import Puppet

EMBED_EVERY = 4  # measured frames; the recognisers take longer than all the rest
STAGES = ("encoder alone", "code alone", "tuned")
# What a contact sheet shows of a clip: where a signal is farthest from the driver's rest, and which way.
MOMENTS = (("yaw", 1), ("yaw", -1), ("pitch", 0), ("jawOpen", 1), ("smile", 1), ("blink", 1))


@dataclass(frozen=True, slots=True)
class Look:
    """One picture with its judges' words."""

    seen: Face
    dlib: Floats  # (128,)
    second: Floats  # (512,) of length 1; NaN without a second recogniser


class Judges:
    """Tracker and both recognisers. Use in a with statement; not thread-safe."""

    def __init__(self, second: Path | None) -> None:
        self._tracker = StillReader()
        self._dlib = DlibRecogniser()
        self._second = SecondRecogniser(second) if second is not None else None

    def __enter__(self) -> Self:
        self._tracker.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._tracker.__exit__(*exc_info)

    def see(self, picture: Image) -> Face | None:
        return self._tracker.one(picture)

    def look(self, picture: Image, seen: Face | None = None) -> Look | None:
        """None where no face is found; `seen` where it was read already."""
        seen = seen or self.see(picture)
        if seen is None:
            return None
        nothing = np.full(512, np.nan, np.float32)
        second = self._second(picture, seen.landmarks) if self._second is not None else nothing
        return Look(seen, self._dlib(picture, seen.landmarks), second)


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """One portrait and its undriven pictures, a number for each of STAGES; NaN where no face is found."""

    dlib: Floats  # (S,) distance to the photo's crop
    second: Floats  # (S,) cosine of the second recogniser with the photo's crop
    psnr: Floats  # (S,) dB
    perceptual: Floats  # (S,)
    crop_dlib: Floats  # (128,) of the photo's crop
    crop_second: Floats  # (512,)
    rotation: Floats  # (1, 3) of the photo as it is driven
    scores: Floats  # (1, 52)
    photo_dlib: Floats  # (128,) of the photo as it is driven
    photo_second: Floats  # (512,)
    landmarks: Floats  # (478, 3) pixels of the photo as it is driven

    @property
    def photo(self) -> Track:
        return Track(self.rotation, self.scores)

    def head_of(self, picture: Image) -> Image:
        """The part of a driven picture that a contact sheet shows."""
        height, width = picture.shape[:2]
        left, top, right, bottom = around_face(self.landmarks, (width, height))
        return picture[top:bottom, left:right]


@dataclass(frozen=True, slots=True)
class Yardsticks:
    """The perceptual distance where it is known how unlike pictures are."""

    half_size: Floats  # (P,) of a crop to itself, made half as large and large again
    others: Floats  # (P,) of a crop to the next portrait's


@dataclass(frozen=True, slots=True)
class Driver:
    """Some frames of a clip, as the tracker reads them one by one."""

    chosen: NDArray[np.int64]  # (N,) which motions of the clip
    rotation: Floats  # (N, 3)
    scores: Floats  # (N, 52)
    rest_rotation: Floats  # (1, 3) of the frame that is the driver's rest
    rest_scores: Floats  # (1, 52)
    moments: NDArray[np.int64]  # (6,) of MOMENTS, counted in `chosen`
    dlib: Floats  # (M,) distances of every fourth frame to the rest
    second: Floats  # (M,) cosines

    @property
    def track(self) -> Track:
        return Track(self.rotation, self.scores)

    @property
    def rest(self) -> Track:
        return Track(self.rest_rotation, self.rest_scores)


@dataclass(frozen=True, slots=True)
class Driven:
    """A portrait in the frames chosen of a clip; NaN where no face is found."""

    rotation: Floats  # (N, 3)
    scores: Floats  # (N, 52)
    dlib: Floats  # (M,) distances of every fourth frame to the photo
    second: Floats  # (M,) cosines

    @property
    def track(self) -> Track:
        return Track(self.rotation, self.scores)


def rebuilt(
    judges: Judges, identity: Identity, photo: Image, pictures: Sequence[Image | None]
) -> Rebuilt | None:
    """`pictures` of STAGES, None where a stage does not exist; `photo` is the portrait at the size it is
    driven at. None when the tracker does not find the photo's own face.
    """
    crop = crop_of(identity)
    own, whole = judges.look(crop), judges.look(photo)
    if own is None or whole is None:
        return None
    rows = [
        [np.nan] * 4 if picture is None else _compared(judges, own, crop, picture) for picture in pictures
    ]
    dlib, second, psnr, unlike = np.array(rows, np.float32).T
    return Rebuilt(
        dlib=dlib,
        second=second,
        psnr=psnr,
        perceptual=unlike,
        crop_dlib=own.dlib,
        crop_second=own.second,
        rotation=whole.seen.rotation[None],
        scores=whole.seen.blendshapes[None],
        photo_dlib=whole.dlib,
        photo_second=whole.second,
        landmarks=whole.seen.landmarks,
    )


def crop_of(identity: Identity) -> Image:
    """The photo's aligned square that the generator was to draw."""
    return aligned_crop(identity.portrait, identity.landmarks, identity.codes[-1].size).image


def yardsticks(crops: Sequence[Image]) -> Yardsticks:
    """Of the photos' own crops, all of one size."""
    network = open_lite0()
    half, others = [], []
    for index, crop in enumerate(crops):
        size = crop.shape[1], crop.shape[0]
        small = cv2.resize(crop, (size[0] // 2, size[1] // 2), interpolation=cv2.INTER_AREA)
        coarse = np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_LINEAR), np.uint8)
        half.append(perceptual(network, crop, coarse))
        if len(crops) > 1:
            others.append(perceptual(network, crop, crops[(index + 1) % len(crops)]))
    return Yardsticks(np.array(half, np.float32), np.array(others, np.float32))


def read_driver(
    judges: Judges, clip: Path, motions: Sequence[Motion], *, until_s: float, frames: int
) -> tuple[Driver, list[Image]]:
    """`frames` of a clip's first seconds, evenly spread, and the pictures of MOMENTS.

    `motions` are the whole clip's, whose rest may lie beyond. Raises BadVideo when no face is in that rest.
    """
    neutral = motions[-1].neutral
    if neutral is None:
        raise ValueError("the motions have no neutral, expected those of a clip tracked relative to its own")
    times = np.array([motion.captured_s for motion in motions])
    rest = int(np.abs(times - neutral.captured_s).argmin())
    last = int((times < until_s).sum()) - 1
    chosen = np.unique(np.linspace(0, last, frames).round().astype(np.int64))
    wanted = {rest, *(int(index) for index in chosen)}
    pictures = {frame.index: frame.image for frame in clip_frames(clip) if frame.index in wanted}
    at_rest = judges.look(pictures[rest])
    if at_rest is None:
        raise BadVideo(f"{clip}: no face in the frame at {times[rest]:.2f} s, its rest; choose another clip")
    seen = [judges.see(pictures[int(index)]) for index in chosen]
    track = track_of(seen)
    looks = [
        judges.look(pictures[int(index)], each)
        for index, each in list(zip(chosen, seen, strict=True))[::EMBED_EVERY]
        if each is not None
    ]
    dlib, second = _against(at_rest, [look for look in looks if look is not None])
    moments = _moments(track, track_of([at_rest.seen]))
    driver = Driver(
        chosen=chosen,
        rotation=track.rotation,
        scores=track.scores,
        rest_rotation=at_rest.seen.rotation[None],
        rest_scores=at_rest.seen.blendshapes[None],
        moments=moments,
        dlib=dlib,
        second=second,
    )
    return driver, [pictures[int(chosen[moment])] for moment in moments]


def drive(
    judges: Judges, puppet: Puppet, motions: Sequence[Motion], driver: Driver, sitter: Rebuilt
) -> tuple[Driven, list[Image]]:
    """The chosen frames drawn and judged, and the pictures of MOMENTS."""
    wanted = {int(moment) for moment in driver.moments}
    kept: dict[int, Image] = {}
    seen: list[Face | None] = []
    looks: list[Look] = []
    for count, index in enumerate(driver.chosen):
        image = puppet(motions[int(index)])
        seen.append(judges.see(image))
        if count in wanted:
            kept[count] = image
        if count % EMBED_EVERY == 0 and (look := judges.look(image, seen[-1])) is not None:
            looks.append(look)
    track = track_of(seen)
    distance = np.array([np.linalg.norm(look.dlib - sitter.photo_dlib) for look in looks], np.float32)
    cosine = np.array([look.second @ sitter.photo_second for look in looks], np.float32)
    driven = Driven(rotation=track.rotation, scores=track.scores, dlib=distance, second=cosine)
    return driven, [kept[int(moment)] for moment in driver.moments]


def _compared(judges: Judges, own: Look, crop: Image, picture: Image) -> list[float]:
    """dlib's distance, the second's cosine, PSNR, perceptual distance."""
    look = judges.look(picture)
    dlib = float("nan") if look is None else float(np.linalg.norm(look.dlib - own.dlib))
    second = float("nan") if look is None else float(look.second @ own.second)
    return [dlib, second, psnr_db(crop, picture), perceptual(open_lite0(), crop, picture)]


def _against(reference: Look, looks: Sequence[Look]) -> tuple[Floats, Floats]:
    dlib = [np.linalg.norm(look.dlib - reference.dlib) for look in looks]
    return np.array(dlib, np.float32), np.array(
        [look.second @ reference.second for look in looks], np.float32
    )


def _moments(track: Track, rest: Track) -> NDArray[np.int64]:
    away = np.nan_to_num(track.signals - rest.signals)
    return np.array(
        [
            int(np.argmax(away[:, k] * sign if sign else np.abs(away[:, k])))
            for k, sign in ((SIGNALS.index(name), sign) for name, sign in MOMENTS)
        ],
        np.int64,
    )
