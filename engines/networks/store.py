# SPDX-License-Identifier: MIT
"""Our own weight files: kind, config and tensors of a network in one file. Knows no foreign format."""

import json
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, cast, get_type_hints

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from engines.networks.deca import Deca, DecaConfig
from engines.networks.directions import Directions, DirectionsConfig
from engines.networks.encoder import Encoder, EncoderConfig
from engines.networks.feature_encoder import FeatureEncoder, FeatureEncoderConfig
from engines.networks.landmark_mapping import LandmarkMapping, LandmarkMappingConfig
from engines.networks.mobile_stylegan import (
    MobileHead,
    MobileHeadConfig,
    MobileSynthesis,
    MobileSynthesisConfig,
)
from engines.networks.motion_mapping import (
    IdentityHalf,
    IdentityHalfConfig,
    MotionHalf,
    MotionHalfConfig,
    MotionMapping,
    MotionMappingConfig,
)
from engines.networks.restyle import Restyle, RestyleConfig
from engines.networks.stylegan2 import Mapping, MappingConfig, Synthesis, SynthesisConfig
from engines.networks.stylegan3 import AliasFreeConfig, AliasFreeSynthesis
from engines.networks.stylemask import StyleMask, StyleMaskConfig
from engines.networks.stylespace import (
    StyleOffsets,
    StyleOffsetsConfig,
    Styles,
    StylesConfig,
    StyleSynthesis,
    StyleSynthesisConfig,
)
from face.errors import ModelUnavailable

FORMAT = "facepuppet-1"
Network = (
    Mapping
    | Synthesis
    | AliasFreeSynthesis
    | Encoder
    | Directions
    | MobileSynthesis
    | MobileHead
    | Restyle
    | MotionMapping
    | IdentityHalf
    | MotionHalf
    | LandmarkMapping
    | StyleMask
    | Styles
    | StyleSynthesis
    | StyleOffsets
    | Deca
    | FeatureEncoder
)
Config = (
    MappingConfig
    | SynthesisConfig
    | AliasFreeConfig
    | EncoderConfig
    | DirectionsConfig
    | MobileSynthesisConfig
    | MobileHeadConfig
    | RestyleConfig
    | MotionMappingConfig
    | IdentityHalfConfig
    | MotionHalfConfig
    | LandmarkMappingConfig
    | StyleMaskConfig
    | StylesConfig
    | StyleSynthesisConfig
    | StyleOffsetsConfig
    | DecaConfig
    | FeatureEncoderConfig
)
KINDS: dict[str, tuple[type, type]] = {
    "stylegan2-mapping": (MappingConfig, Mapping),
    "stylegan2-synthesis": (SynthesisConfig, Synthesis),
    "stylegan3-synthesis": (AliasFreeConfig, AliasFreeSynthesis),
    "style-encoder": (EncoderConfig, Encoder),
    "feature-encoder": (FeatureEncoderConfig, FeatureEncoder),
    "directions": (DirectionsConfig, Directions),
    "mobile-synthesis": (MobileSynthesisConfig, MobileSynthesis),
    "mobile-head": (MobileHeadConfig, MobileHead),
    "restyle-encoder": (RestyleConfig, Restyle),
    "motion-mapping": (MotionMappingConfig, MotionMapping),
    "motion-identity-half": (IdentityHalfConfig, IdentityHalf),
    "motion-half": (MotionHalfConfig, MotionHalf),
    "landmark-mapping": (LandmarkMappingConfig, LandmarkMapping),
    "style-mask": (StyleMaskConfig, StyleMask),
    "styles": (StylesConfig, Styles),
    "style-synthesis": (StyleSynthesisConfig, StyleSynthesis),
    "style-offsets": (StyleOffsetsConfig, StyleOffsets),
    "deca": (DecaConfig, Deca),
}


def kind_of(network: Network) -> str:
    """The name a network is stored under."""
    return next(kind for kind, (_, cls) in KINDS.items() if isinstance(network, cls))


def save_network(
    network: Network, path: Path, *, notes: dict[str, str] | None = None, half: bool = False
) -> None:
    """Write kind, config and tensors; `notes` (licence, provenance) travel in the header.

    half: store float16, half the bytes; it is read as float32 again.
    """
    header = {"format": FORMAT, "kind": kind_of(network), "config": json.dumps(asdict(network.config))}
    tensors = {name: tensor.detach().contiguous().cpu() for name, tensor in network.state_dict().items()}
    if half:
        tensors = {name: t.half() if t.dtype == torch.float32 else t for name, t in tensors.items()}
    save_file(tensors, path, {**(notes or {}), **header})
    path.chmod(0o644)  # as any new file; safetensors makes it private


def load_network(path: Path) -> Network:
    """Read what `save_network` wrote; ModelUnavailable names the first thing that does not fit."""
    try:
        with safe_open(path, framework="pt") as file:
            header: dict[str, str] = file.metadata() or {}
            tensors = {name: _widened(file.get_tensor(name)) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise ModelUnavailable(
            f"{path.name} is no readable safetensors file ({error}); export the model again"
        ) from error
    if header.get("format") != FORMAT or header.get("kind") not in KINDS:
        found = f"{header.get('format', 'no format')}, {header.get('kind', 'no kind')}"
        raise ModelUnavailable(f"{path.name} holds {found}, expected {FORMAT} with one of {', '.join(KINDS)}")
    try:
        config_class = KINDS[header["kind"]][0]
        return build_network(config_of(config_class, json.loads(header["config"])), tensors)
    except (TypeError, ValueError, KeyError) as error:
        raise ModelUnavailable(
            f"{path.name} holds not what its header says ({error}); export it again"
        ) from error


def build_network(config: Config, tensors: dict[str, torch.Tensor]) -> Network:
    """The network of a config with these tensors, all and no others; ValueError names what does not fit.

    The tensors become the network's own. Nothing is allocated by the config: it may come from a file.
    """
    network_class = next(network for known, network in KINDS.values() if isinstance(config, known))
    with torch.device("meta"):
        network: Network = network_class(config)
    expected = network.state_dict()
    strangers = sorted(set(expected) ^ set(tensors))
    if strangers:
        raise ValueError(f"missing or unknown: {', '.join(strangers[:3])}, {len(strangers)} in all")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape or tensor.dtype != expected[name].dtype:
            found, wanted = (f"{tuple(t.shape)} {t.dtype}" for t in (tensor, expected[name]))
            raise ValueError(f"{name} is {found}, expected {wanted}")
    network.load_state_dict(tensors, strict=True, assign=True)
    return network


def _widened(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.float() if tensor.dtype == torch.float16 else tensor


def config_of(config_class: type, values: dict[str, Any]) -> Any:
    """A config of what was stored of it, where tuples are lists, and configs in it dictionaries."""
    kinds = get_type_hints(config_class)
    if set(values) != set(kinds):
        raise ValueError(f"config keys {sorted(set(values) ^ set(kinds))} are missing or unknown")
    return config_class(**{key: _restored(kinds[key], value) for key, value in values.items()})


def _restored(kind: Any, value: Any) -> Any:
    if isinstance(value, dict) and is_dataclass(kind):
        return config_of(cast("type", kind), value)
    return tuple(value) if isinstance(value, list) else value
