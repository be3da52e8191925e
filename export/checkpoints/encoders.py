# SPDX-License-Identifier: MIT
"""Checkpoints of encoder4editing and pixel2style2pixel, and the bare encoder of StelaBou's VoxCeleb models.

Knows their common layout: an encoder and a rosinality decoder in one state dict, options beside it.
"""

import re
from typing import Any

from engines.networks.encoder import EncoderConfig
from engines.networks.store import Network
from export.checkpoints.imported import Arrays, Imported, Tensors, built, one_value
from export.checkpoints.rosinality import generator_and_mapping, rows_of
from export.checkpoints.tensors import as_array, as_dict
from face.errors import BadCheckpoint

ORIGIN = "e4e-psp"
ORIGIN_BARE = "stelabou-e4e"
LICENCE = "that of the weights' training (code MIT; FFHQ generators of NVIDIA: research and evaluation only)"
LICENCE_BARE = "none stated by the authors: all rights reserved"
STAGES = 4
# encoder_type of the options: head, progressive. With equal keys only this tells pSp from e4e.
TYPES = {
    "GradualStyleEncoder": ("pyramid", False),
    "Encoder4Editing": ("pyramid", True),
    "BackboneEncoderUsingLastLayerIntoW": ("mean", False),
    "SingleStyleCodeEncoder": ("mean", False),
    "BackboneEncoderUsingLastLayerIntoWPlus": ("flat", False),
}


def _parts(root: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Encoder and decoder of a checkpoint's state dict, prefixes off; None for anything else."""
    state = root.get("state_dict") if isinstance(root, dict) else None
    if not isinstance(state, dict) or "encoder.input_layer.0.weight" not in state:
        return None
    parts: dict[str, dict[str, Any]] = {"encoder": {}, "decoder": {}}
    for name, value in state.items():
        part, _, rest = str(name).partition(".")
        if part not in parts:
            raise BadCheckpoint(
                f"its state dict has {str(name)[:60]!r}, expected names under encoder and decoder"
            )
        parts[part][rest] = value
    return parts["encoder"], parts["decoder"]


def matches(root: Any) -> bool:
    return _parts(root) is not None


def read(root: Any) -> Imported:
    """Encoder, and its decoder as generator and mapping network."""
    parts = _parts(root)
    if parts is None:
        raise ValueError("not a checkpoint of this origin")
    encoder_state, decoder_state = parts
    notes: list[str] = []
    options = as_dict(root.get("opts")) or {}
    mean = as_array(root.get("latent_avg"))
    networks = generator_and_mapping(decoder_state, mean, notes) if decoder_state else {}
    rows = int(networks["generator"].inputs[0].shape[1]) if networks else None
    centre = mean if options.get("start_from_latent_avg", True) else None
    if mean is not None and centre is None:
        notes.append("its options say that the encoder does not start from latent_avg: it is not added")
    networks["encoder"] = _encoder(encoder_state, options, centre, rows)
    return Imported(ORIGIN, LICENCE, networks, tuple(notes))


def matches_bare(root: Any) -> bool:
    state = root.get("e") if isinstance(root, dict) else None
    return isinstance(state, dict) and "input_layer.0.weight" in state


def read_bare(root: Any) -> Imported:
    """StelaBou's encoder under the key `e`: e4e's network, and no mean latent is added."""
    encoder = _encoder(root["e"], {"encoder_type": "Encoder4Editing"}, None, None)
    return Imported(ORIGIN_BARE, LICENCE_BARE, {"encoder": encoder})


def _encoder(state: dict[str, Any], options: dict[str, Any], mean: Any, rows: int | None) -> Network:
    tensors = Tensors("encoder", state)
    head, progressive = _head(tensors, options)
    widths, depths = _stages(tensors)
    style_dim = tensors.shape(_style_layer(tensors, head), 2)[0 if head != "flat" else 1]
    num_styles = _rows(tensors, head, style_dim, rows)
    own: Arrays = {n: tensors.take(n, integer=n.endswith("num_batches_tracked")) for n in tensors.named}
    own["latent_avg"] = rows_of([[0.0] * style_dim] if mean is None else mean, style_dim, num_styles)
    squeezes = [f"body.{i}.res_layer.5.fc1.weight" for i in range(sum(depths))]
    config = EncoderConfig(
        num_styles=num_styles,
        head=head,
        progressive=progressive,
        input_channels=tensors.shape("input_layer.0.weight", 4)[1],
        widths=widths,
        depths=depths,
        style_dim=style_dim,
        reduction=one_value("encoder", [_ratio(tensors.shape(name, 4)) for name in squeezes]),
        mean_rows=own["latent_avg"].shape[0],
    )
    return built("encoder", config, own)


def _ratio(shape: tuple[int, ...]) -> int:
    return shape[1] // shape[0]


def _head(tensors: Tensors, options: dict[str, Any]) -> tuple[str, bool]:
    """What the keys show, and what the options say of it."""
    if "output_layer_2.0.weight" in tensors:
        shown = "flat"
    elif "latlayer1.weight" in tensors:
        shown = "pyramid"
    elif tensors.matching("styles.0.convs."):
        raise BadCheckpoint("its encoder is ReStyle's, which runs in a loop; give an e4e or pSp checkpoint")
    elif "linear.weight" in tensors:
        shown = "mean"
    else:
        raise BadCheckpoint("its encoder has none of the heads of pSp and e4e; give an e4e or pSp checkpoint")
    if tensors.shape("input_layer.0.weight", 4)[1] == 6:
        raise BadCheckpoint(
            "its encoder takes two pictures (ReStyle), which runs in a loop; give an e4e or pSp one"
        )
    kind = options.get("encoder_type")
    if kind is None and shown != "pyramid":
        return shown, False
    if kind is None:
        kind = "Encoder4Editing" if "stylegan_size" in options else "GradualStyleEncoder"
    if kind not in TYPES or TYPES[kind][0] != shown:
        known = ", ".join(name for name, (head, _) in TYPES.items() if head == shown)
        raise BadCheckpoint(f"its encoder_type is {ascii(kind)[:50]} and its tensors are those of {known}")
    return TYPES[kind]


def _stages(tensors: Tensors) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Widths and depths of the backbone; a stage starts where the width changes."""
    found = (re.fullmatch(r"(\d{1,3})\.res_layer\.3\.weight", rest) for rest in tensors.matching("body."))
    count = sum(match is not None for match in found)
    widths: list[int] = []
    depths: list[int] = []
    for index in range(count):
        width = tensors.shape(f"body.{index}.res_layer.3.weight", 4)[0]
        if not widths or width != widths[-1]:
            widths.append(width)
            depths.append(0)
        depths[-1] += 1
    if len(widths) != STAGES:
        raise BadCheckpoint(f"its encoder has a backbone of {len(widths)} stages, expected {STAGES}")
    return tuple(widths), tuple(depths)


def _style_layer(tensors: Tensors, head: str) -> str:
    return "styles.0.linear.weight" if head == "pyramid" else "linear.weight"


def _rows(tensors: Tensors, head: str, style_dim: int, rows: int | None) -> int:
    if head == "pyramid":
        found = len(tensors.matching("styles.", ".linear.weight"))
    elif head == "flat":
        found = tensors.shape("linear.weight", 2)[0] // style_dim
    else:
        found = rows or 0
    if found < 1 or (rows is not None and found != rows):
        raise BadCheckpoint(
            f"its encoder gives {found} rows of w and its decoder takes {rows}, expected the same"
        )
    return found
