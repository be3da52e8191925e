# SPDX-License-Identifier: MIT
"""MobileStyleGAN checkpoints as bes-dev/MobileStyleGAN.pytorch saves them: student and mapping network.

Of that layout: demodulation that does not depend on the style, gains outside the weights, a row of W+ for
each image head though only the last makes an image, and noise that is drawn anew for every image.
"""

import math
import re
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engines.networks.mobile_stylegan import BANDS, MobileSynthesis, MobileSynthesisConfig
from engines.networks.stylegan2 import Mapping, MappingConfig
from export.checkpoints.imported import Arrays, Imported, Tensors, built
from export.checkpoints.rosinality import rows_of
from export.checkpoints.tensors import as_array
from face.errors import BadCheckpoint

ORIGIN = "mobile-stylegan"
LICENCE = "code: Apache-2.0; weights: that of their training (distilled from NVIDIA's: non-commercial)"
STUDENT = "student."
MAPPING = "mapping_net."
# What else a training file holds: the teacher, the losses, what measures them.
UNUSED = ("synthesis_net.", "loss.", "kid.", "inception.", "style_mean", "device_info")
LR_MULTIPLIER = 0.01  # of the mapping network; not stored, never another in the public code
DEMODULATION_EPSILON = 1e-8
MEAN_SAMPLES, MEAN_SEED = 16384, 0
NOISE_SEED = 0
MAX_LAYERS = 9  # as many as the network takes; noise is drawn for each, of 8, 16, 32 and so on pixels
FILTERS = ("g0_col", "g1_col", "g0_row", "g1_row")


def state_of(root: Any) -> dict[str, Any] | None:
    """The state dict of a training file, or of the student alone."""
    if not isinstance(root, dict):
        return None
    inner = root.get("state_dict")
    state = inner if isinstance(inner, dict) else root
    marks = ("input.input", "layers.0.conv1.conv.weight_dw")
    found = (all(f"{prefix}{mark}" in state for mark in marks) for prefix in (STUDENT, ""))
    return state if any(found) else None


def matches(root: Any) -> bool:
    return state_of(root) is not None


def read(root: Any) -> Imported:
    """Generator, and the mapping network where the file holds it; noise is drawn once, from a fixed seed."""
    state = state_of(root)
    if state is None:
        raise ValueError("not a checkpoint of this origin")
    prefix = STUDENT if f"{STUDENT}input.input" in state else ""
    student = {name: value for name, value in state.items() if name.startswith(prefix)}
    tensors = Tensors("generator", {name[len(prefix) :]: value for name, value in student.items()})
    generator = _synthesis(tensors)
    tensors.finish()
    read_rows = generator.config.rows
    stored_rows = 3 * len(generator.layers) + 2
    notes = ["noise is drawn once, from a fixed seed: the public code draws it anew for every image"]
    notes.append(f"w has {read_rows} rows: of the published {stored_rows} only these reach the image")
    networks: dict[str, Any] = {"generator": generator}
    rest = Tensors("checkpoint", {n: v for n, v in state.items() if n not in student})
    rest.drop(name for name in rest.named if isinstance(name, str) and name.startswith(UNUSED))
    if rest.matching(f"{MAPPING}layers."):
        networks["mapping"] = _mapping(rest, state.get("style_mean"), read_rows, notes)
    rest.finish()
    return Imported(ORIGIN, LICENCE, networks, tuple(notes))


def _synthesis(tensors: Tensors) -> MobileSynthesis:
    own: Arrays = {"constant": tensors.take("input.input")[0]}
    dense = tensors.take("conv1.conv.weight")
    gain = _gain(dense.shape[1], 3)
    own["first.weight"] = dense * _demodulation(tensors, "conv1", dense, gain)[:, None, None, None]
    noise = np.random.default_rng(NOISE_SEED)
    _finish(tensors, "conv1", "first", own, gain, 4, noise)
    _drop_head(tensors, "to_img1")
    found = (re.fullmatch(r"(\d{1,2})\.conv1\.conv\.weight_dw", rest) for rest in tensors.matching("layers."))
    count = sum(match is not None for match in found)
    if not 1 <= count <= MAX_LAYERS:
        raise BadCheckpoint(f"its generator has {count} layers, expected 1 to {MAX_LAYERS}")
    for index in range(count):
        layer = f"layers.{index}"
        for part in ("weight", "bias"):
            own[f"{layer}.up.{part}"] = tensors.take(f"{layer}.up.modulation.{part}")
        tensors.drop(f"{layer}.up.idwt.{name}" for name in FILTERS)
        for part in ("conv1", "conv2"):
            _separable(tensors, f"{layer}.{part}", own, 8 << index, noise)
        if index < count - 1:
            _drop_head(tensors, f"{layer}.to_img")
    last = f"layers.{count - 1}.to_img"
    own["head.to_bands.weight"] = tensors.take(f"{last}.conv.weight")
    own["head.to_bands.bias"] = tensors.take(f"{last}.bias").reshape(-1)
    _affine(tensors, last, "head", own, _gain(own["head.to_bands.weight"].shape[1], 1))
    tensors.drop(f"idwt.{name}" for name in FILTERS)
    tensors.drop(["device_info"])
    return synthesis_of(own)


