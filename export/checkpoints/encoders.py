# SPDX-License-Identifier: MIT
"""Checkpoints of encoder4editing and pixel2style2pixel, and the bare encoder of StelaBou's VoxCeleb models.

Knows their common layout: an encoder and a rosinality decoder in one state dict, options beside it.
"""

import re
from collections.abc import Sequence
from typing import Any

from engines.networks.encoder import Encoder, EncoderConfig
from export.checkpoints.imported import Arrays, Imported, Tensors, built, one_value
from export.checkpoints.rosinality import generator_and_mapping, mean_of, rows_of
from export.checkpoints.shown import shown
from export.checkpoints.tensors import as_dict
from face.errors import BadCheckpoint

ORIGIN = "e4e-psp"
ORIGIN_BARE = "stelabou-e4e"
LICENCE = "that of the weights' training (code MIT; FFHQ generators of NVIDIA: research and evaluation only)"
LICENCE_BARE = "none stated by the authors: all rights reserved"
STAGES = 4
STEMS = {"ir_se": "input_layer.0.weight", "resnet34": "conv1.weight"}  # the first convolution by backbone
# encoder_type of the options: head, progressive. With equal keys only this tells pSp from e4e.
TYPES = {
    "GradualStyleEncoder": ("pyramid", False),
    "Encoder4Editing": ("pyramid", True),
    "BackboneEncoderUsingLastLayerIntoW": ("mean", False),
    "SingleStyleCodeEncoder": ("mean", False),
    "BackboneEncoderUsingLastLayerIntoWPlus": ("flat", False),
}


def state_of(root: Any) -> dict[str, Any] | None:
    """The state dict of a checkpoint that holds an encoder; None for anything else."""
    state = root.get("state_dict") if isinstance(root, dict) else None
    stems = [f"encoder.{stem}" for stem in STEMS.values()]
    return state if isinstance(state, dict) and any(stem in state for stem in stems) else None


def options_of(root: dict[str, Any]) -> dict[Any, Any]:
    """The options beside the state dict, {} where there are none; they say what the tensors do not."""
    options = as_dict(root.get("opts"))
    if options is None and root.get("opts") is not None:
        raise BadCheckpoint(f"its opts are {shown(root['opts'])}, expected a dictionary of options")
    return options or {}


def parts_of(state: dict[str, Any], names: Sequence[str] = ("encoder", "decoder")) -> list[dict[str, Any]]:
    """What stands under each of the names, prefixes off; nothing may stand anywhere else."""
    parts: dict[str, dict[str, Any]] = {name: {} for name in names}
    for name, value in state.items():
        part, _, rest = name.partition(".") if isinstance(name, str) else ("", "", "")
        if part not in parts:
            raise BadCheckpoint(
                f"its state dict has {shown(name)}, expected names under {' and '.join(names)}"
            )
        parts[part][rest] = value
    return [parts[name] for name in names]


def matches(root: Any) -> bool:
    return state_of(root) is not None


def read(root: Any) -> Imported:
    """Encoder, and its decoder as generator and mapping network."""
    state = state_of(root)
    if state is None:
        raise ValueError("not a checkpoint of this origin")
    encoder_state, decoder_state = parts_of(state)
    notes: list[str] = []
    options = options_of(root)
    mean = mean_of(root)
    networks = generator_and_mapping(decoder_state, mean, notes) if decoder_state else {}
    rows = int(networks["generator"].inputs[0].shape[1]) if networks else None
    centre = mean if options.get("start_from_latent_avg", True) else None
    if mean is not None and centre is None:
        notes.append("its options say that the encoder does not start from latent_avg: it is not added")
    tensors = Tensors("encoder", encoder_state)
    head, progressive = _head(tensors, options)
    networks["encoder"] = encoder_of(tensors, head, progressive=progressive, mean=centre, rows=rows)
    return Imported(ORIGIN, LICENCE, networks, tuple(notes))


def matches_bare(root: Any) -> bool:
    state = root.get("e") if isinstance(root, dict) else None
    return isinstance(state, dict) and "input_layer.0.weight" in state


def read_bare(root: Any) -> Imported:
    """StelaBou's encoder under the key `e`: e4e's network, and no mean latent is added."""
    tensors = Tensors("encoder", root["e"])
    head, progressive = _head(tensors, {"encoder_type": "Encoder4Editing"})
    encoder = encoder_of(tensors, head, progressive=progressive, mean=None, rows=None)
    return Imported(ORIGIN_BARE, LICENCE_BARE, {"encoder": encoder})


