# SPDX-License-Identifier: MIT
"""StyleGAN2 pickles of NVIDIA's TensorFlow releases, stylegan2 and stylegan2-ada. Knows no other layout.

Such a file is three networks: generator, discriminator, and the generator's moving average, which is taken.
Each has named numpy arrays, its own and those of its `mapping` and `synthesis`. Kernels are (H, W, in, out),
those of up-convolutions mirrored against ours, and a style's bias is stored without the 1 it starts from.
"""

import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.networks.stylegan2 import Mapping, MappingConfig, Synthesis, SynthesisConfig
from export.checkpoints.imported import Arrays, Imported, Tensors, built, one_value
from export.checkpoints.nvlabs import LICENCE, only, positive
from export.checkpoints.shown import shown, shown_names
from export.checkpoints.unpickle import Record
from face.errors import BadCheckpoint

ORIGIN = "nvlabs-tensorflow"
VERSIONS = (4, 5)  # stylegan2, stylegan2-ada
NETWORKS = 3
MAX_FP16_BLOCKS = 16
BUILDERS = {  # functions of the releases whose networks these are, by the network they build
    "generator": ("G_main",),
    "mapping": ("G_mapping",),
    "synthesis": ("G_synthesis_stylegan2", "G_synthesis"),
}
REQUIRED = {  # options with one value that is known
    "architecture": "skip",
    "nonlinearity": "lrelu",
    "mapping_nonlinearity": "lrelu",
    "normalize_latents": True,
}
OPTIONS = {
    *REQUIRED, "conv_clamp", "num_fp16_res", "mapping_lrmul", "resample_kernel",
    # What shapes tell, what only training reads, and what the graphs have their own way of.
    "latent_size", "label_size", "dlatent_size", "dlatent_broadcast", "num_channels", "resolution",
    "mapping_layers", "mapping_fmaps", "label_fmaps", "fmap_base", "fmap_decay", "fmap_min", "fmap_max",
    "fmap_const", "use_noise", "mapping_func", "synthesis_func", "truncation_psi", "truncation_cutoff",
    "truncation_psi_val", "truncation_cutoff_val", "dlatent_avg_beta", "w_avg_beta", "style_mixing_prob",
    "randomize_noise", "fused_modconv", "dtype", "structure", "is_validation", "is_training",
}  # fmt: skip


def matches(root: Any) -> bool:
    return (
        isinstance(root, tuple)
        and len(root) == NETWORKS
        and all(isinstance(item, Record) and item.name == "Network" for item in root)
    )


def read(root: Any) -> Imported:
    """Generator and mapping network of the moving average."""
    named, options = _collected(root[NETWORKS - 1])
    strangers = set(options) - OPTIONS
    if strangers:
        raise BadCheckpoint(
            f"its generator was made with options that are not known: {shown_names(strangers)}"
        )
    for name, value in REQUIRED.items():
        only(name, value, [options.get(name)])
    tensors = Tensors("generator", named)
    if "mapping/LabelConcat/weight" in tensors:
        raise BadCheckpoint(
            "it takes labels in the way of the first stylegan2, expected that of stylegan2-ada"
        )
    try:
        config, own = _synthesis(tensors, options)
    except ValueError as error:
        raise BadCheckpoint(f"its generator does not fit together ({error})") from error
    mapping = _mapping(tensors, options, config.num_ws)
    tensors.drop(["lod"])  # how far progressive growing had come; StyleGAN2 does not read it
    tensors.finish()
    return Imported(
        ORIGIN, LICENCE, {"generator": built("generator", Synthesis, config, own), "mapping": mapping}
    )


def _collected(generator: Record) -> tuple[dict[str, Any], dict[str, Any]]:
    """All arrays by their full names, and the options of its networks, the generator's before the others."""
    state = _state(generator, "generator")
    parts = state.get("components")
    if not isinstance(parts, dict) or set(parts) != {"mapping", "synthesis"}:
        raise BadCheckpoint("its generator is not made of a mapping and a synthesis network")
    named = _variables(state, "")
    options: dict[str, Any] = {}
    for part, network in parts.items():
        inner = _state(network, part)
        if inner.get("components"):
            raise BadCheckpoint(f"its {part} network has networks in it, expected none")
        named |= _variables(inner, f"{part}/")
        options |= inner["static_kwargs"]
    return named, options | state["static_kwargs"]


def _state(network: Any, what: str) -> dict[str, Any]:
    """A network's fields, of a version and a kind that is known."""
    state = network.state if isinstance(network, Record) and network.name == "Network" else None
    if not isinstance(state, dict) or not isinstance(state.get("static_kwargs"), dict):
        raise BadCheckpoint(f"its {what} network is not stored as one")
    version, builder = state.get("version"), state.get("build_func_name")
    if version not in VERSIONS:
        raise BadCheckpoint(f"its {what} network is of version {shown(version)}, expected 4 or 5 (StyleGAN2)")
    if builder not in BUILDERS[what]:
        raise BadCheckpoint(
            f"its {what} network was built by {shown(builder)}, expected {' or '.join(BUILDERS[what])}"
        )
    return state


