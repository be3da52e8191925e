# SPDX-License-Identifier: MIT
"""A photo to an identity folder: inverted, refined, the generator tuned on it (LOR, Bounareli et al. 2024).

The code starts at the encoder's guess (without one: at the mean) and is refined near W, where directions
hold; then the generator learns what the code cannot say, with the code fixed. Steps are counted, not seconds:
a busy machine makes what an idle one does, only later.
"""

import hashlib
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

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
from training.shards import written_whole

Step = Callable[[str, int, int], None]  # what is done, how many, of how many

ENCODER_PX = 256
# Pull of the code towards W: rows towards their mean, their mean towards where it started.
ROWS_TOGETHER, NEAR_START = 0.02, 0.005
WARM_SHARE, COOL_SHARE = 0.05, 0.4  # of the steps: rate rises, rate falls
LARGEST_ROW = 0.75  # root mean square a row may lie away from the mean of all rows


KEPT_EVERY = 10  # steps: at most so many are done again when an enrolment was stopped
# What an enrolled portrait is worth: of 40 shared ones the worst had 22 dB and a distance of .07; two photos
# of one person are .29 apart, two people .85.
LEAST_PSNR_DB, LARGEST_DISTANCE = 20.0, 0.3


@dataclass(frozen=True, slots=True)
class EnrolConfig:
    """How much is done; all that decides what comes out."""

    code_steps: int = 100
    tune_steps: int = 200
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

    @property
    def shortfall(self) -> str:
        """What it lacks to be taken for the person; empty where it lacks nothing."""
        if self.psnr_db >= LEAST_PSNR_DB and not self.distance_tuned > LARGEST_DISTANCE:
            return ""
        apart = (
            "" if np.isnan(self.distance_tuned) else f", {self.distance_tuned:.2f} apart for the recogniser"
        )
        return (
            f"{self.folder}: the face is {self.psnr_db:.1f} dB near to the photo{apart}, expected "
            f"{LEAST_PSNR_DB:.0f} dB or more and {LARGEST_DISTANCE} or less: it may pass for another person"
        )


