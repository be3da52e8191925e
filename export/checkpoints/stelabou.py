# SPDX-License-Identifier: MIT
"""The matrix of directions of StelaBou's stylegan_directions_face_reenactment. Knows no generator."""

import math
from typing import Any

from engines.networks.directions import Directions, DirectionsConfig
from export.checkpoints.imported import Arrays, Imported, Parameters, Tensors, built
from export.checkpoints.shown import shown
from export.checkpoints.tensors import as_dict
from face.deca_parameters import POSE, deca_names
from face.errors import BadCheckpoint

ORIGIN = "stelabou-directions"
LICENCE = "none stated by the authors: all rights reserved"
SHIFT_DIM = 512  # where the file does not say: the released trainer leaves it out
SHIFT_SCALE = 6.0
ANGLES = (40.0, 20.0, 20.0)  # degrees of yaw, pitch, roll that are `shift_scale`
# Lowest and highest jaw angle in radians and expression coefficients that the authors saw on VoxCeleb faces.
SEEN = (
    (-0.111698, 0.194793),
    (-0.996875, 2.354031), (-0.955846, 1.601677), (-0.251350, 0.630063), (-0.325519, 1.655761),
    (-1.889597, 1.333279), (-1.350661, 1.225825), (-1.124989, 1.052120), (-1.677975, 0.928982),
    (-0.917056, 1.086615), (-0.773716, 1.871791), (-1.665500, 0.824348),
)  # fmt: skip
OTHER_LAYOUT = "what its numbers mean is known for 15 of them, as in the released file: it cannot be played"


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
            f"its matrix has {outputs} outputs and shift_dim {shown(width)}, expected a multiple"
        )
    rows = outputs // width
    for name, found in (("num_layers_shift", rows), ("learned_directions", parameters)):
        said = root.get(name, found)
        if said != found:
            raise BadCheckpoint(f"its {name} is {shown(said)} and its matrix is made for {found}")
    own: Arrays = {name: tensors.take(name) for name in ("linear.weight", "linear.bias") if name in tensors}
    tensors.finish()
    config = DirectionsConfig(parameters=parameters, rows=rows, w_dim=width, bias="linear.bias" in own)
    notes = ["the shift includes the bias and comes before truncation"]
    meant = _meant(parameters, root.get("shift_scale", SHIFT_SCALE))
    if meant is None:
        notes.append(OTHER_LAYOUT)
    return Imported(
        ORIGIN, LICENCE, {"directions": built("matrix", Directions, config, own)}, tuple(notes), meant
    )


def _meant(count: int, scale: Any) -> Parameters | None:
    """The layout of the released matrix, which their inference script takes for given."""
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0 < scale < math.inf:
        raise BadCheckpoint(f"its shift_scale is {shown(scale)}, expected a number above 0")
    if count != len(ANGLES) + len(SEEN):
        return None
    turns = tuple((-angle, angle) for angle in ANGLES)
    of_jaw, *of_expression = (2 / (high - low) for low, high in SEEN)
    scales = (*(scale / angle for angle in ANGLES), SHIFT_SCALE * of_jaw, *(scale * s for s in of_expression))
    assert len(turns) + 1 == len(POSE)
    return Parameters(deca_names(count), (*turns, *SEEN), scales)
