# SPDX-License-Identifier: MIT
"""Our own weight files: kind, config and tensors of a network in one file. Knows no foreign format."""

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from engines.networks.directions import Directions, DirectionsConfig
from engines.networks.encoder import Encoder, EncoderConfig
from engines.networks.stylegan2 import Mapping, MappingConfig, Synthesis, SynthesisConfig
from face.errors import ModelUnavailable

FORMAT = "facepuppet-1"
Network = Mapping | Synthesis | Encoder | Directions
KINDS: dict[str, tuple[type, type]] = {
    "stylegan2-mapping": (MappingConfig, Mapping),
    "stylegan2-synthesis": (SynthesisConfig, Synthesis),
    "style-encoder": (EncoderConfig, Encoder),
    "directions": (DirectionsConfig, Directions),
}


def kind_of(network: Network) -> str:
    """The name a network is stored under."""
    return next(kind for kind, (_, cls) in KINDS.items() if isinstance(network, cls))


def save_network(network: Network, path: Path, *, notes: dict[str, str] | None = None) -> None:
    """Write kind, config and tensors; `notes` (licence, provenance) travel in the header."""
    header = {"format": FORMAT, "kind": kind_of(network), "config": json.dumps(asdict(network.config))}
    tensors = {name: tensor.detach().contiguous().cpu() for name, tensor in network.state_dict().items()}
    save_file(tensors, path, {**(notes or {}), **header})


def load_network(path: Path) -> Network:
    """Read what `save_network` wrote; ModelUnavailable names the first thing that does not fit."""
    try:
        with safe_open(path, framework="pt") as file:
            header: dict[str, str] = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise ModelUnavailable(
            f"{path.name} is no readable safetensors file ({error}); export the model again"
        ) from error
    if header.get("format") != FORMAT or header.get("kind") not in KINDS:
        found = f"{header.get('format', 'no format')}, {header.get('kind', 'no kind')}"
        raise ModelUnavailable(f"{path.name} holds {found}, expected {FORMAT} with one of {', '.join(KINDS)}")
    config_class, network_class = KINDS[header["kind"]]
    try:
        network: Network = network_class(_config(config_class, header["config"]))
        _fill(network, tensors)
    except (TypeError, ValueError, KeyError) as error:
        raise ModelUnavailable(
            f"{path.name} does not hold what its header says ({error}); export it again"
        ) from error
    return network


def _config(config_class: type, text: str) -> Any:
    values = json.loads(text)
    known = {field.name for field in fields(config_class)}
    if set(values) != known:
        raise ValueError(f"config keys {sorted(set(values) ^ known)} are missing or unknown")
    return config_class(**{key: tuple(v) if isinstance(v, list) else v for key, v in values.items()})


def _fill(network: Network, tensors: dict[str, torch.Tensor]) -> None:
    """Strict load; the mean latent may have one row or one a layer, which its buffer is made to fit first."""
    for name in ("w_avg", "latent_avg"):
        if name in tensors and hasattr(network, name) and tensors[name].ndim == 2:
            setattr(network, name, torch.zeros_like(tensors[name]))
    missing = sorted(set(network.state_dict()) ^ set(tensors))
    if missing:
        raise ValueError(f"tensors {', '.join(missing[:3])} are missing or unknown")
    for name, parameter in network.state_dict().items():
        if parameter.shape != tensors[name].shape:
            raise ValueError(
                f"{name} has shape {tuple(tensors[name].shape)}, expected {tuple(parameter.shape)}"
            )
    network.load_state_dict(tensors, strict=True)
