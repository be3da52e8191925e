# SPDX-License-Identifier: MIT
"""StyleGAN3 pickles of NVIDIA's stylegan3 repository, T and R.

The geometry is read from what the layers say of themselves and held against ours; the filters are weights
like the others.
"""

import re
from typing import Any

import numpy as np

from engines.networks.stylegan3 import AliasFreeConfig, AliasFreeSynthesis
from export.checkpoints.imported import Arrays, Imported, Tensors, built, one_value
from export.checkpoints.nvlabs import (
    GENERATOR_ARGUMENTS,
    LICENCE,
    Attributes,
    attribute,
    flatten,
    generator_of,
    is_bare,
    keywords_of,
    known_only,
    mapping_of,
    positive,
)
from export.checkpoints.shown import shown
from export.checkpoints.tensors import as_array
from face.errors import BadCheckpoint

ORIGIN = "nvlabs-stylegan3"
SYNTHESIS_OPTIONS = {
    "channel_base", "channel_max", "num_layers", "num_critical", "first_cutoff", "first_stopband",
    "last_stopband_rel", "margin_size", "output_scale", "num_fp16_res", "conv_kernel", "filter_size",
    "lrelu_upsampling", "use_radial_filters", "conv_clamp", "magnitude_ema_beta",
}  # fmt: skip
INPUT = "synthesis.input"
MARK = f"{INPUT}.freqs"
LAYER = re.compile(r"(\d{1,3})_\d{1,5}_\d{1,5}")  # index, pixels and channels of a layer, in its name
MAX_FP16_BLOCKS = 16


def matches(root: Any) -> bool:
    generator = generator_of(root, MARK)
    return generator is not None and MARK in flatten(generator)[0]


def read(root: Any) -> Imported:
    """Generator and mapping network of the exponential moving average."""
    generator = generator_of(root, MARK)
    if generator is None:
        raise ValueError("not a pickle of this origin")
    if is_bare(generator):
        raise BadCheckpoint(
            "it is the state dict of a StyleGAN3, which does not tell its layers' grids; give the .pkl"
        )
    named, attributes = flatten(generator)
    given = keywords_of(generator)
    mapping_options = given.get("mapping_kwargs") or {}
    options = {name: value for name, value in given.items() if name not in GENERATOR_ARGUMENTS}
    known_only(options, mapping_options, SYNTHESIS_OPTIONS)
    tensors = Tensors("generator", named)
    try:
        config, layers = _config(tensors, attributes, options)
        _hold_geometry(config, attributes, layers)
    except (ValueError, OverflowError) as error:
        raise BadCheckpoint(f"its generator does not fit together ({error})") from error
    own, notes = _weights(tensors, layers)
    synthesis = built("generator", AliasFreeSynthesis, config, own)
    mapping, more = mapping_of(tensors, attributes, mapping_options, config.num_ws)
    tensors.finish()
    return Imported(ORIGIN, LICENCE, {"generator": synthesis, "mapping": mapping}, (*notes, *more))


def _layers(tensors: Tensors, attributes: Attributes) -> list[str]:
    """Paths of the layers in the order they run in, the one that makes the image last."""
    found: dict[int, str] = {}
    for name in tensors.matching("synthesis.L", ".weight"):
        if (match := LAYER.fullmatch(name)) is not None:
            found[int(match[1])] = f"L{name}"
    names = [found[index] for index in sorted(found)]
    if len(names) < 2 or sorted(found) != list(range(len(names))):
        raise BadCheckpoint(f"its generator has layers {sorted(found)}, expected 0, 1, 2 and so on")
    order = attribute(attributes, "synthesis", "layer_names", names)
    if order != names:
        raise BadCheckpoint(f"its layers run as {shown(order)}, expected {shown(names)}")
    return [f"synthesis.{name}" for name in names]


