# SPDX-License-Identifier: MIT
"""Pose and expression transfer of Jahoda and Cech (2025): driver's encoder, map and decoder in one file.

Knows that layout. The portrait's latent is ReStyle's, whose checkpoint is exported on its own. No file of
theirs was at hand: names and shapes are those of the classes that write it.
"""

from typing import Any

from engines.networks.motion_mapping import MotionMapping, MotionMappingConfig
from export.checkpoints.encoders import encoder_of, head_of, parts_of, state_of
from export.checkpoints.imported import Arrays, Imported, Tensors, built, only_known
from export.checkpoints.rosinality import generator_and_mapping, mean_of
from face.errors import BadCheckpoint

ORIGIN = "pose-and-expression-transfer"
LICENCE = "GPL-2.0 (the authors' code; of the weights nothing is said), decoder of NVIDIA: research only"
PARTS = ("encoder", "mapping_net", "decoder")
WRITTEN = ("state_dict", "opts", "latent_avg")
HEADS = ("flat", "pyramid")  # the released code's, and its training's other choice
MATRIX = "linear_relu.0"  # one linear layer, whatever its name


def matches(root: Any) -> bool:
    state = state_of(root)
    return state is not None and f"mapping_net.{MATRIX}.weight" in state


def read(root: Any) -> Imported:
    """Encoder of the driver, map (whole and by halves), decoder as generator and mapping network."""
    state = state_of(root)
    if state is None:
        raise ValueError("not a checkpoint of this origin")
    only_known(root, WRITTEN)
    encoder_state, mapping_state, decoder_state = parts_of(state, PARTS)
    # latent_avg, where there is one, is the decoder's: the released code adds it to no latent.
    notes = ["the encoder's w is the driver's motion; the portrait's identity is the w of ReStyle's encoder"]
    networks = generator_and_mapping(decoder_state, mean_of(root), notes)
    rows, w_dim = (int(size) for size in networks["generator"].inputs[0].shape[1:])
    tensors = Tensors("encoder", encoder_state)
    # The options' encoder_type is not asked: the released code passes over it.
    head = head_of(tensors)
    if head not in HEADS:
        raise BadCheckpoint(f"its encoder has the head {head}, expected one that gives all rows of w")
    networks["encoder"] = encoder_of(tensors, head, progressive=False, mean=None, rows=rows)
    motion = _mapping(mapping_state, rows, w_dim)
    networks["motion"] = motion
    networks["motion_identity"], networks["motion_live"] = motion.split()
    return Imported(ORIGIN, LICENCE, networks, tuple(notes))


def _mapping(state: dict[str, Any], rows: int, w_dim: int) -> MotionMapping:
    tensors = Tensors("map", state)
    found, wanted = tensors.shape(f"{MATRIX}.weight", 2), (rows * w_dim, 2 * rows * w_dim)
    if found != wanted:
        raise BadCheckpoint(
            f"its map is {found[0]} x {found[1]} and its decoder asks for {wanted[0]} x {wanted[1]}"
        )
    own: Arrays = {f"linear.{part}": tensors.take(f"{MATRIX}.{part}") for part in ("weight", "bias")}
    tensors.finish()
    return built("map", MotionMapping, MotionMappingConfig(rows, w_dim), own)
