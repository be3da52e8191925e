# SPDX-License-Identifier: MIT
"""StyleGAN2 checkpoints in the layout of rosinality/stylegan2-pytorch, alone or as an encoder's decoder.

Its weights differ from the paper authors' by a gain before demodulation, by axes of size 1
and by a FIR gain kept in the filters.
"""

import math
import re
from typing import Any

import numpy as np
import torch

from engines.networks.store import Network
from engines.networks.stylegan2 import Mapping, MappingConfig, Synthesis, SynthesisConfig
from export.checkpoints.imported import Arrays, Imported, Tensors, built
from export.checkpoints.nvlabs_stylegan2 import shared_filter
from export.checkpoints.shown import shown
from export.checkpoints.tensors import as_array
from face.errors import BadCheckpoint

ORIGIN = "rosinality"
LICENCE = "that of the weights' training (converted NVIDIA weights: research and evaluation only)"
FIR_GAIN = 4.0  # stored filters sum to 4
LR_MULTIPLIER = 0.01  # of the mapping network; not stored, never another in public files
MEAN_SAMPLES = 4096
MEAN_SEED = 0


def state_of(root: Any) -> dict[str, Any] | None:
    """The generator's state dict in what was saved: the moving average where there is one."""
    if not isinstance(root, dict):
        return None
    for state in (root.get("g_ema"), root.get("G_ema"), root.get("g"), root):
        if isinstance(state, dict) and "input.input" in state and "conv1.conv.weight" in state:
            return state
    return None


def matches(root: Any) -> bool:
    return state_of(root) is not None


def read(root: Any) -> Imported:
    """Generator and mapping network; the mean latent is the stored one, or that of a fixed sample."""
    state = state_of(root)
    if state is None:
        raise ValueError("not a checkpoint of this origin")
    notes = [] if state is not root.get("g") else ["it holds no moving average: the raw generator was taken"]
    mean = None if state is root else mean_of(root)
    networks = generator_and_mapping(state, mean, notes)
    return Imported(ORIGIN, LICENCE, networks, tuple(notes))


def generator_and_mapping(state: dict[str, Any], mean: Any, notes: list[str]) -> dict[str, Network]:
    """Both networks of a state dict; `mean` is rows of w or None; what was assumed is added to `notes`."""
    tensors = Tensors("generator", state)
    generator = _synthesis(tensors, notes)
    networks: dict[str, Network] = {"generator": generator}
    if tensors.matching("style."):
        networks["mapping"] = _mapping(tensors, mean, int(generator.inputs[0].shape[1]), notes)
    tensors.finish()
    return networks


def _synthesis(tensors: Tensors, notes: list[str]) -> Synthesis:
    found = (re.fullmatch(r"(\d{1,2})\.conv\.weight", rest) for rest in tensors.matching("convs."))
    count = sum(match is not None for match in found)
    if count % 2:
        raise BadCheckpoint(
            f"its generator has {count} convolutions after the first, expected two a resolution"
        )
    blocks = count // 2
    own: Arrays = {"blocks.b4.const": _squeezed(tensors, "input.input", 4)}
    noises = tensors.matching("noises.noise_")
    if noises and len(noises) != count + 1:
        raise BadCheckpoint(f"its generator has {len(noises)} noise images, expected {count + 1} or none")
    if not noises:
        notes.append("no noise images are stored: it runs without noise")
    names = [("conv1", "to_rgb1", "b4", "conv1", 0)]
    for j in range(blocks):
        size = 8 << j
        names.append((f"convs.{2 * j}", "", f"b{size}", "conv0", 2 * j + 1))
        names.append((f"convs.{2 * j + 1}", f"to_rgbs.{j}", f"b{size}", "conv1", 2 * j + 2))
    channels = []
    for source, image, block, layer, noise in names:
        channels += [] if layer == "conv0" else [tensors.shape(f"{source}.conv.weight", 5)[1]]
        _convolution(tensors, source, f"blocks.{block}.{layer}", own)
        _noise(tensors, source, f"noises.noise_{noise}", f"blocks.{block}.{layer}", own, bool(noises))
        if image:
            _to_image(tensors, image, f"blocks.{block}.torgb", own)
    filters = [n for n in tensors.named if n.endswith((".blur.kernel", ".upsample.kernel"))]
    own["fir"] = shared_filter(tensors, filters, FIR_GAIN)
    config = SynthesisConfig(
        resolution=4 << blocks,
        channels=tuple(channels),
        w_dim=tensors.shape("conv1.conv.modulation.weight", 2)[1],
        image_channels=tensors.shape("to_rgb1.conv.weight", 5)[1],
        use_noise=bool(noises),
    )
    return built("generator", Synthesis, config, own)


