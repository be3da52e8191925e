# SPDX-License-Identifier: MIT
"""Writes small StyleGAN3 pickles as NVIDIA's training does: geometry by the paper, every term random."""

import math
import pickle
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from checkpoint_files import Array, Drawn, module_tree, nvidia_modules

W_DIM, Z_DIM = 24, 20
MARGIN = 10  # samples around the picture, on every grid but the last two
TAPS = 6  # of a filter, for each sample of the lower rate


@dataclass(frozen=True)
class Grid:
    """What one layer makes: (size, size) samples of so many channels, `rate` of them a picture's width."""

    size: int
    rate: int
    channels: int
    critical: bool = False  # the last ones, whose filters are never round

    @property
    def half(self) -> float:
        return self.rate / 2


def grids(
    kind: str, *, resolution: int = 32, layers: int = 4, base: int = 128, widest: int = 8
) -> list[Grid]:
    """The layers of config T or R, the one that makes the image last (Karras et al. 2021, appendix C.1)."""
    found = []
    for index in range(layers + 1):
        share = min(index / (layers - 2), 1)
        cutoff = 2 * (resolution / 4) ** share
        stopband = 2**2.1 * (resolution / 2 * 2**0.3 / 2**2.1) ** share
        rate = 2 ** math.ceil(math.log2(min(2 * stopband, resolution)))
        channels = round(min((base if kind == "T" else 2 * base) / 2 / cutoff, widest))
        inside = index < layers - 1
        size = rate + 2 * MARGIN if inside else resolution
        found.append(Grid(size, rate, channels, critical=index >= layers - 2))
    found[-1] = replace(found[-1], channels=3)
    return found


def layer_names(layers: list[Grid]) -> list[str]:
    return [f"L{index}_{grid.size}_{grid.channels}" for index, grid in enumerate(layers)]


def factors(before: Grid, after: Grid) -> tuple[int, int]:
    return 2 * max(before.rate, after.rate) // before.rate, 2 * max(before.rate, after.rate) // after.rate


def stylegan3_state(kind: str, *, seed: int = 0, layers: list[Grid] | None = None) -> dict[str, Array]:
    """The generator's tensors by NVIDIA's names. Filters are random too, so that mirrored ones show."""
    draw = Drawn(seed)
    layers = layers or grids(kind)
    state: dict[str, Array] = {}
    for index in range(2):
        state[f"mapping.fc{index}.weight"] = draw(W_DIM, W_DIM if index else Z_DIM, scale=100)
        state[f"mapping.fc{index}.bias"] = draw(W_DIM, scale=30)
    state["mapping.w_avg"] = draw(W_DIM)
    width = layers[0].channels
    state["synthesis.input.weight"] = draw(width, width, scale=2)
    state["synthesis.input.affine.weight"] = draw(4, W_DIM, scale=0.3)
    state["synthesis.input.affine.bias"] = draw(4, scale=0.3) + np.array([1, 0, 0, 0], np.float32)
    state["synthesis.input.transform"] = np.array([[0.9, 0.3, 0.1], [-0.2, 1.1, -0.2], [0, 0, 1]], np.float32)
    state["synthesis.input.freqs"] = draw(width, 2, scale=2)  # some of them out of band
    state["synthesis.input.phases"] = draw(width, scale=0.3)
    kernel = 3 if kind == "T" else 1
    before = layers[0]
    for index, (grid, name) in enumerate(zip(layers, layer_names(layers), strict=True)):
        last, path = index == len(layers) - 1, f"synthesis.{name}"
        size = 1 if last else kernel
        state[f"{path}.weight"] = draw(grid.channels, before.channels, size, size, scale=10 if last else 1)
        state[f"{path}.bias"] = draw(grid.channels, scale=0.3)
        state[f"{path}.affine.weight"] = draw(before.channels, W_DIM)
        state[f"{path}.affine.bias"] = draw(before.channels, scale=0.3, centre=1)
        state[f"{path}.magnitude_ema"] = np.array(0.3 + abs(draw()), np.float32)
        if not last:
            up, down = factors(before, grid)
            state[f"{path}.up_filter"] = low_pass(draw, up)
            line = low_pass(draw, down)
            radial = kind == "R" and not grid.critical
            if radial:
                noise = draw(TAPS * down, TAPS * down, scale=0.1 / (TAPS * down) ** 2)
                state[f"{path}.down_filter"] = np.outer(line, line) + noise
            else:
                state[f"{path}.down_filter"] = line
        before = grid
    return state