def encoder_of(
    tensors: Tensors, head: str, *, progressive: bool, mean: Any, rows: int | None, pictures: int = 1
) -> Encoder:
    """The encoder of these tensors around `mean` (None: nothing is added); `rows` is the decoder's number."""
    backbone, stem = stem_of(tensors)
    channels = tensors.shape(stem, 4)[1]
    if channels != 3 * pictures:
        raise BadCheckpoint(
            f"its encoder takes {channels} channels, expected {3 * pictures}: "
            f"{'the one picture of e4e and pSp' if pictures == 1 else 'the two pictures of ReStyle'}"
        )
    widths, depths = _stages(tensors)
    style_dim = tensors.shape(_style_layer(tensors, head), 2)[0 if head != "flat" else 1]
    num_styles = _rows(tensors, head, style_dim, rows)
    own: Arrays = {n: tensors.take(n, integer=n.endswith("num_batches_tracked")) for n in tensors.named}
    own["latent_avg"] = rows_of([[0.0] * style_dim] if mean is None else mean, style_dim, num_styles)
    squeezes = [f"body.{i}.res_layer.5.fc1.weight" for i in range(sum(depths))]
    ratios = [_ratio(tensors.shape(name, 4)) for name in squeezes] if backbone == "ir_se" else [1]
    config = EncoderConfig(
        num_styles=num_styles,
        head=head,
        progressive=progressive,
        input_channels=channels,
        widths=widths,
        depths=depths,
        style_dim=style_dim,
        reduction=one_value("encoder", ratios),
        mean_rows=own["latent_avg"].shape[0],
        backbone=backbone,
    )
    return built("encoder", Encoder, config, own)


def _ratio(shape: tuple[int, ...]) -> int:
    return shape[1] // shape[0]


def stem_of(tensors: Tensors) -> tuple[str, str]:
    """The backbone, and the name of its first convolution."""
    for backbone, stem in STEMS.items():
        if stem in tensors:
            return backbone, stem
    raise BadCheckpoint(
        f"its encoder has neither {' nor '.join(STEMS.values())}, which every encoder starts with"
    )


def head_of(tensors: Tensors) -> str:
    """The head that the names show."""
    if "output_layer_2.0.weight" in tensors:
        return "flat"
    if "latlayer1.weight" in tensors:
        return "pyramid"
    if tensors.matching("styles.0.convs."):
        return "last"
    if "linear.weight" in tensors:
        return "mean"
    raise BadCheckpoint("its encoder has none of the heads of pSp, e4e and ReStyle; give one of their files")


def _head(tensors: Tensors, options: dict[str, Any]) -> tuple[str, bool]:
    """What the names show, and what the options say of it."""
    head = head_of(tensors)
    kind = options.get("encoder_type")
    if kind is None and head != "pyramid":
        return head, False
    if kind is None:
        kind = "Encoder4Editing" if "stylegan_size" in options else "GradualStyleEncoder"
    if not isinstance(kind, str) or kind not in TYPES or TYPES[kind][0] != head:
        known = ", ".join(name for name, (other, _) in TYPES.items() if other == head)
        raise BadCheckpoint(f"its encoder_type is {shown(kind)} and its tensors are those of {known}")
    return TYPES[kind]


def _stages(tensors: Tensors) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Widths and depths of the backbone; a stage starts where the width changes."""
    last = "res_layer.3.weight" if stem_of(tensors)[0] == "ir_se" else "conv2.weight"
    named = re.compile(rf"\d{{1,3}}\.{re.escape(last)}")
    count = sum(named.fullmatch(rest) is not None for rest in tensors.matching("body."))
    widths: list[int] = []
    depths: list[int] = []
    for index in range(count):
        width = tensors.shape(f"body.{index}.{last}", 4)[0]
        if not widths or width != widths[-1]:
            widths.append(width)
            depths.append(0)
        depths[-1] += 1
    if len(widths) != STAGES:
        raise BadCheckpoint(f"its encoder has a backbone of {len(widths)} stages, expected {STAGES}")
    return tuple(widths), tuple(depths)


def _style_layer(tensors: Tensors, head: str) -> str:
    return "styles.0.linear.weight" if head in ("pyramid", "last") else "linear.weight"


def _rows(tensors: Tensors, head: str, style_dim: int, rows: int | None) -> int:
    if head in ("pyramid", "last"):
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
