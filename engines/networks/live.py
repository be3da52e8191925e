# SPDX-License-Identifier: MIT
"""The two networks of a frame: a mover makes w (or style offsets) of a motion, a generator the picture of it.

Each holds one network of another file, shared and not copied, and says in its Config which. Batch 1. Names
and shapes of what they read and make: engines/graphs.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from engines.base import TensorSpec, one_sample
from engines.graphs import GENERATOR, IDENTITY, IMAGE, MOVER, STYLES, W
from engines.networks.store import Network, config_of, network_class

HALF_RANGE, MIDDLE = 127.5, 128.0  # [-1, 1] becomes trunc(127.5 x + 128), clipped: the authors' own form


@dataclass(frozen=True)
class LiveGeneratorConfig:
    kind: str  # of the generator
    network: Any  # its Config
    styles: bool = False  # whether offsets of styles are an input

    def __post_init__(self) -> None:
        _restore(self, "generator")


@dataclass(frozen=True)
class MoverConfig:
    kind: str  # of what makes shift, w or offsets of the motion
    network: Any  # its Config
    rows: int  # of W+, as the generator reads it
    psi: float = 1.0  # w = centre + psi (w - centre), after the shift
    limit: float | None = None  # of each number of the motion, in the network's own unit

    def __post_init__(self) -> None:
        _restore(self)


class LiveGenerator(nn.Module):
    """w (and, where Config says so, offsets of the styles made of it) to an uint8 picture."""

    kind: ClassVar[str] = "live-generator"
    role: ClassVar[str] = GENERATOR
    Config: ClassVar[type] = LiveGeneratorConfig

    def __init__(self, config: LiveGeneratorConfig, network: Network | None = None) -> None:
        super().__init__()
        self.config = config
        self.network = _network(config, network)
        rows, w_dim = row_shape(self.network.inputs[0])
        styles: tuple[TensorSpec, ...] = ()
        if config.styles:
            if not hasattr(self.network, "style_channels"):
                raise ValueError(f"offsets are of a StyleGAN2's styles, the generator is {config.kind}")
            styles = (TensorSpec(STYLES, (1, sum(self.network.style_channels))),)
        self.inputs = (TensorSpec(W, (1, rows, w_dim)), *styles)
        self.outputs = (picture_spec(self.network.outputs[0]),)

    def forward(self, w: Tensor, *styles: Tensor) -> Tensor:
        return grey_levels(self.network(w, *styles))


class ShiftMover(nn.Module):
    """The portrait's W+ shifted by what its network makes of the motion: the methods directions, landmarks.

    Row r of the shift is added to row r of the identity; rows that the shift does not have stay.
    """

    kind: ClassVar[str] = "shift-mover"
    role: ClassVar[str] = MOVER
    Config: ClassVar[type] = MoverConfig

    def __init__(self, config: MoverConfig, network: Network | None = None) -> None:
        super().__init__()
        self.config = config
        self.network = _network(config, network)
        self.moved, w_dim = row_shape(self.network.outputs[0])
        if self.moved > config.rows:
            raise ValueError(f"the shift has {self.moved} rows, the generator reads {config.rows}")
        _add_centre(self, config.rows, w_dim)
        self.inputs = (TensorSpec(IDENTITY, (1, config.rows, w_dim)), *one_sample(self.network.inputs))
        self.outputs = (TensorSpec(W, (1, config.rows, w_dim)),)

    def forward(self, identity: Tensor, *motion: Tensor) -> Tensor:
        w = identity[:, : self.moved] + self.network(*_limited(motion, self.config.limit))
        if self.moved < self.config.rows:
            w = torch.cat([w, identity[:, self.moved :]], dim=1)
        return _truncated(w, self.centre, self.config.psi)


class MappedMover(nn.Module):
    """A whole W+ made anew of identity and motion by a mapping: the method motion."""

    kind: ClassVar[str] = "mapped-mover"
    role: ClassVar[str] = MOVER
    Config: ClassVar[type] = MoverConfig

    def __init__(self, config: MoverConfig, network: Network | None = None) -> None:
        super().__init__()
        self.config = config
        self.network = _network(config, network)
        rows, w_dim = row_shape(self.network.outputs[0])
        if config.limit is not None:
            raise ValueError("a limit holds for parameters of a face, and a mapping's motion has none")
        if rows != config.rows:
            raise ValueError(f"the mapping makes {rows} rows, the generator reads {config.rows}")
        _add_centre(self, rows, w_dim)
        self.inputs = one_sample(self.network.inputs)
        self.outputs = (TensorSpec(W, (1, rows, w_dim)),)

    def forward(self, *motion: Tensor) -> Tensor:
        return _truncated(self.network(*motion), self.centre, self.config.psi)


class StyleMover(nn.Module):
    """Offsets of a generator's styles: the method stylespace."""

    kind: ClassVar[str] = "style-mover"
    role: ClassVar[str] = MOVER
    Config: ClassVar[type] = MoverConfig

    def __init__(self, config: MoverConfig, network: Network | None = None) -> None:
        super().__init__()
        self.config = config
        self.network = _network(config, network)
        if config.psi != 1:
            raise ValueError("styles are not truncated: the portrait's latent was, before it became styles")
        self.inputs = one_sample(self.network.inputs)
        self.outputs = (TensorSpec(STYLES, (1, self.network.outputs[0].shape[1])),)

    def forward(self, *motion: Tensor) -> Tensor:
        offsets: Tensor = self.network(*_limited(motion, self.config.limit))
        return offsets


