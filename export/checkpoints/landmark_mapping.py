# SPDX-License-Identifier: MIT
"""The landmark mapping network of yoonhachoe's One-Shot-Landmark-Based-Face-Reenactment. Knows its layout.

Its authors publish no weights: the file is what their training writes, a bare state dict. Size and number of
channels of the drawings (580 pixels, OpenPose's face) and the width of w (512) are not stored.
"""

import re
from typing import Any

from engines.networks.landmark_mapping import LandmarkMapping, LandmarkMappingConfig
from export.checkpoints.imported import Arrays, Imported, Tensors, built
from face.errors import BadCheckpoint

ORIGIN = "one-shot-landmark"
LICENCE = "none stated by the authors: all rights reserved"
NOTES = (
    "difference: the driver's drawing less the portrait's, RGB in [0, 1], 580 pixels, no mean subtracted",
)
PREFIX = "landmark_encoder.landmark_encoder."
W_DIM = 512
STRIDE = 4  # convolution, norm, activation, pooling


def matches(root: Any) -> bool:
    return isinstance(root, dict) and f"{PREFIX}0.weight" in root


def read(root: Any) -> Imported:
    """The network from drawings to the shift."""
    tensors = Tensors("network", root)
    named = (re.fullmatch(r"(\d{1,3})\.running_mean", rest) for rest in tensors.matching(PREFIX))
    norms = sum(match is not None for match in named)
    convolutions = norms - 1  # the last norm stands between the two linear layers
    if convolutions < 1:
        raise BadCheckpoint(f"its network has {norms} batch norms, expected one a convolution and one more")
    channels = [tensors.shape(f"{PREFIX}{STRIDE * i}.weight", 4)[0] for i in range(convolutions)]
    first = f"{PREFIX}{STRIDE * convolutions}.weight"
    hidden, flat = tensors.shape(first, 2)
    outputs = tensors.shape(f"{PREFIX}{STRIDE * convolutions + 3}.weight", 2)[0]
    if outputs % W_DIM:
        raise BadCheckpoint(f"its network gives {outputs} numbers, expected rows of {W_DIM}")
    config = LandmarkMappingConfig(
        channels=tuple(channels),
        hidden=hidden,
        rows=outputs // W_DIM,
        w_dim=W_DIM,
        input_channels=tensors.shape(f"{PREFIX}0.weight", 4)[1],
    )
    features = channels[-1] * config.last_size**2
    if flat != features:
        raise BadCheckpoint(
            f"its network ends in {flat} features, expected the {features} of {config.input_size} pixels"
        )
    own: Arrays = {
        f"landmark_encoder.{rest}": tensors.take(
            f"{PREFIX}{rest}", integer=rest.endswith("num_batches_tracked")
        )
        for rest in tensors.matching(PREFIX)
    }
    tensors.finish()
    return Imported(ORIGIN, LICENCE, {"landmarks": built("network", LandmarkMapping, config, own)}, NOTES)
