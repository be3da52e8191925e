# SPDX-License-Identifier: MIT
"""How unlike two pictures look: features of an ImageNet network compared at five depths; and PSNR.

The first has the form of LPIPS (Zhang et al. 2018) and is not LPIPS: the network is EfficientNet-Lite0
instead of AlexNet, and no weights were learned from people's judgements, so its numbers are on a scale of
their own. At each depth both pictures' features are brought to length 1 at every place; the squared distance
there, 0 to 4, is averaged over places and then over depths. No training in this project looks through this
network.
"""

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from engines.package_models import efficientnet_lite0_model
from face.arrays import Image

if TYPE_CHECKING:
    from engines.networks.efficientnet_lite0 import EfficientNetLite0

DEPTHS = (0, 2, 4, 10, 15)  # blocks whose outputs are compared: 1/2, 1/4, 1/8, 1/16 and 1/32 of the picture


@cache
def open_lite0() -> "EfficientNetLite0":
    """The network with its package's weights; ModelUnavailable when they are missing or altered."""
    import torch

    from engines.networks.efficientnet_lite0 import EfficientNetLite0

    path = efficientnet_lite0_model()
    network = EfficientNetLite0()
    network.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
    return network


def perceptual(network: "EfficientNetLite0", one: Image, other: Image) -> float:
    """Between two pictures (H, W, 3) uint8 of one size; 0 for the same."""
    import torch
    from torch.nn import functional

    if one.shape != other.shape:
        raise ValueError(f"pictures are {one.shape} and {other.shape}, expected one size")
    pictures = torch.from_numpy(np.stack([one, other])).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        features = network.features(pictures)
    apart = []
    for depth in DEPTHS:
        first, second = functional.normalize(features[depth], dim=1)  # (C, H, W) each
        apart.append(float((first - second).square().sum(0).mean()))
    return float(np.mean(apart))


def psnr_db(one: Image, other: Image) -> float:
    """Of two pictures of one size; 138 dB for the same."""
    error = float(np.square(one.astype(np.float64) - other).mean())
    return 10 * float(np.log10(255**2 / max(error, 1e-9)))
