# SPDX-License-Identifier: MIT
"""StyleSpace's tables (Wu et al. 2021, files of betterze/StyleSpace) as named controls of styles.

Knows three of its files, for the generator of 1024 pixels of faces (FFHQ, config f), and no generator:

    S_mean_std        mean and spread of every channel: the published controls, one unit of alpha a spread
    S                 the channels of sampled images, from which the same is worked out
    semantic_top_32   how often a channel moves most within each region of the face: the channels of eyes,
                      brows and mouth that do so most, one unit of alpha a unit of s (it tells no spread)

Oorloff and Yacoob edit 32 such channels; which ones was not published, so the 32 of the last are our choice
from that table. StyleFlow, which turns the head in their work, is no table and is not read.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.networks.stylespace import StyleLayout, StyleOffsets, StyleOffsetsConfig, layout_of
from export.checkpoints.imported import Imported, built
from export.checkpoints.shown import shown
from export.checkpoints.tensors import as_array
from face.errors import BadCheckpoint

ORIGIN = "stylespace"
LICENCE = "none stated by the authors: all rights reserved"
CHANNELS = (512, 512, 512, 512, 512, 256, 128, 64, 32)  # of the generator the tables were made for
# The channels that the paper names, as (layer, channel).
PUBLISHED = {
    "smile": (6, 501), "lipstick": (15, 45), "goatee": (9, 421), "sideburns": (12, 237), "gender": (9, 6),
    "bangs_0": (3, 259), "bangs_1": (6, 285), "bangs_2": (5, 414), "bangs_3": (6, 128), "bangs_4": (9, 295),
    "bangs_5": (6, 322), "bangs_6": (6, 487), "bangs_7": (6, 504), "glasses_0": (3, 288),
    "glasses_1": (2, 175), "glasses_2": (3, 120), "glasses_3": (2, 97), "earrings": (8, 81),
    "hair_colour_0": (12, 479), "hair_colour_1": (12, 266), "hair_colour_2": (11, 286),
}  # fmt: skip
REGIONS = (
    "others", "background", "skin", "eyebrow", "eye", "ear", "nose", "mouth", "neck", "clothes", "hair",
)  # fmt: skip
MOVING = {
    "eyebrow": 8,
    "eye": 8,
    "mouth": 16,
}  # channels taken of each: 32, as many as Oorloff and Yacoob edit
Table = list[NDArray[Any]]  # one array a layer


def layout() -> StyleLayout:
    return layout_of(CHANNELS)


def _table(value: Any, dimensions: int) -> Table | None:
    """Arrays of that many dimensions, or None."""
    arrays = [as_array(item) for item in value] if isinstance(value, list | tuple) else []
    known = [array for array in arrays if array is not None and array.ndim == dimensions]
    return known if arrays and len(known) == len(arrays) else None


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(name, str) for name in value)


def matches(root: Any) -> bool:
    if not isinstance(root, list | tuple):
        return False
    if len(root) == 2 and (_is_names(root[0]) or _table(root[0], 1) is not None):
        return _table(root[1], 2 if _is_names(root[0]) else 1) is not None
    shares = _table(root, 2)
    return shares is not None and all(array.shape[1] == len(REGIONS) for array in shares)


def read(root: Any) -> Imported:
    """The controls as a network from their strengths to an offset of all styles."""
    if _table(root, 2) is not None:
        return _by_region(_checked(_table(root, 2), "regions"))
    if _is_names(root[0]):
        samples = _checked(_table(root[1], 2), "samples", axis=1)
        _check_names(root[0])
        if len(samples[0]) < 2:
            raise BadCheckpoint(f"it holds the styles of {len(samples[0])} image, expected at least 2")
        return _published([layer.astype(np.float64).std(axis=0) for layer in samples])
    _checked(_table(root[0], 1), "mean")
    return _published(_checked(_table(root[1], 1), "spread"))


def _checked(table: Table | None, what: str, axis: int = 0) -> Table:
    """The table when it has every layer and channel of the layout and nothing but finite numbers."""
    wanted = [layer.channels for layer in layout().layers]
    found = [] if table is None else [array.shape[axis] for array in table]
    if table is None or found != wanted:
        raise BadCheckpoint(
            f"its {what} are of {len(found)} layers and {sum(found)} channels, expected {len(wanted)} and "
            f"{sum(wanted)}: the published controls are of the 1024-pixel generator of faces"
        )
    if not all(np.issubdtype(array.dtype, np.floating) and np.isfinite(array).all() for array in table):
        raise BadCheckpoint(f"its {what} are not all finite numbers; download it again")
    return table


def _check_names(names: list[str]) -> None:
    for name, layer in zip(names, layout().layers, strict=True):
        if ("ToRGB" in name) != layer.is_image:
            raise BadCheckpoint(f"its layer {shown(name)} stands where {layer.name} is expected")


def _published(spread: Table) -> Imported:
    scale = [float(spread[layer][channel]) for layer, channel in PUBLISHED.values()]
    if min(scale) < 0:
        raise BadCheckpoint("its spread of a channel is below 0; download it again")
    notes = (
        "alpha: in spreads of each channel; the published controls of FFHQ, wrong for any other generator",
    )
    return _offsets(dict(PUBLISHED), scale, notes)


def _by_region(shares: Table) -> Imported:
    """The channels whose largest change lies in a region most often, of the convolutions."""
    controls: dict[str, tuple[int, int]] = {}
    places = layout()
    for region, count in MOVING.items():
        share = np.concatenate([layer[:, REGIONS.index(region)] for layer in shares])
        best = np.argsort(-share, kind="stable")[:count]
        for number, index in enumerate(best):
            controls[f"{region}_{number}"] = places.place(int(index))
    notes = (
        "alpha: in units of s, whose spread this file does not tell; the channels are our choice from it",
    )
    return _offsets(controls, [1.0] * len(controls), notes)


def _offsets(controls: dict[str, tuple[int, int]], scale: list[float], notes: tuple[str, ...]) -> Imported:
    config = StyleOffsetsConfig(
        layer_channels=tuple(layer.channels for layer in layout().layers),
        names=tuple(controls),
        layers=tuple(layer for layer, _ in controls.values()),
        channels=tuple(channel for _, channel in controls.values()),
    )
    network = built("table", StyleOffsets, config, {"scale": np.array(scale, np.float32)})
    return Imported(ORIGIN, LICENCE, {"offsets": network}, notes)
