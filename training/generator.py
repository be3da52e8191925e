# SPDX-License-Identifier: MIT
"""The generator that is trained with: ffhq-mobile at 256 pixels, frozen, and its vectors w."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from engines.ffhq_mobile import HEADS, WEIGHTS, package_folder
from engines.networks.mobile_stylegan import MobileHead, MobileSynthesis, cut_short
from engines.networks.store import load_network
from engines.networks.stylegan2 import Mapping
from export.checkpoints.ffhq_mobile import read_ffhq_mobile

SIZE = 256


@dataclass(frozen=True, slots=True)
class Generator:
    """Synthesis and mapping with the mean of w."""

    synthesis: MobileSynthesis
    mapping: Mapping
    half: bool = False  # bfloat16 where it is faster: 0.28 s instead of 0.41 s a sample there and back

    @property
    def rows(self) -> int:
        return self.synthesis.config.rows

    @property
    def mean(self) -> Tensor:
        """(512,)"""
        return self.mapping.w_avg.reshape(-1, self.mapping.w_avg.shape[-1])[0]

    def sample(self, count: int, *, seed: int, psi: tuple[float, float] = (0.7, 0.7)) -> Tensor:
        """(count, 512) truncated vectors w; psi is drawn evenly from its range."""
        source = torch.Generator().manual_seed(seed)
        z = torch.randn(count, 512, generator=source)
        share = psi[0] + (psi[1] - psi[0]) * torch.rand(count, 1, generator=source)
        with torch.no_grad():
            w = self.mapping.w_of(z, None)
        return self.mean + share * (w - self.mean)

    def __call__(self, w: Tensor, shift: Tensor | None = None) -> Tensor:
        """(N, 3, 256, 256) of w (N, 512) or W+ (N, rows, 512), the first rows shifted by (N, r, 512)."""
        if w.ndim == 2:
            w = w[:, None].expand(-1, self.rows, -1)
        if shift is not None:
            moved = min(shift.shape[1], self.rows)  # rows that run only at larger sizes are left out
            w = torch.cat([w[:, :moved] + shift[:, :moved], w[:, moved : self.rows]], 1)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.half):
            images = self.synthesis(w[:, : self.rows]).float()
        if images.shape[-1] != SIZE:
            images = functional.interpolate(images, size=(SIZE, SIZE), mode="area")
        return images


def open_generator(*, half: bool = False) -> Generator:
    """Cut short at 256 by our own head where there is one, else whole and reduced: five times slower."""
    networks = read_ffhq_mobile(package_folder()).networks
    synthesis, mapping = networks["generator"], networks["mapping"]
    assert isinstance(synthesis, MobileSynthesis) and isinstance(mapping, Mapping)
    head_path = WEIGHTS / HEADS[SIZE]
    if head_path.is_file():
        synthesis = cut_short(synthesis, load_network(head_path, MobileHead), size=SIZE)
    for network in (synthesis, mapping):
        network.eval().requires_grad_(False)
    return Generator(synthesis, mapping, half)
