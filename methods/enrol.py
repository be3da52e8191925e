# SPDX-License-Identifier: MIT
"""A photo to an identity folder: inverted, refined, the generator tuned on it (LOR, Bounareli et al. 2024).

The code starts at the encoder's guess (without one: at the mean) and is refined near W, where directions
hold; then the generator learns what the code cannot say, with the code fixed.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from engines.ffhq_mobile import NAME
from engines.graphs import GENERATOR, W
from engines.networks.face_embedding import FaceEmbedding
from engines.networks.feature_encoder import FeatureEncoder
from export.ffhq_model import Parts, load_parts
from export.live_export import write_cpu_form
from export.live_graph import generator_of
from export.model_folder import new_folder
from export.onnx_export import save_graph
from face.alignment import AlignedCrop, aligned_crop
from face.errors import ModelUnavailable, SinkUnavailable
from face.photo import read_photo
from methods.crop_reader import motion_in_crop
from methods.identity import (
    LONGEST_PX,
    READ_PX,
    Code,
    Identity,
    code_folder,
    earlier_index,
    is_portrait_of,
    read_identity,
    remove_strangers,
    write_identity,
)
from methods.portrait import Portrait, open_portrait
from training.judges import open_embedding, to_images
from training.likeness import Likeness, face_weight

Step = Callable[[str, int, int], None]  # what is done, how many, of how many

ENCODER_PX = 256
# Pull of the code towards W: rows towards their mean, their mean towards where it started.
ROWS_TOGETHER, NEAR_START = 0.02, 0.005
WARM_SHARE, COOL_SHARE = 0.05, 0.4  # of the steps: rate rises, rate falls
LARGEST_ROW = 0.75  # root mean square a row may lie away from the mean of all rows


@dataclass(frozen=True, slots=True)
class EnrolConfig:
    """How long it may take; the steps are what is aimed at, the seconds what is not passed."""

    code_steps: int = 100
    tune_steps: int = 200
    limit_s: float = 150.0  # for code and tuning together; the rest takes some ten seconds
    threads: int = 2
    code_rate: float = 0.03  # Adam's, at its highest
    tune_rate: float = 5e-4


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What an enrolment made; distances are the recogniser's between photo and portrait, nan without one."""

    folder: Path
    seconds: float
    code_steps: int
    tune_steps: int
    distance_start: float
    distance_code: float
    distance_tuned: float
    psnr_db: float  # of the tuned portrait against the photo's crop


def enrol(
    photo: Path,
    out: Path,
    *,
    size: int = 256,
    config: EnrolConfig | None = None,
    on_step: Step | None = None,
) -> Enrolled:
    """Write the identity folder `out`; nothing is left when it fails or is interrupted.

    An identity of the same portrait that is there already keeps its codes in other generators and sizes.
    Raises BadPortrait or BadImage for the photo, ModelUnavailable for what is not installed.
    """
    config = config or EnrolConfig()
    began_s = time.perf_counter()
    portrait = open_portrait(read_photo(photo), photo.name, longest=LONGEST_PX)
    torch.set_num_threads(config.threads)
    parts = load_parts(size)
    crop = aligned_crop(portrait.image, portrait.landmarks, size)
    work = _Work(parts, crop, portrait, photo.name, config, on_step or _silent, began_s)
    work.refine()
    work.tune()
    return work.save(photo, out)


