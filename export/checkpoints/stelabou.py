# SPDX-License-Identifier: MIT
"""The matrix of directions of StelaBou's stylegan_directions_face_reenactment. Knows no generator."""

from typing import Any

from engines.networks.directions import DirectionsConfig
from export.checkpoints.imported import Arrays, Imported, Tensors, built
from export.checkpoints.tensors import as_dict
from face.errors import BadCheckpoint

ORIGIN = "stelabou-directions"
LICENCE = "none stated by the authors: all rights reserved"
SHIFT_DIM = 512  # where the file does not say: the released trainer leaves it out


def matches(root: Any) -> bool:
    state = root.get("A_matrix") if isinstance(root, dict) else None
    return isinstance(state, dict) and "linear.weight" in state


def read(root: Any) -> Imported:
    """The linear map with its bias, rows of W+ as the file gives them."""
    tensors = Tensors("matrix", as_dict(root["A_matrix"]) or {})
    outputs, parameters = tensors.shape("linear.weight", 2)
    width = root.get("shift_dim", SHIFT_DIM)
    if root.get("w_plus", True) is not True:
        raise BadCheckpoint(
            "its w_plus is not True: the matrix shifts one w, expected one that shifts rows of W+"
        )
    if type(width) is not int or width < 1 or outputs % width:
        raise BadCheckpoint(
            f"its matrix has {outputs} outputs and shift_dim {ascii(width)[:20]}, expected a multiple"
        )
    rows = outputs // width
    for name, found in (("num_layers_shift", rows), ("learned_directions", parameters)):
        said = root.get(name, found)
        if said != found:
            raise BadCheckpoint(f"its {name} is {ascii(said)[:20]} and its matrix is made for {found}")
    own: Arrays = {name: tensors.take(name) for name in ("linear.weight", "linear.bias") if name in tensors}
    tensors.finish()
    config = DirectionsConfig(parameters=parameters, rows=rows, w_dim=width, bias="linear.bias" in own)
    notes = ("the shift includes the bias and comes before truncation",)
    return Imported(ORIGIN, LICENCE, {"directions": built("matrix", config, own)}, notes)
