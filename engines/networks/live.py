# SPDX-License-Identifier: MIT
"""A method's networks joined to one: a driver's motion to an uint8 picture. Knows no file and no face.

Static batch 1, and the same parts as the separate networks, shared and not copied.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engines.base import TensorSpec

HALF_RANGE, MIDDLE = 127.5, 128.0  # [-1, 1] becomes trunc(127.5 x + 128), clipped: the authors' own form


@dataclass(frozen=True, slots=True)
class LiveConfig:
    """How a live network treats its latent; kept in model.json."""

    psi: float = 1.0  # w = centre + psi (w - centre), after the shift
    limit: float | None = None  # of each number of the motion, in the mover's own unit


class Picture(nn.Module):
    """W+ (1, rows, w_dim) to uint8 (1, H, W, 3): truncation, synthesis, grey levels."""

    def __init__(self, synthesis: nn.Module, config: LiveConfig, centre: Tensor | None) -> None:
        super().__init__()
        if config.psi != 1 and centre is None:
            raise ValueError(f"psi is {config.psi} and there is no centre of truncation")
        self.psi, self.synthesis = config.psi, synthesis
        rows, w_dim = row_shape(synthesis.inputs[0])
        kept = None if config.psi == 1 else _centre(centre, rows, w_dim)
        self.register_buffer("centre", kept)
        self.rows, self.w_dim = rows, w_dim
        self.output = picture_spec(synthesis.outputs[0])

    def forward(self, w: Tensor) -> Tensor:
        if self.psi != 1:
            w = self.centre * (1 - self.psi) + w * self.psi
        return grey_levels(self.synthesis(w))


class ShiftLive(nn.Module):
    """The portrait's W+ shifted by what `mover` makes of the motion: the methods directions and landmarks.

    Row r of the shift is added to row r of the identity; rows that the shift does not have stay.
    """

    kind = "live-shift"

    def __init__(
        self, synthesis: nn.Module, mover: nn.Module, config: LiveConfig, centre: Tensor | None
    ) -> None:
        super().__init__()
        self.config, self.mover, self.picture = config, mover, Picture(synthesis, config, centre)
        rows, w_dim = self.picture.rows, self.picture.w_dim
        self.moved, shift_dim = row_shape(mover.outputs[0])
        if self.moved > rows or shift_dim != w_dim:
            raise ValueError(f"the shift is {self.moved} x {shift_dim}, the generator reads {rows} x {w_dim}")
        self.inputs = (TensorSpec("identity", (1, rows, w_dim)), *_one(mover.inputs))
        self.outputs = (self.picture.output,)

    def forward(self, identity: Tensor, *motion: Tensor) -> Tensor:
        limit = self.config.limit
        if limit is not None:
            motion = tuple(value.clamp(-limit, limit) for value in motion)
        w = identity[:, : self.moved] + self.mover(*motion)
        if self.moved < self.picture.rows:
            w = torch.cat([w, identity[:, self.moved :]], dim=1)
        return self.picture(w)


class MappedLive(nn.Module):
    """A whole W+ made anew from identity and motion by `mapping`: the method motion."""

    kind = "live-mapped"

    def __init__(
        self, synthesis: nn.Module, mapping: nn.Module, config: LiveConfig, centre: Tensor | None
    ) -> None:
        super().__init__()
        if config.limit is not None:
            raise ValueError("a limit holds for parameters of a face, and a mapping's motion has none")
        self.config, self.mapping, self.picture = config, mapping, Picture(synthesis, config, centre)
        found, wanted = row_shape(mapping.outputs[0]), (self.picture.rows, self.picture.w_dim)
        if found != wanted:
            raise ValueError(f"the mapping makes {found[0]} x {found[1]}, the generator reads {wanted}")
        self.inputs, self.outputs = _one(mapping.inputs), (self.picture.output,)

    def forward(self, *motion: Tensor) -> Tensor:
        return self.picture(self.mapping(*motion))


class StyleLive(nn.Module):
    """The portrait's styles (1, C) with offsets of the motion added: the method stylespace."""

    kind = "live-style"

    def __init__(self, synthesis: nn.Module, offsets: nn.Module, config: LiveConfig) -> None:
        super().__init__()
        if config.psi != 1:
            raise ValueError("styles are not truncated: the portrait's latent was, before it became styles")
        found, wanted = offsets.outputs[0].shape[1], synthesis.inputs[0].shape[1]
        if found != wanted:
            raise ValueError(f"the offsets are of {found} styles, the generator reads {wanted}")
        self.config, self.synthesis, self.offsets = config, synthesis, offsets
        self.inputs = (*_one(synthesis.inputs), *_one(offsets.inputs))
        self.outputs = (picture_spec(synthesis.outputs[0]),)

    def forward(self, style: Tensor, alpha: Tensor) -> Tensor:
        if self.config.limit is not None:
            alpha = alpha.clamp(-self.config.limit, self.config.limit)
        return grey_levels(self.synthesis(style + self.offsets(alpha)))


Live = ShiftLive | MappedLive | StyleLive


def grey_levels(image: Tensor) -> Tensor:
    """(1, 3, H, W), about [-1, 1], to uint8 (1, H, W, 3)."""
    return (image * HALF_RANGE + MIDDLE).clamp(0, 255).permute(0, 2, 3, 1).to(torch.uint8)


def picture_spec(image: TensorSpec) -> TensorSpec:
    """What grey_levels makes of a generator's output."""
    _, channels, height, width = image.shape
    if channels != 3:
        raise ValueError(f"the generator makes {channels} channels, expected 3")
    return TensorSpec("image", (1, height, width, 3), "uint8")


def row_shape(spec: TensorSpec) -> tuple[int, int]:
    """Rows and width of a W+ that a network reads or makes."""
    if len(spec.shape) != 3 or not all(isinstance(size, int) for size in spec.shape[1:]):
        raise ValueError(f"{spec.name} has shape {spec.shape}, expected (n, rows, w_dim)")
    return int(spec.shape[1]), int(spec.shape[2])


def _centre(centre: Tensor | None, rows: int, w_dim: int) -> Tensor:
    """(1, 1 or rows, w_dim)."""
    assert centre is not None
    shaped = centre.detach().float().reshape(1, -1, w_dim)
    if shaped.shape[1] not in (1, rows):
        raise ValueError(f"the centre has {shaped.shape[1]} rows, expected 1 or {rows}")
    return shaped


def _one(specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """Specs with every free dimension at 1."""
    return tuple(
        TensorSpec(spec.name, tuple(1 if isinstance(size, str) else size for size in spec.shape), spec.dtype)
        for spec in specs
    )