def _variables(state: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Arrays by name; scalars are stored as numbers."""
    named: dict[str, Any] = {}
    for name, value in state.get("variables") or []:
        if not isinstance(name, str):
            raise BadCheckpoint("its generator has a variable without a name")
        number = isinstance(value, int | float)
        named[f"{prefix}{name}"] = np.array(value, np.float32) if number else value
    return named


def _synthesis(tensors: Tensors, options: dict[str, Any]) -> tuple[SynthesisConfig, Arrays]:
    found = (
        re.fullmatch(r"(\d{1,5})x(\d{1,5})", rest) for rest in tensors.matching("synthesis/", "/Conv1/weight")
    )
    sizes = [4, *sorted(int(match[1]) for match in found if match and match[1] == match[2])]
    if sizes != [4 << index for index in range(len(sizes))]:
        raise BadCheckpoint(f"its generator has blocks of {sizes} pixels, expected 4, 8, 16 and so on")
    own: Arrays = {"blocks.b4.const": _first(tensors, "synthesis/4x4/Const/const", (1,))}
    layers = [("synthesis/4x4/Conv", "blocks.b4.conv1", 0)]
    for index, size in enumerate(sizes[1:]):
        layers.append((f"synthesis/{size}x{size}/Conv0_up", f"blocks.b{size}.conv0", 2 * index + 1))
        layers.append((f"synthesis/{size}x{size}/Conv1", f"blocks.b{size}.conv1", 2 * index + 2))
    noise = one_value("noise", [f"{source}/noise_strength" in tensors for source, _, _ in layers])
    for source, target, number in layers:
        own |= _modulated(tensors, source, target, mirrored=source.endswith("Conv0_up"))
        if noise:
            own[f"{target}.noise_strength"] = tensors.take(f"{source}/noise_strength")
            own[f"{target}.noise_const"] = _first(tensors, f"synthesis/noise{number}", (1, 1))
    for size in sizes:
        own |= _modulated(tensors, f"synthesis/{size}x{size}/ToRGB", f"blocks.b{size}.torgb")
    own["fir"] = _filter(options.get("resample_kernel", [1, 3, 3, 1]))
    clamp, halves = options.get("conv_clamp"), options.get("num_fp16_res") or 0
    if type(halves) is not int or not 0 <= halves <= MAX_FP16_BLOCKS:
        raise BadCheckpoint(f"its num_fp16_res is {shown(halves)}, expected a small number")
    config = SynthesisConfig(
        resolution=sizes[-1],
        channels=tuple(own[f"blocks.b{size}.conv1.weight"].shape[0] for size in sizes),
        w_dim=tensors.shape("synthesis/4x4/Conv/mod_weight", 2)[0],
        image_channels=own["blocks.b4.torgb.weight"].shape[0],
        use_noise=noise,
        conv_clamp=None if clamp is None else positive(clamp, "clamp"),
        fp16_blocks=halves,
    )
    return config, own


def _modulated(tensors: Tensors, source: str, target: str, *, mirrored: bool = False) -> Arrays:
    tensors.shape(f"{source}/weight", 4)
    weight = tensors.take(f"{source}/weight").transpose(3, 2, 0, 1)  # (out, in, H, W)
    return {
        f"{target}.weight": weight[:, :, ::-1, ::-1] if mirrored else weight,
        f"{target}.bias": tensors.take(f"{source}/bias"),
        f"{target}.affine.weight": tensors.take(f"{source}/mod_weight").T,
        f"{target}.affine.bias": tensors.take(f"{source}/mod_bias") + np.float32(1),
    }


def _first(tensors: Tensors, name: str, ones: tuple[int, ...]) -> NDArray[Any]:
    """An array without its leading axes of size 1."""
    shape = tensors.shape(name, 4)
    if shape[: len(ones)] != ones:
        raise BadCheckpoint(f"{name} of its generator has shape {shape}, expected {ones} in front")
    return tensors.take(name).reshape(shape[len(ones) :])


def _filter(taps: Any) -> NDArray[np.float32]:
    """The (4, 4) low-pass of a list of taps, sum 1."""
    if not isinstance(taps, list | tuple) or len(taps) != 4 or not all(type(t) in (int, float) for t in taps):
        raise BadCheckpoint(f"its resample_kernel is {shown(taps)}, expected four taps")
    line = np.array(taps, np.float64)
    kernel = np.outer(line, line)
    if not math.isfinite(kernel.sum()) or kernel.sum() <= 0:
        raise BadCheckpoint(f"its resample_kernel is {shown(taps)}, expected taps that sum above 0")
    return np.asarray(kernel / kernel.sum(), np.float32)


def _mapping(tensors: Tensors, options: dict[str, Any], num_ws: int) -> Mapping:
    layers = len(tensors.matching("mapping/Dense", "/weight"))
    own: Arrays = {"w_avg": tensors.take("dlatent_avg").reshape(1, -1)}
    for index in range(layers):
        own[f"fc{index}.weight"] = tensors.take(f"mapping/Dense{index}/weight").T
        own[f"fc{index}.bias"] = tensors.take(f"mapping/Dense{index}/bias")
    labels, embed = (0, 0)
    if "mapping/LabelEmbed/weight" in tensors:
        labels, embed = tensors.shape("mapping/LabelEmbed/weight", 2)
        own["embed.weight"] = tensors.take("mapping/LabelEmbed/weight").T
        own["embed.bias"] = tensors.take("mapping/LabelEmbed/bias")
    width, hidden = tensors.shape("mapping/Dense0/weight", 2)
    config = MappingConfig(
        z_dim=width - embed,
        w_dim=tensors.shape(f"mapping/Dense{layers - 1}/weight", 2)[1],
        num_ws=num_ws,
        num_layers=layers,
        hidden_dim=hidden,
        label_dim=labels,
        embed_dim=embed,
        lr_multiplier=positive(options.get("mapping_lrmul", 0.01), "mapping_lrmul"),
    )
    return built("mapping network", Mapping, config, own)
