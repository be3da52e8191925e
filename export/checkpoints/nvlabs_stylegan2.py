# SPDX-License-Identifier: MIT
"""StyleGAN2 pickles of NVIDIA's stylegan2-ada-pytorch and stylegan3 repositories. Knows no other layout.

A pickle holds its networks as records: the source text of a class (looked at for one word, to tell the two
repositories apart), the keywords it was made with, and its attributes. What a layer's attributes say is what
it ran with; keywords, and the defaults of the repository, are asked only where attributes are silent.
"""

import math
import re
from typing import Any

import numpy as np

from engines.networks.store import Network
from engines.networks.stylegan2 import MappingConfig, SynthesisConfig
from export.checkpoints.imported import Arrays, Imported, Tensors, built, one_value
from export.checkpoints.tensors import as_array
from export.checkpoints.unpickle import Record
from face.errors import BadCheckpoint

ORIGIN = "nvlabs-stylegan2"
LICENCE = "NVIDIA Source Code License (research and evaluation only)"
MAX_MODULES = 2000
GENERATOR_ARGUMENTS = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels", "mapping_kwargs")
MAPPING_OPTIONS = {
    "num_layers",
    "embed_features",
    "layer_features",
    "activation",
    "lr_multiplier",
    "w_avg_beta",
}
SYNTHESIS_OPTIONS = {
    "channel_base", "channel_max", "num_fp16_res", "conv_clamp", "architecture", "resample_filter",
    "use_noise", "activation", "kernel_size", "fp16_channels_last", "fused_modconv_default", "use_fp16",
}  # fmt: skip
ADA_DEFAULTS = {"conv_clamp": None, "num_fp16_res": 0}  # stylegan2-ada-pytorch, options in `synthesis_kwargs`
SG3_DEFAULTS = {"conv_clamp": 256, "num_fp16_res": 4}  # stylegan3, options among the others
Attributes = dict[str, dict[str, Any]]  # of each module, by its path


def generator_of(root: Any) -> Record | None:
    """The generator to use among what was pickled: `G_ema`, or a generator pickled alone."""
    if isinstance(root, dict):
        root = root.get("G_ema")
    if isinstance(root, Record) and root.name == "persistent" and len(root.args) == 1:
        return root if isinstance(root.args[0], dict) else None
    return None


def flatten(generator: Record) -> tuple[dict[str, Any], Attributes]:
    """All tensors by their dotted names, and the attributes of every module by its path."""
    tensors: dict[str, Any] = {}
    attributes: Attributes = {}
    waiting = [("", generator)]
    while waiting:
        path, module = waiting.pop(0)
        state = module.args[0].get("state") if module.name == "persistent" else module.state
        if len(attributes) >= MAX_MODULES or not isinstance(state, dict) or path.count(".") > 8:
            raise BadCheckpoint("its generator is not made of modules as StyleGAN2's is")
        attributes[path.rstrip(".")] = state
        hidden = state.get("_non_persistent_buffers_set") or set()
        for group in ("_parameters", "_buffers"):
            for name, value in (state.get(group) or {}).items():
                if as_array(value) is not None and name not in hidden:
                    tensors[f"{path}{name}"] = value
        for name, child in (state.get("_modules") or {}).items():
            if isinstance(child, Record):
                waiting.append((f"{path}{name}.", child))
    return tensors, attributes


def matches(root: Any) -> bool:
    generator = generator_of(root)
    return generator is not None and "synthesis.b4.const" in flatten(generator)[0]


def read(root: Any) -> Imported:
    """Generator and mapping network of the exponential moving average."""
    generator = generator_of(root)
    if generator is None:
        raise ValueError("not a pickle of this origin")
    named, attributes = flatten(generator)
    tensors = Tensors("generator", named)
    options = _options(generator)
    synthesis = _synthesis(tensors, attributes, options)
    mapping, notes = _mapping(tensors, attributes, options, synthesis.inputs[0].shape[1])
    tensors.finish()
    return Imported(ORIGIN, LICENCE, {"generator": synthesis, "mapping": mapping}, notes)


def _options(generator: Record) -> dict[str, Any]:
    """The keywords of both networks, defaults of the repository filled in; {"mapping": ..., name: value}."""
    meta = generator.args[0]
    state = meta["state"]
    positional = state.get("_init_args") or ()
    given = {**dict(zip(GENERATOR_ARGUMENTS, positional, strict=False)), **(state.get("_init_kwargs") or {})}
    mapping = given.pop("mapping_kwargs", None) or {}
    nested = given.pop("synthesis_kwargs", None)
    flat = {name: value for name, value in given.items() if name not in GENERATOR_ARGUMENTS}
    source = meta.get("module_src")
    third = "fused_modconv_default" in source if isinstance(source, str) else bool(flat)
    options = {**(SG3_DEFAULTS if nested is None and third else ADA_DEFAULTS), **(nested or {}), **flat}
    strangers = sorted(map(str, (set(options) - SYNTHESIS_OPTIONS) | (set(mapping) - MAPPING_OPTIONS)))
    if strangers:
        raise BadCheckpoint(
            f"its generator was made with options that are not known: {', '.join(strangers[:4])}"
        )
    return {**options, "mapping": mapping}