def _separable(tensors: Tensors, name: str, own: Arrays, size: int, noise: np.random.Generator) -> None:
    depthwise = tensors.take(f"{name}.conv.weight_dw")  # (I, 1, 3, 3)
    mix = tensors.take(f"{name}.conv.weight_permute")  # (O, I, 1, 1)
    gain = _gain(len(depthwise), 3)
    product = depthwise.transpose(1, 0, 2, 3) * mix  # (O, I, 3, 3)
    own[f"{name}.depthwise"] = depthwise
    own[f"{name}.pointwise"] = mix * _demodulation(tensors, name, product, gain)[:, None, None, None]
    _finish(tensors, name, name, own, gain, size, noise)


def _gain(channels: int, kernel_size: int) -> float:
    return 1 / math.sqrt(channels * kernel_size**2)


def _demodulation(tensors: Tensors, name: str, weight: NDArray[np.float32], gain: float) -> Any:
    """(O,): as for a style that is stored, so a constant."""
    style = tensors.take(f"{name}.conv.style_inv")[0]  # (1, I, 1, 1)
    energy = np.square(gain * style * weight, dtype=np.float32).sum(axis=(1, 2, 3))
    return 1 / np.sqrt(energy + np.float32(DEMODULATION_EPSILON))


def _finish(
    tensors: Tensors, name: str, target: str, own: Arrays, gain: float, size: int, noise: np.random.Generator
) -> None:
    own[f"{target}.bias"] = tensors.take(f"{name}.bias").reshape(-1)
    image = noise.standard_normal((size, size)).astype(np.float32)
    own[f"{target}.noise"] = image * tensors.take(f"{name}.noise.weight").reshape(-1)[0]
    _affine(tensors, name, target, own, gain)


def _affine(tensors: Tensors, name: str, target: str, own: Arrays, gain: float) -> None:
    for part in ("weight", "bias"):
        own[f"{target}.affine.{part}"] = tensors.take(f"{name}.conv.modulation.{part}") * np.float32(gain)


def _drop_head(tensors: Tensors, name: str) -> None:
    """An image head of a smaller size: trained, and never part of the image."""
    parts = ("conv.weight", "conv.modulation.weight", "conv.modulation.bias", "bias")
    tensors.drop(f"{name}.{part}" for part in parts)


def _mapping(tensors: Tensors, mean: Any, rows: int, notes: list[str]) -> Mapping:
    prefix = f"{MAPPING}layers."
    count = len(tensors.matching(prefix, ".weight"))
    own: Arrays = {}
    for index in range(count):  # layers.0 normalises z and has no weights
        for part in ("weight", "bias"):
            own[f"fc{index}.{part}"] = tensors.take(f"{prefix}{index + 1}.{part}")
    width, z_dim = tensors.shape(f"{prefix}1.weight", 2)
    w_dim = tensors.shape(f"{prefix}{count}.weight", 2)[0]
    stored = as_array(mean)
    own["w_avg"] = np.zeros((1, w_dim), np.float32)
    if stored is not None:
        own["w_avg"] = rows_of(stored.reshape(-1, stored.shape[-1])[:1], w_dim, rows)
    config = MappingConfig(z_dim, w_dim, rows, count, width, lr_multiplier=LR_MULTIPLIER, embed_dim=0)
    network = built("mapping network", Mapping, config, own)
    if stored is None:
        notes.append(f"no mean latent is stored: psi pulls towards the mean of {MEAN_SAMPLES} fixed samples")
        set_mean(network)
    return network


def set_mean(network: Mapping) -> None:
    """Truncation pulls towards the mean of fixed samples."""
    source = torch.Generator().manual_seed(MEAN_SEED)
    z = torch.randn(MEAN_SAMPLES, network.config.z_dim, generator=source)
    with torch.no_grad():
        mean = torch.stack([network.w_of(part).mean(dim=0) for part in z.split(2048)]).mean(dim=0)
        network.w_avg.copy_(mean[None])


def synthesis_of(own: Arrays) -> MobileSynthesis:
    """The network of tensors that have our names and the published order; gains are folded in already.

    There the channels of a transform are C' of the low band, then three details for each of C'; ours are four
    bands of C'. The features before `up` take its order, and it and the head the transform's factor 1/2.
    """
    count = sum(name.endswith(".up.weight") for name in own)
    ends = ["first", *(f"layers.{index}.conv2" for index in range(count))]
    channels = tuple(len(own[f"{name}.bias"]) for name in ends)
    w_dim, bands = own["first.affine.weight"].shape[1], len(own["head.to_bands.bias"])
    try:
        config = MobileSynthesisConfig(channels, w_dim=w_dim, image_channels=bands // BANDS)
    except ValueError as error:
        raise BadCheckpoint(f"its generator has {error}") from error
    own = dict(own)
    for index, name in enumerate(ends[:-1]):
        order = bands_of(channels[index])
        for part in ("weight" if index == 0 else "pointwise", "bias"):
            own[f"{name}.{part}"] = own[f"{name}.{part}"][order]
        for part in ("weight", "bias"):
            own[f"layers.{index}.up.{part}"] = own[f"layers.{index}.up.{part}"][order] / 2
    for name in ("head.to_bands.weight", "head.to_bands.bias"):
        own[name] = own[name][bands_of(len(own[name]))] / 2
    return built("generator", MobileSynthesis, config, own)


def bands_of(channels: int) -> NDArray[np.int64]:
    """Where our channels lie in the published order."""
    width = channels // BANDS
    low = np.arange(width)
    details = (width + 3 * low + band for band in range(BANDS - 1))
    return np.concatenate([low, *details])
