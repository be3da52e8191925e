# SPDX-License-Identifier: MIT
"""The halves of a generator that methods of styles need beside their own file. Knows no file and no runtime.

Tables and masks work on styles, and a generator reads w. Where both are exported together, `styles.onnx`
takes the w of an encoder to styles, and with masks `style_generator.onnx` takes mixed styles to the image.
"""

from engines.networks.store import Network
from engines.networks.stylegan2 import Synthesis
from engines.networks.stylemask import StyleMask
from engines.networks.stylespace import StyleLayout, StyleOffsets, split_at_styles
from face.errors import WrongUse


def style_parts(networks: dict[str, Network]) -> dict[str, Network]:
    """What is to be exported besides, by role; WrongUse where generator and table or mask do not fit."""
    generator, offsets, mask = (networks.get(role) for role in ("generator", "offsets", "mask"))
    if not isinstance(generator, Synthesis) or (offsets is None and mask is None):
        return {}
    styles, rest = split_at_styles(generator)
    layout = styles.layout
    if isinstance(offsets, StyleOffsets):
        _check("table", offsets.config.layer_channels, [layer.channels for layer in layout.layers])
    if isinstance(mask, StyleMask):
        count = len(mask.config.channels)
        _check("masks", mask.config.channels, _convolutions(layout)[:count])
    return {"styles": styles} if mask is None else {"styles": styles, "style_generator": rest}


def _convolutions(layout: StyleLayout) -> list[int]:
    return [layer.channels for layer in layout.layers if not layer.is_image]


def _check(what: str, found: tuple[int, ...], wanted: list[int]) -> None:
    if list(found) != wanted:
        raise WrongUse(
            f"the {what} of {len(found)} layers and {sum(found)} channels do not fit the generator, "
            f"which has {len(wanted)} and {sum(wanted)}; name those made together"
        )