def _attribute(attributes: Attributes, path: str, name: str, otherwise: Any) -> Any:
    return attributes.get(path, {}).get(name, otherwise)


def _synthesis(tensors: Tensors, attributes: Attributes, options: dict[str, Any]) -> Network:
    found = (re.fullmatch(r"(\d{1,5})\.conv1\.weight", rest) for rest in tensors.matching("synthesis.b"))
    sizes = sorted(int(match[1]) for match in found if match)
    if sizes != [4 << index for index in range(len(sizes))] or len(sizes) < 1:
        raise BadCheckpoint(f"its generator has blocks of {sizes} pixels, expected 4, 8, 16 and so on")
    blocks = [f"synthesis.b{size}" for size in sizes]
    convolutions = [f"{b}.{c}" for b in blocks for c in ("conv0", "conv1") if f"{b}.{c}.weight" in tensors]
    layers = [*convolutions, *(f"{b}.torgb" for b in blocks)]
    _only(
        "architecture",
        "skip",
        [_attribute(attributes, b, "architecture", options.get("architecture")) for b in blocks],
    )
    _only(
        "activation",
        "lrelu",
        [_attribute(attributes, c, "activation", options.get("activation")) for c in convolutions],
    )
    clamp = one_value(
        "clamp", [_attribute(attributes, x, "conv_clamp", options["conv_clamp"]) for x in layers]
    )
    halves = [_attribute(attributes, b, "use_fp16", None) for b in blocks]
    config = SynthesisConfig(
        resolution=sizes[-1],
        channels=tuple(tensors.shape(f"{b}.conv1.weight", 4)[0] for b in blocks),
        w_dim=tensors.shape("synthesis.b4.conv1.affine.weight", 2)[1],
        image_channels=tensors.shape("synthesis.b4.torgb.weight", 4)[0],
        use_noise=one_value("noise", [f"{c}.noise_strength" in tensors for c in convolutions]),
        conv_clamp=None if clamp is None else _positive(clamp, "clamp"),
        fp16_blocks=int(options["num_fp16_res"] or 0) if None in halves else sum(map(bool, halves)),
    )
    own: Arrays = {}
    for name in [*tensors.matching("synthesis.b")]:
        if not name.endswith("resample_filter"):
            own[f"blocks.b{name}"] = tensors.take(f"synthesis.b{name}")
    own["fir"] = shared_filter(tensors, [n for n in tensors.named if n.endswith("resample_filter")])
    return built("generator", config, own)


def shared_filter(tensors: Tensors, names: list[str], gain: float = 1.0) -> Any:
    """The (4, 4) low-pass that all resampling uses, sum 1."""
    kernels = [tensors.take(name) / gain for name in names]
    first = kernels[0] if kernels else np.outer([1, 3, 3, 1], [1, 3, 3, 1]).astype(np.float32) / 64
    if first.shape != (4, 4) or any(k.shape != (4, 4) or np.abs(k - first).max() > 1e-6 for k in kernels):
        raise BadCheckpoint(
            f"its generator resamples with filters of shape {first.shape}, expected one of 4 by 4"
        )
    return first


def _mapping(
    tensors: Tensors, attributes: Attributes, options: dict[str, Any], num_ws: Any
) -> tuple[Network, tuple[str, ...]]:
    layers = len(tensors.matching("mapping.fc", ".weight"))
    paths = [f"mapping.fc{index}" for index in range(layers)]
    given = options["mapping"]
    _only(
        "activation",
        "lrelu",
        [_attribute(attributes, p, "activation", given.get("activation")) for p in paths],
    )
    multiplier = given.get("lr_multiplier", 0.01)
    multiplier = one_value("mapping", [_attribute(attributes, p, "bias_gain", multiplier) for p in paths])
    hidden, width = tensors.shape("mapping.fc0.weight", 2)
    embed, labels = (0, 0)
    if "mapping.embed.weight" in tensors:
        embed, labels = tensors.shape("mapping.embed.weight", 2)
    own = {n[len("mapping.") :]: tensors.take(n) for n in tensors.named if n.startswith("mapping.")}
    notes: tuple[str, ...] = ()
    if "w_avg" in own:
        own["w_avg"] = own["w_avg"].reshape(1, -1)
    else:
        own["w_avg"] = np.zeros((1, tensors.shape(f"{paths[-1]}.weight", 2)[0]), np.float32)
        notes = ("no mean latent is stored: psi below 1 pulls towards zero",)
    config = MappingConfig(
        z_dim=width - embed,
        w_dim=tensors.shape(f"{paths[-1]}.weight", 2)[0],
        num_ws=num_ws,
        num_layers=layers,
        hidden_dim=hidden,
        label_dim=labels,
        embed_dim=embed,
        lr_multiplier=_positive(multiplier, "mapping"),
    )
    return built("mapping network", config, own), notes


def _positive(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise BadCheckpoint(f"its {what} is {ascii(value)[:20]}, expected a number above 0")
    return float(value)


def _only(what: str, expected: str, values: list[Any]) -> None:
    """Silent values are the default, which is the expected one."""
    for value in values:
        if value not in (None, expected):
            raise BadCheckpoint(f"its {what} is {ascii(value)[:20]}, this importer knows {expected!r} only")
