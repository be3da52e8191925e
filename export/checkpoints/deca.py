# SPDX-License-Identifier: MIT
"""DECA's regressor (deca_model.tar) as a tracker that a user brings. Knows its layout, and no FLAME.

Its licence forbids passing it on, so nothing of it is here or ever ships: neither weights nor FLAME. No file
of theirs was at hand: names and shapes are those of the classes that write it, and what the published file
may hold beside the known parts is said in a note, not refused.
"""

import re
from typing import Any

from engines.networks.deca import PARTS, Deca, DecaConfig
from export.checkpoints.imported import Arrays, Imported, Tensors, built
from export.checkpoints.shown import shown_names
from export.checkpoints.tensors import as_dict
from face.errors import BadCheckpoint

ORIGIN = "deca"
LICENCE = (
    "MPI: non-commercial research, education or art; never to be passed on; no fake or misleading content"
)
LICENCE_NOTE = (
    "DECA's licence forbids passing these weights on in any form, and fake or misleading content made with "
    "them: keep this folder to yourself"
)
REGRESSOR = "E_flame"
OTHERS = ("E_detail", "D_detail", "opt", "global_step", "batch_size")  # detail networks, and the training's


def matches(root: Any) -> bool:
    state = root.get(REGRESSOR) if isinstance(root, dict) else None
    return isinstance(state, dict) and "encoder.conv1.weight" in state


def read(root: Any) -> Imported:
    """The coarse regressor; the networks of surface detail are left out."""
    tensors = Tensors("regressor", as_dict(root[REGRESSOR]) or {})
    widths, depths = [], []
    for stage in range(1, 5):
        named = re.compile(r"\d{1,2}\.conv1\.weight")
        depths.append(
            sum(named.fullmatch(rest) is not None for rest in tensors.matching(f"encoder.layer{stage}."))
        )
        widths.append(tensors.shape(f"encoder.layer{stage}.0.conv1.weight", 4)[0])
    outputs, total = tensors.shape("layers.2.weight", 2)[0], sum(PARTS.values())
    if outputs != total:
        raise BadCheckpoint(
            f"its regressor gives {outputs} parameters, expected {total}; give deca_model.tar"
        )
    config = DecaConfig(tuple(widths), tuple(depths), tensors.shape("layers.0.weight", 2)[0])
    own: Arrays = {n: tensors.take(n, integer=n.endswith("num_batches_tracked")) for n in tensors.named}
    strangers = set(root) - {REGRESSOR, *OTHERS}
    notes = [LICENCE_NOTE, "image: RGB in [0, 1], 224 pixels, no mean subtracted; FLAME is yours to bring"]
    if strangers:
        notes.append(f"not read: {shown_names(strangers)}")
    return Imported(ORIGIN, LICENCE, {"tracker": built("regressor", Deca, config, own)}, tuple(notes))