def low_pass(draw: Drawn, factor: int) -> Array:
    """Taps with the spread of a low-pass, but of no symmetry."""
    at = np.arange(TAPS * factor) - (TAPS * factor - 1) / 2
    taps = np.sinc(at / factor) * np.hanning(TAPS * factor + 2)[1:-1]
    return (taps / taps.sum() + draw(TAPS * factor, scale=0.2 / (TAPS * factor))).astype(np.float32)


def layer_attributes(kind: str, layers: list[Grid], *, clamp: float | None) -> dict[str, dict[str, Any]]:
    """What layers say of themselves, by path; sizes are numpy's, as in real files."""
    first = layers[0]
    said: dict[str, dict[str, Any]] = {
        "synthesis.input": {
            "size": np.array([first.size] * 2),
            "sampling_rate": np.float64(first.rate),
            "bandwidth": np.float64(2),
        },
        "synthesis": {"layer_names": layer_names(layers), "output_scale": 0.25, "num_fp16_res": 4},
    }
    before, kernel = first, 3 if kind == "T" else 1
    for index, (grid, name) in enumerate(zip(layers, layer_names(layers), strict=True)):
        last = index == len(layers) - 1
        up, down = (1, 1) if last else factors(before, grid)
        up_taps, down_taps = (1, 1) if last else (TAPS * up, TAPS * down)
        # What the filters and the convolution shorten is made up for; samples keep their places.
        total = (grid.size - 1) * down + 1 - (before.size + (0 if last else kernel - 1)) * up
        total += up_taps + down_taps - 2
        low = (total + up) // 2
        said[f"synthesis.{name}"] = {
            "is_torgb": last,
            "is_critically_sampled": grid.critical,
            "use_fp16": grid.rate * 16 > layers[-1].rate,
            "in_size": np.array([before.size] * 2),
            "out_size": np.array([grid.size] * 2),
            "in_sampling_rate": before.rate,
            "out_sampling_rate": grid.rate,
            "up_factor": up,
            "down_factor": down,
            "conv_clamp": clamp,
            "padding": [low, total - low, low, total - low],
        }
        before = grid
    return said


def write_stylegan3(
    path: Path,
    kind: str,
    state: dict[str, Array],
    *,
    layers: list[Grid] | None = None,
    clamp: float | None = 256,
    options: dict[str, Any] | None = None,
    attributes: dict[str, dict[str, Any]] | None = None,
    protocol: int = 4,
) -> None:
    """A pickle of the generator. options: more keywords; attributes: changes to what layers say, by path."""
    layers = layers or grids(kind)
    said = layer_attributes(kind, layers, clamp=clamp)
    for at, changes in (attributes or {}).items():
        said.setdefault(at, {}).update(changes)
    weights = ("weight", "bias")
    with nvidia_modules() as (persistent, easy_dict):

        def module(name: str, tree: dict[str, Any], at: str) -> Any:
            leaves = {k: v for k, v in tree.items() if isinstance(v, torch.Tensor)}
            children = ((k, module(k, v, f"{at}.{k}".strip("."))) for k, v in tree.items() if k not in leaves)
            inner = {
                "training": False,
                "_parameters": OrderedDict((k, v) for k, v in leaves.items() if k in weights),
                "_buffers": OrderedDict((k, v) for k, v in leaves.items() if k not in weights),
                "_non_persistent_buffers_set": set(),
                "_modules": OrderedDict(children),
                "_init_args": (),
                "_init_kwargs": easy_dict(),
                **said.get(at, {}),
            }
            if at.startswith("synthesis.L") and at.count(".") == 1 and "up_filter" not in leaves:
                inner["_buffers"].update(up_filter=None, down_filter=None)
            return persistent(name, inner, "class Generator: pass\n")

        generator = module("Generator", module_tree(state), "")
        keywords = easy_dict(
            z_dim=Z_DIM, c_dim=0, w_dim=W_DIM, img_resolution=layers[-1].size, img_channels=3
        )
        keywords.update(mapping_kwargs=easy_dict(num_layers=2), magnitude_ema_beta=0.999, **(options or {}))
        generator.meta["state"]["_init_kwargs"] = keywords
        saved = {"G": None, "D": None, "G_ema": generator, "training_set_kwargs": easy_dict(a=1)}
        path.write_bytes(pickle.dumps(saved, protocol=protocol))