class _Work:
    """One enrolment under way."""

    def __init__(
        self,
        parts: Parts,
        crop: AlignedCrop,
        portrait: Portrait,
        name: str,
        config: EnrolConfig,
        on_step: Step,
        began_s: float,
    ) -> None:
        self.parts, self.crop, self.portrait, self.name = parts, crop, portrait, name
        self.config, self.on_step, self.began_s = config, on_step, began_s
        size = crop.image.shape[0]
        # The tracker reads every portrait at the size at which the directions were learned.
        seen = crop if size == READ_PX else aligned_crop(portrait.image, portrait.landmarks, READ_PX)
        self.motion = motion_in_crop(seen.image, seen.points(portrait.landmarks), name)
        self.target = to_images(crop.image[None])
        points = torch.from_numpy(crop.points(portrait.landmarks))
        weight = face_weight(points, size)
        self.recogniser = _recogniser()
        self.likeness = Likeness(self.target, points, weight, recogniser=self.recogniser)
        self.synthesis = deepcopy(parts.synthesis).requires_grad_(False)
        self.code = self._first_code()  # (1, rows, w_dim)
        self.code_steps = self.tune_steps = 0
        self.distance_start = self.likeness.identity_distance(self._picture())
        self.distance_code = self.distance_start

    def _first_code(self) -> Tensor:
        rows = self.parts.synthesis.config.rows
        mean = self.parts.w_mean.expand(1, rows, -1).clone()
        if self.recogniser is None:
            return mean
        return encoded(self.parts.encoder.attach(self.recogniser), self.crop.image)

    def _picture(self) -> Tensor:
        with torch.no_grad():
            return self.synthesis(self.code)

    def _left_s(self) -> float:
        return self.config.limit_s - (time.perf_counter() - self.began_s)

    def refine(self) -> None:
        """The code by gradient descent, held near where it started and near W."""
        start = self.code.mean(1, keepdim=True)
        middle = nn.Parameter(start.clone())
        rows = nn.Parameter(self.code - start)
        optimiser = torch.optim.Adam([middle, rows], lr=self.config.code_rate)
        # Half of the time at most: tuning is what makes the likeness.
        ends_s = self._left_s() / 2
        for step in self._steps("refining", self.config.code_steps, optimiser, self.config.code_rate, ends_s):
            apart = rows - rows.mean(1, keepdim=True)
            loss, _ = self.likeness(self.synthesis(middle + rows))
            held = ROWS_TOGETHER * apart.square().sum() / rows.shape[1] / 10
            loss = loss + held + NEAR_START * (middle - start).square().sum()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            self.code_steps = step + 1
        with torch.no_grad():
            self.code = bounded_rows(middle + rows)
        self.distance_code = self.likeness.identity_distance(self._picture())

    def tune(self) -> None:
        """The generator's weights on this one picture, its code fixed; what the code said best is kept."""
        weights = list(_tuned(self.synthesis))
        for weight in weights:
            weight.requires_grad_(True)
        optimiser = torch.optim.Adam(weights, lr=self.config.tune_rate, betas=(0.9, 0.99))
        for step in self._steps(
            "tuning", self.config.tune_steps, optimiser, self.config.tune_rate, self._left_s()
        ):
            loss, _ = self.likeness(self.synthesis(self.code))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            self.tune_steps = step + 1
        self.synthesis.requires_grad_(False)

    def _steps(
        self, what: str, count: int, optimiser: torch.optim.Optimizer, rate: float, limit_s: float
    ) -> Iterator[int]:
        """Step by step, the rate rising and falling, until the count is reached or the time is over."""
        began_s = time.perf_counter()
        step = 0
        while step < count:
            passed = time.perf_counter() - began_s
            if passed > limit_s:
                break
            # Where time will run out first, the rate falls by time.
            share = max(step / count, passed / limit_s if limit_s > 0 else 1.0)
            for group in optimiser.param_groups:
                group["lr"] = rate * min(share / WARM_SHARE, 1.0, max((1 - share) / COOL_SHARE, 0.02))
            self.on_step(what, step, count)
            yield step
            step += 1
        self.on_step(what, count, count)

    def save(self, photo: Path, out: Path) -> Enrolled:
        picture = self._picture()
        error = float((picture.clamp(-1, 1) - self.target).square().mean())
        tuned = self.tune_steps > 0
        enrolled = Enrolled(
            folder=out,
            seconds=0.0,
            code_steps=self.code_steps,
            tune_steps=self.tune_steps,
            distance_start=self.distance_start,
            distance_code=self.distance_code,
            distance_tuned=self.likeness.identity_distance(picture),
            psnr_db=10 * float(np.log10(4 / max(error, 1e-9))),
        )
        digest = hashlib.sha256(photo.read_bytes()).hexdigest()
        before = earlier_index(out)
        same = before is not None and is_portrait_of(digest, before)
        size = self.crop.image.shape[0]
        with new_folder(out) as folder:
            try:
                graph = folder / code_folder(self.parts.key, size) / f"{GENERATOR}.onnx"
                graph.parent.mkdir()
                if tuned:
                    self.on_step("writing", 0, 2)
                    self._save_generator(graph)
                self.on_step("writing", 1, 2)
                seconds = round(time.perf_counter() - self.began_s, 1)
                facts = {key: value for key, value in asdict(enrolled).items() if key != "folder"}
                code = Code(
                    model=f"{NAME}-{size}",
                    key=self.parts.key,
                    size=size,
                    w=self.code[0].numpy().astype(np.float32),
                    graph=graph.with_suffix("") if tuned else None,
                )
                identity = Identity(
                    name=before["portrait"]["name"] if before and same else self.name,
                    portrait=self.portrait.image,
                    alpha=self.portrait.alpha,
                    landmarks=self.portrait.landmarks,
                    motion=self.motion,
                    codes=(code,),
                )
                write_identity(
                    folder,
                    identity,
                    quad=self.crop.quad,
                    portrait_sha256=before["portrait"]["sha256"] if before and same else digest,
                    facts={**facts, "seconds": seconds},
                    beside=before if same and _is_whole(out) else None,
                )
            except OSError as error:
                raise SinkUnavailable(
                    f"cannot write {out} ({error.strerror}); choose another --out"
                ) from error
        if before is not None:
            remove_strangers(out, before)
        self.on_step("writing", 2, 2)
        return Enrolled(**{**asdict(enrolled), "seconds": seconds})

    def _save_generator(self, path: Path) -> None:
        """The tuned generator, and its form for ONNX Runtime where that pays."""
        live = generator_of(self.synthesis)
        save_graph(live, path, notes={"portrait": self.name})
        write_cpu_form(live, path, [{W: self.code.numpy()}])