Mover = ShiftMover | MappedMover | StyleMover


class Live:
    """A mover and a generator in a row: what a frame costs, and what graphs are held against."""

    def __init__(self, generator: LiveGenerator, mover: Mover) -> None:
        """ValueError where the generator does not read what the mover makes."""
        self.generator, self.mover = generator, mover
        read = {spec.name: spec for spec in generator.inputs}
        for made in mover.outputs:
            if read.get(made.name) != made:
                wanted = read[made.name].shape if made.name in read else f"{', '.join(read)} alone"
                raise ValueError(f"{made.name} is {made.shape}, the generator reads {wanted}")
        made_names = {spec.name for spec in mover.outputs}
        self.inputs = (*mover.inputs, *(spec for spec in generator.inputs if spec.name not in made_names))
        self.outputs = generator.outputs

    def latents(self, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the generator reads, of the inputs of both."""
        (made,) = self.mover.outputs
        moved = self.mover(*(given[spec.name] for spec in self.mover.inputs))
        return {spec.name: moved if spec == made else given[spec.name] for spec in self.generator.inputs}

    def __call__(self, *inputs: Tensor) -> Tensor:
        names = (spec.name for spec in self.inputs)
        image: Tensor = self.generator(*self.latents(dict(zip(names, inputs, strict=True))).values())
        return image


def grey_levels(image: Tensor) -> Tensor:
    """(1, 3, H, W), about [-1, 1], to uint8 (1, H, W, 3)."""
    return (image * HALF_RANGE + MIDDLE).clamp(0, 255).permute(0, 2, 3, 1).to(torch.uint8)


def picture_spec(image: TensorSpec) -> TensorSpec:
    """What grey_levels makes of a generator's output."""
    _, channels, height, width = image.shape
    if channels != 3:
        raise ValueError(f"the generator makes {channels} channels, expected 3")
    return TensorSpec(IMAGE, (1, height, width, 3), "uint8")


def row_shape(spec: TensorSpec) -> tuple[int, int]:
    """Rows and width of a W+ that a network reads or makes."""
    if len(spec.shape) != 3 or not all(isinstance(size, int) for size in spec.shape[1:]):
        raise ValueError(f"{spec.name} has shape {spec.shape}, expected (n, rows, w_dim)")
    return int(spec.shape[1]), int(spec.shape[2])


def _restore(config: Any, role: str = "") -> None:
    """A Config read from a file has its network's as a dictionary; ValueError for a kind that cannot be."""
    if isinstance(config.network, dict):
        network = network_class(config.kind)
        if network.role in (GENERATOR, MOVER) or (role and network.role != role):
            raise ValueError(f"kind {config.kind!r} inside of it")
        object.__setattr__(config, "network", config_of(network.Config, config.network))


def _network(config: Any, network: Network | None) -> Any:
    return network_class(config.kind)(config.network) if network is None else network


def _limited(motion: tuple[Tensor, ...], limit: float | None) -> tuple[Tensor, ...]:
    return motion if limit is None else tuple(value.clamp(-limit, limit) for value in motion)


def _add_centre(mover: nn.Module, rows: int, w_dim: int) -> None:
    """The mean latent (1, rows, w_dim), where the mover truncates."""
    mover.register_buffer("centre", None if mover.config.psi == 1 else torch.zeros(1, rows, w_dim))


def _truncated(w: Tensor, centre: Tensor | None, psi: float) -> Tensor:
    return w if centre is None else centre * (1 - psi) + w * psi