def enrol(
    photo: Path,
    out: Path,
    *,
    size: int = 256,
    config: EnrolConfig | None = None,
    more: int = 0,
    kept_in: Path | None = None,
    on_step: Step | None = None,
) -> Enrolled:
    """Write the identity folder `out`; nothing is left in it when it fails or is interrupted.

    `kept_in` is a folder for how far it is: the same call then goes on where one was stopped, and ends with
    the same identity; and `more` steps tune on where an enrolment of this photo ended. An identity of the
    same portrait that is there already keeps its codes in other generators and sizes. Raises BadPortrait or
    BadImage for the photo, ModelUnavailable for what is not installed or not there to go on with.
    """
    config = config or EnrolConfig()
    began_s = time.perf_counter()
    portrait = open_portrait(read_photo(photo), photo.name, longest=LONGEST_PX)
    torch.set_num_threads(config.threads)
    parts = load_parts(size)
    crop = aligned_crop(portrait.image, portrait.landmarks, size)
    work = _Work(parts, crop, portrait, photo.name, config, on_step or _silent, began_s)
    digest = hashlib.sha256(photo.read_bytes()).hexdigest()
    if kept_in is not None:
        work.kept = kept_in / f"{digest[:16]}-{code_folder(parts.key, size)}.pt"
    work.perform(more)
    return work.save(digest, out)


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
        self.start = self.code.mean(1, keepdim=True)
        self.middle, self.rows = nn.Parameter(self.start.clone()), nn.Parameter(self.code - self.start)
        self.code_steps = self.tune_steps = 0
        self.distance_start = self.likeness.identity_distance(self._picture())
        self.distance_code = self.distance_start
        self.kept: Path | None = None  # the file that holds how far it is
        self.plan: list[float] = []
        self.going_on: dict[str, Any] = {}  # what a stopped enrolment left

    def _first_code(self) -> Tensor:
        rows = self.parts.synthesis.config.rows
        mean = self.parts.w_mean.expand(1, rows, -1).clone()
        if self.recogniser is None:
            return mean
        return encoded(self.parts.encoder.attach(self.recogniser), self.crop.image)

    def _picture(self) -> Tensor:
        with torch.no_grad():
            return self.synthesis(self.code)

    def perform(self, more: int) -> None:
        """All steps that are not done yet; `more` of tuning after those of an enrolment that ended."""
        config = self.config
        self.plan = [config.code_steps, config.tune_steps, config.code_rate, config.tune_rate, more]
        state = self._read_kept()
        if state and state["plan"] == self.plan and state["phase"] != "done":
            self._take(state)
            self.going_on = state
        elif more:
            if not state or state["phase"] != "done":
                raise ModelUnavailable(
                    f"{self.name}: no enrolment that ended is kept here, expected one to go on with; "
                    "run the command without --more"
                )
            self._take(state)
        if not more and self.going_on.get("phase") != "tuning":
            self.refine()
        self.tune(more or config.tune_steps)
        self._keep("done", 0, None)

    def refine(self) -> None:
        """The code by gradient descent, held near where it started and near W."""

        def loss() -> Tensor:
            apart = self.rows - self.rows.mean(1, keepdim=True)
            found, _ = self.likeness(self.synthesis(self.middle + self.rows))
            held = ROWS_TOGETHER * apart.square().sum() / self.rows.shape[1] / 10
            return found + held + NEAR_START * (self.middle - self.start).square().sum()

        count, rate = self.config.code_steps, self.config.code_rate
        for _ in self._descend("refining", count, [self.middle, self.rows], rate, (0.9, 0.999), loss):
            self.code_steps += 1
        with torch.no_grad():
            self.code = bounded_rows(self.middle + self.rows)
        self.distance_code = self.likeness.identity_distance(self._picture())

    def tune(self, count: int) -> None:
        """The generator's weights on this one picture, its code fixed; what the code said best is kept."""
        weights = list(_tuned(self.synthesis))
        for weight in weights:
            weight.requires_grad_(True)

        def loss() -> Tensor:
            return self.likeness(self.synthesis(self.code))[0]

        for _ in self._descend("tuning", count, weights, self.config.tune_rate, (0.9, 0.99), loss):
            self.tune_steps += 1
        self.synthesis.requires_grad_(False)

    def _descend(
        self,
        phase: str,
        count: int,
        weights: Sequence[nn.Parameter],
        rate: float,
        betas: tuple[float, float],
        loss: Callable[[], Tensor],
    ) -> Iterator[int]:
        """Steps of Adam that are not done yet, the rate rising and falling over all `count` of them."""
        optimiser = torch.optim.Adam(weights, lr=rate, betas=betas)
        first = 0
        if self.going_on.get("phase") == phase:
            optimiser.load_state_dict(self.going_on["optimiser"])
            first = int(self.going_on["done"])
        for step in range(first, count):
            if step % KEPT_EVERY == 0 and step > first:
                self._keep(phase, step, optimiser)
            share = step / count
            for group in optimiser.param_groups:
                group["lr"] = rate * min(share / WARM_SHARE, 1.0, max((1 - share) / COOL_SHARE, 0.02))
            self.on_step(phase, step, count)
            optimiser.zero_grad(set_to_none=True)
            loss().backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            yield step
        self.on_step(phase, count, count)

    def _keep(self, phase: str, done: int, optimiser: torch.optim.Optimizer | None) -> None:
        if self.kept is None:
            return
        state = {
            "plan": self.plan,
            "phase": phase,
            "done": done,
            "optimiser": optimiser.state_dict() if optimiser else None,
            "synthesis": self.synthesis.state_dict(),
            "code": [self.start, self.middle.detach(), self.rows.detach()],
            "steps": [self.code_steps, self.tune_steps],
            "distance_code": self.distance_code,
        }
        try:
            self.kept.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(self.kept) as unfinished:
                torch.save(state, unfinished)
        except OSError as error:
            raise SinkUnavailable(
                f"cannot write how far it is to {self.kept} ({error.strerror}); make room there"
            ) from error

    def _read_kept(self) -> dict[str, Any] | None:
        """What an enrolment of this photo left; None without one, or where its file is damaged."""
        if self.kept is None or not self.kept.is_file():
            return None
        try:
            state = torch.load(self.kept, weights_only=True, map_location="cpu")
            return state if {"plan", "phase", "steps"} <= state.keys() else None
        except (OSError, RuntimeError, ValueError, EOFError, AttributeError, pickle.UnpicklingError):
            return None

    def _take(self, state: dict[str, Any]) -> None:
        self.synthesis.load_state_dict(state["synthesis"])
        self.start = state["code"][0]
        with torch.no_grad():
            self.middle.copy_(state["code"][1])
            self.rows.copy_(state["code"][2])
            self.code = bounded_rows(self.middle + self.rows)
        self.code_steps, self.tune_steps = state["steps"]
        self.distance_code = state["distance_code"]

    def save(self, digest: str, out: Path) -> Enrolled:
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