def _config(
    tensors: Tensors, attributes: Attributes, options: dict[str, Any]
) -> tuple[AliasFreeConfig, list[str]]:
    layers = _layers(tensors, attributes)
    *styled, image = layers

    def said(path: str, name: str, otherwise: Any = None) -> Any:
        return attribute(attributes, path, name, options.get(name, otherwise))

    if said(image, "is_torgb") is not True or any(said(path, "is_torgb") is True for path in styled):
        raise BadCheckpoint("its last layer is not the one that makes the image, expected that one alone")
    clamp = one_value("clamp", [said(path, "conv_clamp", 256) for path in layers])
    up_taps = tensors.shape(f"{styled[0]}.up_filter", 1)[0]
    halves = said("synthesis", "num_fp16_res", 4)
    if type(halves) is not int or not 0 <= halves <= MAX_FP16_BLOCKS:
        raise BadCheckpoint(f"its num_fp16_res is {shown(halves)}, expected a small number")
    config = AliasFreeConfig(
        channels=tuple(tensors.shape(f"{path}.weight", 4)[0] for path in layers),
        sizes=tuple(_whole(attributes, path, "out_size") for path in layers),
        rates=tuple(_whole(attributes, path, "out_sampling_rate") for path in layers),
        radial=tuple(_radial(tensors, path) for path in styled) + (False,),
        kernel_size=tensors.shape(f"{styled[0]}.weight", 4)[2],
        filter_size=up_taps // _whole(attributes, styled[0], "up_factor"),
        input_size=_whole(attributes, INPUT, "size"),
        input_channels=tensors.shape(f"{INPUT}.phases", 1)[0],
        input_rate=_whole(attributes, INPUT, "sampling_rate"),
        bandwidth=positive(said(INPUT, "bandwidth"), "bandwidth"),
        output_scale=positive(said("synthesis", "output_scale", 0.25), "output scale"),
        w_dim=tensors.shape(f"{INPUT}.affine.weight", 2)[1],
        conv_clamp=None if clamp is None else positive(clamp, "clamp"),
        fp16_blocks=halves,
    )
    return config, layers


def _radial(tensors: Tensors, path: str) -> bool:
    array = as_array(tensors.named.get(f"{path}.down_filter"))
    return array is not None and array.ndim == 2


def _whole(attributes: Attributes, path: str, name: str) -> int:
    """A number a layer says of itself; sizes are stored for both axes, which must agree."""
    value = attribute(attributes, path, name)
    array = as_array(value)
    values = [value] if array is None else list(array.reshape(-1)[:3].tolist())
    whole = all(isinstance(v, int | float) and v == int(v) and 0 < v < 1 << 16 for v in values)
    if not values or len(values) > 2 or not whole or values[0] != values[-1]:
        raise BadCheckpoint(f"{name} of its {path} is {shown(values)}, expected a whole number")
    return int(values[0])


def _hold_geometry(config: AliasFreeConfig, attributes: Attributes, layers: list[str]) -> None:
    """What each layer says it does with its grid must be what our network will do."""
    sizes, rates = (config.input_size, *config.sizes), (config.input_rate, *config.rates)
    for index, path in enumerate(layers):
        last = index == len(layers) - 1
        up, down = (1, 1) if last else config.factors(index)
        crop = 0 if last else config.crop(index)
        taps = config.filter_size * up
        before, after = (0, 0) if last else (taps - 1 - crop, taps - up - crop)
        expected: dict[str, Any] = {"padding": [before, after] * 2, "up_factor": up, "down_factor": down}
        for name, value in expected.items():
            found = attribute(attributes, path, name)
            if found != value:
                raise BadCheckpoint(f"{name} of its {path} is {shown(found)}, expected {value}")
        before_sizes = (_whole(attributes, path, "in_size"), _whole(attributes, path, "in_sampling_rate"))
        if before_sizes != (sizes[index], rates[index]):
            raise BadCheckpoint(f"its {path} reads {before_sizes}, expected {(sizes[index], rates[index])}")


def _weights(tensors: Tensors, layers: list[str]) -> tuple[Arrays, tuple[str, ...]]:
    own: Arrays = {}
    for name in tensors.matching(f"{INPUT}."):
        own[f"input.{name}"] = tensors.take(f"{INPUT}.{name}")
    for index, path in enumerate(layers):
        target = "image" if index == len(layers) - 1 else f"layers.{index}"
        for name in tensors.matching(f"{path}."):
            own[f"{target}.{name}"] = tensors.take(f"{path}.{name}")
    moved = "input.transform" in own and not np.array_equal(own["input.transform"], np.eye(3))
    return own, ("its pictures are turned or moved by a transform that is stored with it",) if moved else ()