def _is_whole(out: Path) -> bool:
    try:
        return bool(read_identity(out).codes)
    except ModelUnavailable:
        return False


def encoded(encoder: FeatureEncoder, crop: np.ndarray) -> Tensor:
    """(1, rows, w_dim) the encoder's guess for a crop (S, S, 3)."""
    image = to_images(crop[None])
    if image.shape[-1] != ENCODER_PX:
        image = nn.functional.interpolate(image, size=(ENCODER_PX, ENCODER_PX), mode="area")
    with torch.no_grad():
        return encoder(image).clone()


def bounded_rows(code: Tensor) -> Tensor:
    """(1, rows, w_dim) each row at most LARGEST_ROW from the mean of all: far from W shifts fall apart."""
    middle = code.mean(1, keepdim=True)
    apart = code - middle
    away = apart.square().mean(2, keepdim=True).sqrt()
    return middle + apart * (LARGEST_ROW / away.clamp_min(LARGEST_ROW))


def _tuned(synthesis: nn.Module) -> Iterator[nn.Parameter]:
    """What may be tuned: convolutions and biases; styles stay, so that directions mean what they meant."""
    for name, parameter in synthesis.named_parameters():
        if "affine" not in name and ".up." not in name and name != "constant":
            yield parameter


def _recogniser() -> FaceEmbedding | None:
    """The recogniser where its package is installed; enrolment goes by colours alone without."""
    try:
        return open_embedding()
    except ModelUnavailable:
        return None


def _silent(what: str, done: int, total: int) -> None:
    return None
