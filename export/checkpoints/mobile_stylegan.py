# SPDX-License-Identifier: MIT
"""MobileStyleGAN in the layout of bes-dev/MobileStyleGAN.pytorch, to our own order of channels."""

import numpy as np
import torch
from numpy.typing import NDArray

from engines.networks.mobile_stylegan import BANDS, MobileSynthesis, MobileSynthesisConfig
from engines.networks.stylegan2 import Mapping
from export.checkpoints.imported import Arrays, built

MEAN_SAMPLES, MEAN_SEED = 16384, 0


def synthesis_of(own: Arrays) -> MobileSynthesis:
    """The network of tensors that have our names and the published order; gains are folded in already.

    There the channels of a transform are C' of the low band, then three details for each of C'; ours are four
    bands of C'. The features before `up` take its order, and it and the head the transform's factor 1/2.
    """
    count = sum(name.endswith(".up.weight") for name in own)
    channels = tuple(len(own[name]) for name in ("first.bias", *_names(count)))
    own = dict(own)
    for index in range(count):
        order = bands_of(channels[index])
        before = "first" if index == 0 else f"layers.{index - 1}.conv2"
        kernel = "weight" if index == 0 else "pointwise"
        for name in (f"{before}.{kernel}", f"{before}.bias"):
            own[name] = own[name][order]
        for name in (f"layers.{index}.up.weight", f"layers.{index}.up.bias"):
            own[name] = own[name][order] / 2
    for name in ("head.to_bands.weight", "head.to_bands.bias"):
        own[name] = own[name][bands_of(len(own[name]))] / 2
    network = built("generator", MobileSynthesisConfig(channels), own)
    if not isinstance(network, MobileSynthesis):
        raise TypeError("no synthesis network")
    return network


def _names(count: int) -> list[str]:
    return [f"layers.{index}.conv2.bias" for index in range(count)]


def bands_of(channels: int) -> NDArray[np.int64]:
    """Where our channels lie in the published order."""
    width = channels // BANDS
    low = np.arange(width)
    details = (width + 3 * low + band for band in range(BANDS - 1))
    return np.concatenate([low, *details])


def set_mean(network: Mapping) -> None:
    """Truncation pulls towards the mean of fixed samples: these files hold none, or a random one."""
    source = torch.Generator().manual_seed(MEAN_SEED)
    z = torch.randn(MEAN_SAMPLES, network.config.z_dim, generator=source)
    with torch.no_grad():
        mean = torch.stack([network.w_of(part).mean(dim=0) for part in z.split(2048)]).mean(dim=0)
        network.w_avg.copy_(mean[None])
