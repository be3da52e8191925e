# SPDX-License-Identifier: MIT
"""ReStyle checkpoints, of its pSp and of its e4e branch: an encoder that runs in a loop around its decoder.

Knows their layout: that of e4e and pSp, with an encoder of six channels. One call of the graph is the whole
loop (engines/networks/restyle.py says why), so `encoder.onnx` takes one picture as that of every other does.
"""

from typing import Any

from engines.networks.restyle import MAX_ITERATIONS, Restyle, RestyleConfig
from engines.networks.stylegan2 import Synthesis
from export.checkpoints.encoders import (
    LICENCE,
    encoder_of,
    head_of,
    options_of,
    parts_of,
    state_of,
    stem_of,
)
from export.checkpoints.imported import Imported, Tensors, built, only_known
from export.checkpoints.rosinality import generator_and_mapping, mean_of
from export.checkpoints.shown import shown
from export.checkpoints.tensors import as_array
from face.errors import BadCheckpoint

ORIGIN = "restyle"
# encoder_type of the options: head, backbone, progressive. Heads of the two branches have equal names.
TYPES = {
    "BackboneEncoder": ("last", "ir_se", False),
    "ProgressiveBackboneEncoder": ("last", "ir_se", True),
    "GradualStyleEncoder": ("pyramid", "ir_se", False),
    "ResNetBackboneEncoder": ("last", "resnet34", False),
    "ResNetProgressiveBackboneEncoder": ("last", "resnet34", True),
    "ResNetGradualStyleEncoder": ("pyramid", "resnet34", False),
}
WRITTEN = (
    "state_dict", "opts", "latent_avg", "global_step", "optimizer", "best_val_loss",
    "discriminator_state_dict", "discriminator_optimizer_state_dict",
)  # fmt: skip
ITERATIONS = 5  # where the options do not say
WIDE = "cars_encode"  # the one data set whose pictures are not square


def matches(root: Any) -> bool:
    """An encoder of six channels, or with all rows from the last level, or on ResNet-34."""
    state = state_of(root)
    if state is None:
        return False
    named = {name[8:]: v for name, v in state.items() if isinstance(name, str) and name[:8] == "encoder."}
    tensors = Tensors("encoder", named)
    backbone, stem = stem_of(tensors)
    first = as_array(tensors.named[stem])
    two_pictures = first is not None and first.ndim == 4 and first.shape[1] == 6
    last = bool(tensors.matching("styles.0.convs.")) and "latlayer1.weight" not in tensors
    return two_pictures or backbone == "resnet34" or last


def read(root: Any) -> Imported:
    """The loop as one encoder, and its decoder as generator and mapping network."""
    state = state_of(root)
    if state is None:
        raise ValueError("not a checkpoint of this origin")
    only_known(root, WRITTEN)
    encoder_state, decoder_state = parts_of(state)
    options = options_of(root)
    mean = mean_of(root)
    if mean is None:
        raise BadCheckpoint("it has no latent_avg, from which ReStyle's loop starts; download it again")
    if not decoder_state:
        raise BadCheckpoint("it has no decoder, which ReStyle's loop runs; give the file as it was published")
    if options.get("dataset_type") == WIDE:
        raise BadCheckpoint(
            f"it was trained on {WIDE}, pictures of 192x256; expected an encoder of square ones"
        )
    tensors = Tensors("encoder", encoder_state)
    head, progressive = _head(tensors, options)
    iterations = _iterations(options)
    notes = [f"one call of the encoder runs the loop {iterations} times, from latent_avg"]
    networks = generator_and_mapping(decoder_state, mean, notes)
    generator = networks["generator"]
    assert isinstance(generator, Synthesis)
    said = options.get("output_size", generator.config.resolution)
    if said != generator.config.resolution:
        raise BadCheckpoint(
            f"its output_size is {shown(said)} and its decoder is of {generator.config.resolution} pixels"
        )
    rows = generator.config.num_ws
    encoder = encoder_of(tensors, head, progressive=progressive, mean=mean, rows=rows, pictures=2)
    own = {f"encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}
    own.update({f"decoder.{name}": tensor for name, tensor in generator.state_dict().items()})
    try:
        config = RestyleConfig(encoder.config, generator.config, iterations)
    except ValueError as error:
        raise BadCheckpoint(f"its encoder and decoder do not fit together ({error})") from error
    networks["encoder"] = built(
        "encoder", Restyle, config, {name: tensor.numpy() for name, tensor in own.items()}
    )
    return Imported(ORIGIN, LICENCE, networks, tuple(notes))


def _head(tensors: Tensors, options: dict[str, Any]) -> tuple[str, bool]:
    """Head and progressive, which only the options tell, held against what the names show."""
    found = (head_of(tensors), stem_of(tensors)[0])
    kind = options.get("encoder_type")
    if not isinstance(kind, str) or kind not in TYPES or TYPES[kind][:2] != found:
        known = ", ".join(name for name, (*fits, _) in TYPES.items() if tuple(fits) == found)
        raise BadCheckpoint(
            f"its encoder_type is {shown(kind)} and its tensors are those of {known or 'none known'}"
        )
    return found[0], TYPES[kind][2]


def _iterations(options: dict[str, Any]) -> int:
    count = options.get("n_iters_per_batch", ITERATIONS)
    if type(count) is not int or not 1 <= count <= MAX_ITERATIONS:
        raise BadCheckpoint(
            f"its n_iters_per_batch is {shown(count)}, expected a number from 1 to {MAX_ITERATIONS}"
        )
    return count
