# SPDX-License-Identifier: MIT
"""The mask network of StelaBou's StyleMask. Knows its layout, and no generator.

It goes with rosinality's generator of 1024 pixels (FFHQ) and the e4e of that, exported on their own. No file
of theirs was at hand: names and shapes are those of the classes that write it.
"""

import re
from typing import Any

from engines.networks.stylemask import StyleMask, StyleMaskConfig
from export.checkpoints.imported import Arrays, Imported, Tensors, built, only_known
from export.checkpoints.shown import shown
from export.checkpoints.tensors import as_dict
from face.errors import BadCheckpoint

ORIGIN = "stylemask"
LICENCE = "none stated by the authors: all rights reserved"
WRITTEN = ("step", "mask_net", "num_layers_control")
NOTES = ("source and target: styles of the generator's first convolutions, of w truncated before (psi 0.7)",)
LAYERS = (0, 2)  # the linear layers of a mask


def matches(root: Any) -> bool:
    state = root.get("mask_net") if isinstance(root, dict) else None
    return isinstance(state, dict) and "network_00.masknet.0.weight" in state


def read(root: Any) -> Imported:
    """The masks of all layers as one network."""
    only_known(root, WRITTEN)
    tensors = Tensors("mask network", as_dict(root["mask_net"]) or {})
    count = sum(
        re.fullmatch(r"\d\d\.masknet\.0\.weight", rest) is not None for rest in tensors.matching("network_")
    )
    said = root.get("num_layers_control")
    if said is not None and said != count:
        raise BadCheckpoint(f"its num_layers_control is {shown(said)} and it has masks of {count} layers")
    own: Arrays = {}
    channels = []
    for index in range(count):
        name = f"network_{index:02d}.masknet"
        channels.append(tensors.shape(f"{name}.0.weight", 2)[1])
        for layer in LAYERS:
            for part in ("weight", "bias"):
                own[f"networks.{index}.{layer}.{part}"] = tensors.take(f"{name}.{layer}.{part}")
    tensors.finish()
    network = built("mask network", StyleMask, StyleMaskConfig(tuple(channels)), own)
    return Imported(ORIGIN, LICENCE, {"mask": network}, NOTES)
