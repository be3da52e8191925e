# SPDX-License-Identifier: MIT
"""Whose checkpoint a file is, by what is in it and never by its name."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engines.networks.store import load_any_network
from export.checkpoints import (
    deca,
    encoders,
    ffhq_mobile,
    jahoda,
    landmark_mapping,
    mobile_stylegan,
    nvlabs_stylegan2,
    nvlabs_stylegan3,
    nvlabs_tensorflow,
    restyle,
    rosinality,
    stelabou,
    stylemask,
    stylespace,
)
from export.checkpoints.containers import read_checkpoint
from export.checkpoints.imported import Imported
from export.checkpoints.shown import one_line, shown, shown_names
from export.checkpoints.unpickle import Record
from export.checkpoints.wrappers import unwrapped
from face.errors import BadCheckpoint, ModelUnavailable


@dataclass(frozen=True, slots=True)
class Origin:
    """One kind of checkpoint: `matches` looks at names only, `read` takes everything or fails."""

    name: str
    what: str  # for the line that lists what is known
    matches: Callable[[Any], bool]
    read: Callable[[Any], Imported]


ORIGINS = (
    Origin(
        nvlabs_stylegan2.ORIGIN, "NVIDIA StyleGAN2 (.pkl)", nvlabs_stylegan2.matches, nvlabs_stylegan2.read
    ),
    Origin(
        nvlabs_stylegan3.ORIGIN, "NVIDIA StyleGAN3 (.pkl)", nvlabs_stylegan3.matches, nvlabs_stylegan3.read
    ),
    Origin(
        nvlabs_tensorflow.ORIGIN,
        "NVIDIA StyleGAN2 of TensorFlow (.pkl)",
        nvlabs_tensorflow.matches,
        nvlabs_tensorflow.read,
    ),
    Origin(jahoda.ORIGIN, "Jahoda and Cech's motion mapping", jahoda.matches, jahoda.read),
    Origin(restyle.ORIGIN, "ReStyle", restyle.matches, restyle.read),
    Origin(encoders.ORIGIN, "encoder4editing and pSp", encoders.matches, encoders.read),
    Origin(encoders.ORIGIN_BARE, "StelaBou's e4e", encoders.matches_bare, encoders.read_bare),
    Origin(stelabou.ORIGIN, "StelaBou's A_matrix", stelabou.matches, stelabou.read),
    Origin(stylemask.ORIGIN, "StyleMask", stylemask.matches, stylemask.read),
    Origin(
        landmark_mapping.ORIGIN,
        "the landmark mapping network",
        landmark_mapping.matches,
        landmark_mapping.read,
    ),
    Origin(stylespace.ORIGIN, "StyleSpace's tables", stylespace.matches, stylespace.read),
    Origin(deca.ORIGIN, "DECA's regressor", deca.matches, deca.read),
    Origin(mobile_stylegan.ORIGIN, "MobileStyleGAN (.ckpt)", mobile_stylegan.matches, mobile_stylegan.read),
    Origin(rosinality.ORIGIN, "rosinality StyleGAN2 (.pt)", rosinality.matches, rosinality.read),
)
KNOWN = ", ".join(origin.what for origin in ORIGINS) + ", random-face's graphs, and our own safetensors"


def import_checkpoint(path: Path) -> Imported:
    """Read a checkpoint of any known origin; BadCheckpoint is one line and names the file."""
    try:
        if ffhq_mobile.is_graph(path):
            return ffhq_mobile.read_ffhq_mobile(path.parent)
        contents = read_checkpoint(path)
        if contents.container == "safetensors":
            return _own(path)
        imported = _of_root(unwrapped(contents.root))
        if not contents.passed_over:
            return imported
        note = f"not read and never called, though its pickle names it: {shown_names(contents.passed_over)}"
        return replace(imported, notes=(*imported.notes, note))
    except BadCheckpoint as error:
        reason = one_line(str(error))
        raise BadCheckpoint(reason if path.name in reason else f"{path.name}: {reason}") from error
    # What a file holds may have any type anywhere: a number where a dictionary belongs is the file's fault.
    except (AttributeError, TypeError, ValueError, LookupError, ArithmeticError, RuntimeError) as error:
        reason = one_line(f"{type(error).__name__}: {error}", 80)
        raise BadCheckpoint(
            f"{path.name}: it is not built as its kind is ({reason}); download it again"
        ) from error


def _of_root(root: Any) -> Imported:
    for origin in ORIGINS:
        if origin.matches(root):
            return origin.read(root)
    raise BadCheckpoint(f"it holds {_seen(root)}, expected one of: {KNOWN}")


def _own(path: Path) -> Imported:
    try:
        network = load_any_network(path)
    except ModelUnavailable as error:
        raise BadCheckpoint(str(error)) from error
    return Imported("facepuppet", "that of the weights", {network.role: network})


def _seen(root: Any) -> str:
    if isinstance(root, dict):
        return f"a dictionary of {shown_names(root)}" if root else "nothing"
    return f"one {shown(root) if isinstance(root, Record) else type(root).__name__}"
