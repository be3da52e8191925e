# SPDX-License-Identifier: MIT
"""StyleGAN2 pickles of NVIDIA's stylegan2-ada-pytorch and stylegan3 repositories.

The two differ in where options stand and in their defaults; one word of the source text tells them apart.
"""

import re
from typing import Any

import numpy as np

from engines.networks.stylegan2 import Synthesis, SynthesisConfig
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
    only,
    positive,
)
from export.checkpoints.unpickle import Record
from face.errors import BadCheckpoint

ORIGIN = "nvlabs-stylegan2"
SYNTHESIS_OPTIONS = {
    "channel_base", "channel_max", "num_fp16_res", "conv_clamp", "architecture", "resample_filter",
    "use_noise", "activation", "kernel_size", "fp16_channels_last", "fused_modconv_default", "use_fp16",
}  # fmt: skip
ADA_DEFAULTS = {"conv_clamp": None, "num_fp16_res": 0}  # stylegan2-ada-pytorch, options in `synthesis_kwargs`
SG3_DEFAULTS = {"conv_clamp": 256, "num_fp16_res": 4}  # stylegan3, options among the others


MARK = "synthesis.b4.const"
BARE = "it is a state dict, which tells no options: those of stylegan2-ada-pytorch were taken, without clamp"


def matches(root: Any) -> bool:
    generator = generator_of(root, MARK)
    return generator is not None and MARK in flatten(generator)[0]


def read(root: Any) -> Imported:
    """Generator and mapping network of the exponential moving average."""
    generator = generator_of(root, MARK)
    if generator is None:
        raise ValueError("not a pickle of this origin")
    named, attributes = flatten(generator)
    tensors = Tensors("generator", named)
    options = _options(generator)
    synthesis, num_ws = _synthesis(tensors, attributes, options)
    mapping, notes = mapping_of(tensors, attributes, options["mapping"], num_ws)
    tensors.finish()
    notes = (*notes, BARE) if is_bare(generator) else notes
    return Imported(ORIGIN, LICENCE, {"generator": synthesis, "mapping": mapping}, notes)


def _options(generator: Record) -> dict[str, Any]:
    """The keywords of both networks, defaults of the repository filled in; {"mapping": ..., name: value}."""
    given = keywords_of(generator)
    mapping = given.pop("mapping_kwargs", None) or {}
    nested = given.pop("synthesis_kwargs", None)
    flat = {name: value for name, value in given.items() if name not in GENERATOR_ARGUMENTS}
    source = generator.args[0].get("module_src")
    third = "fused_modconv_default" in source if isinstance(source, str) else bool(flat)
    options = {**(SG3_DEFAULTS if nested is None and third else ADA_DEFAULTS), **(nested or {}), **flat}
    known_only(options, mapping, SYNTHESIS_OPTIONS)
    return {**options, "mapping": mapping}


def _synthesis(tensors: Tensors, attributes: Attributes, options: dict[str, Any]) -> tuple[Synthesis, int]:
    """The network, and how many rows of W+ it reads."""
    found = (re.fullmatch(r"(\d{1,5})\.conv1\.weight", rest) for rest in tensors.matching("synthesis.b"))
    sizes = sorted(int(match[1]) for match in found if match)
    if sizes != [4 << index for index in range(len(sizes))] or len(sizes) < 1:
        raise BadCheckpoint(f"its generator has blocks of {sizes} pixels, expected 4, 8, 16 and so on")
    blocks = [f"synthesis.b{size}" for size in sizes]
    convolutions = [f"{b}.{c}" for b in blocks for c in ("conv0", "conv1") if f"{b}.{c}.weight" in tensors]
    layers = [*convolutions, *(f"{b}.torgb" for b in blocks)]
    only(
        "architecture",
        "skip",
        [attribute(attributes, b, "architecture", options.get("architecture")) for b in blocks],
    )
    only(
        "activation",
        "lrelu",
        [attribute(attributes, c, "activation", options.get("activation")) for c in convolutions],
    )
    clamp = one_value(
        "clamp", [attribute(attributes, x, "conv_clamp", options["conv_clamp"]) for x in layers]
    )
    halves = [attribute(attributes, b, "use_fp16", None) for b in blocks]
    config = SynthesisConfig(
        resolution=sizes[-1],
        channels=tuple(tensors.shape(f"{b}.conv1.weight", 4)[0] for b in blocks),
        w_dim=tensors.shape("synthesis.b4.conv1.affine.weight", 2)[1],
        image_channels=tensors.shape("synthesis.b4.torgb.weight", 4)[0],
        use_noise=one_value("noise", [f"{c}.noise_strength" in tensors for c in convolutions]),
        conv_clamp=None if clamp is None else positive(clamp, "clamp"),
        fp16_blocks=int(options["num_fp16_res"] or 0) if None in halves else sum(map(bool, halves)),
    )
    own: Arrays = {}
    for name in [*tensors.matching("synthesis.b")]:
        if not name.endswith("resample_filter"):
            own[f"blocks.b{name}"] = tensors.take(f"synthesis.b{name}")
    own["fir"] = shared_filter(tensors, [n for n in tensors.named if n.endswith("resample_filter")])
    return built("generator", Synthesis, config, own), config.num_ws


def shared_filter(tensors: Tensors, names: list[str], gain: float = 1.0) -> Any:
    """The (4, 4) low-pass that all resampling uses, sum 1."""
    kernels = [tensors.take(name) / gain for name in names]
    first = kernels[0] if kernels else np.outer([1, 3, 3, 1], [1, 3, 3, 1]).astype(np.float32) / 64
    if first.shape != (4, 4) or any(k.shape != (4, 4) or np.abs(k - first).max() > 1e-6 for k in kernels):
        raise BadCheckpoint(
            f"its generator resamples with filters of shape {first.shape}, expected one of 4 by 4"
        )
    return first
