# SPDX-License-Identifier: MIT
"""Live networks as one weight file each, for the torch engines. Knows no graph and no foreign format.

The file of a live network holds its parts as `save_network` would, under a prefix each, and how they are
joined; `load_runnable` reads these files and those of single networks alike.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from engines.networks.half import half_live
from engines.networks.live import Live, LiveConfig, MappedLive, ShiftLive, StyleLive
from engines.networks.store import build_network, config_of, load_any_network, network_class
from face.errors import ModelUnavailable

FORMAT = "facepuppet-live-1"
LIVE = (ShiftLive.kind, MappedLive.kind, StyleLive.kind)


def save_live(live: Live, path: Path, *, notes: dict[str, str] | None = None) -> None:
    """Write the parts and how they are joined; `notes` travel in the header."""
    parts = _parts(live)
    joined = {
        "live": asdict(live.config),
        **{name: {"kind": part.kind, "config": asdict(part.config)} for name, part in parts.items()},
    }
    header = {"format": FORMAT, "kind": live.kind, "config": json.dumps(joined)}
    tensors = {
        f"{name}.{key}": tensor.detach().contiguous().cpu()
        for name, part in parts.items()
        for key, tensor in part.state_dict().items()
    }
    centre = _centre(live)
    if centre is not None:
        tensors["centre"] = centre.detach().contiguous().cpu()
    save_file(tensors, path, {**(notes or {}), **header})
    path.chmod(0o644)  # as any new file; safetensors makes it private


def load_runnable(path: Path, *, half: bool = False) -> nn.Module:
    """The network of a weight file, live or single. half: generators of live networks compute in fp16.

    ModelUnavailable names the first thing that does not fit.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header: dict[str, str] = file.metadata() or {}
            if header.get("format") != FORMAT:
                return load_any_network(path)
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise ModelUnavailable(
            f"{path.name} is no readable safetensors file ({error}); export the model again"
        ) from error
    try:
        live = _joined(header["kind"], json.loads(header["config"]), tensors)
    except (TypeError, ValueError, KeyError) as error:
        raise ModelUnavailable(
            f"{path.name} holds not what its header says ({error}); export it again"
        ) from error
    return half_live(live) if half else live


def _joined(kind: str, stored: dict[str, Any], tensors: dict[str, Tensor]) -> Live:
    if kind not in LIVE:
        raise ValueError(f"kind {kind!r}, expected one of {', '.join(LIVE)}")
    config = LiveConfig(**stored["live"])
    synthesis, mover = (_part(name, stored[name], tensors) for name in ("synthesis", "mover"))
    known = {f"{name}.{key}" for name in ("synthesis", "mover") for key in stored_names(tensors, name)}
    strangers = sorted(set(tensors) - known - {"centre"})
    if strangers:
        raise ValueError(f"unknown: {', '.join(strangers[:3])}")
    live: Live
    if kind == StyleLive.kind:
        live = StyleLive(synthesis, mover, config)
    elif kind == ShiftLive.kind:
        live = ShiftLive(synthesis, mover, config, tensors.get("centre"))
    else:
        live = MappedLive(synthesis, mover, config, tensors.get("centre"))
    result: Live = live.eval().requires_grad_(False)
    return result


def _part(name: str, stored: dict[str, Any], tensors: dict[str, Tensor]) -> nn.Module:
    network = network_class(stored["kind"])
    config = config_of(network.Config, stored["config"])
    return build_network(
        network, config, {key: tensors[f"{name}.{key}"] for key in stored_names(tensors, name)}
    )


def stored_names(tensors: dict[str, Tensor], part: str) -> list[str]:
    """Names of a part's tensors without its prefix."""
    return [name.removeprefix(f"{part}.") for name in tensors if name.startswith(f"{part}.")]


def _parts(live: Live) -> dict[str, Any]:
    if isinstance(live, StyleLive):
        return {"synthesis": live.synthesis, "mover": live.offsets}
    mover = live.mover if isinstance(live, ShiftLive) else live.mapping
    return {"synthesis": live.picture.synthesis, "mover": mover}


def _centre(live: Live) -> torch.Tensor | None:
    return None if isinstance(live, StyleLive) else live.picture.centre