def _convolution(tensors: Tensors, source: str, target: str, own: Arrays) -> None:
    weight = _squeezed(tensors, f"{source}.conv.weight", 5)
    # Here the gain of equalised learning rates goes into the demodulation, where it acts on epsilon.
    own[f"{target}.weight"] = weight / np.float32(math.sqrt(weight[0].size))
    own[f"{target}.affine.weight"] = tensors.take(f"{source}.conv.modulation.weight")
    own[f"{target}.affine.bias"] = tensors.take(f"{source}.conv.modulation.bias")
    own[f"{target}.bias"] = tensors.take(f"{source}.activate.bias")


def _noise(tensors: Tensors, source: str, image: str, target: str, own: Arrays, stored: bool) -> None:
    strength = tensors.take(f"{source}.noise.weight")
    if not stored:
        return
    if strength.size != 1:
        raise BadCheckpoint(f"{source}.noise.weight of its generator has {strength.size} values, expected 1")
    own[f"{target}.noise_strength"] = strength.reshape(())
    tensors.shape(image, 4)
    own[f"{target}.noise_const"] = tensors.take(image)[0, 0]


def _to_image(tensors: Tensors, source: str, target: str, own: Arrays) -> None:
    own[f"{target}.weight"] = _squeezed(tensors, f"{source}.conv.weight", 5)
    own[f"{target}.affine.weight"] = tensors.take(f"{source}.conv.modulation.weight")
    own[f"{target}.affine.bias"] = tensors.take(f"{source}.conv.modulation.bias")
    own[f"{target}.bias"] = tensors.take(f"{source}.bias").reshape(-1)


def _squeezed(tensors: Tensors, name: str, dimensions: int) -> Any:
    if tensors.shape(name, dimensions)[0] != 1:
        raise BadCheckpoint(
            f"{name} of its generator has shape {tensors.shape(name, dimensions)}, expected (1, ...)"
        )
    return tensors.take(name)[0]


def _mapping(tensors: Tensors, mean: Any, num_ws: int, notes: list[str]) -> Mapping:
    layers = len(tensors.matching("style.", ".weight"))
    own: Arrays = {}
    for index in range(layers):  # style.0 normalises z and has no weights
        for part in ("weight", "bias"):
            own[f"fc{index}.{part}"] = tensors.take(f"style.{index + 1}.{part}")
    width, z_dim = tensors.shape("style.1.weight", 2)
    w_dim = tensors.shape(f"style.{layers}.weight", 2)[0]
    if z_dim != w_dim:  # one number in this layout
        notes.append(
            f"its mapping network reads {z_dim} numbers and gives {w_dim}: a conditional model, converted "
            "without its embedding of labels; pictures of seeds will not be those of its classes"
        )
    own["w_avg"] = np.zeros((1, w_dim), np.float32) if mean is None else rows_of(mean, w_dim, num_ws)
    config = MappingConfig(
        z_dim=z_dim,
        w_dim=w_dim,
        num_ws=num_ws,
        num_layers=layers,
        hidden_dim=width,
        lr_multiplier=LR_MULTIPLIER,
        mean_rows=own["w_avg"].shape[0],
        embed_dim=0,
    )
    network = built("mapping network", Mapping, config, own)
    if mean is None:
        notes.append(f"no mean latent is stored: psi pulls towards the mean of {MEAN_SAMPLES} fixed samples")
        source = torch.Generator().manual_seed(MEAN_SEED)
        with torch.no_grad():
            sample = network.w_of(torch.randn(MEAN_SAMPLES, z_dim, generator=source))
            network.w_avg.copy_(sample.mean(dim=0, keepdim=True))
    return network


def mean_of(root: dict[str, Any]) -> Any:
    """The mean latent beside a state dict, None where there is none."""
    mean = as_array(root.get("latent_avg"))
    if mean is None and root.get("latent_avg") is not None:
        raise BadCheckpoint(f"its latent_avg is {shown(root['latent_avg'])}, expected a tensor of numbers")
    return mean


def rows_of(mean: Any, w_dim: int, num_ws: int) -> Any:
    """A mean latent as (1 or num_ws, w_dim) float32; files have one row, or the same for each layer."""
    rows = np.array(mean, np.float32)
    rows = rows.reshape(-1, rows.shape[-1]) if rows.ndim else rows.reshape(1, 1)
    if rows.shape not in ((1, w_dim), (num_ws, w_dim)) or not np.isfinite(rows).all():
        raise BadCheckpoint(
            f"its latent_avg has shape {rows.shape}, expected (1, {w_dim}) or ({num_ws}, {w_dim})"
        )
    return rows[:1] if (rows == rows[0]).all() else rows
