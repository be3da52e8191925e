# SPDX-License-Identifier: MIT
"""Our own weight files: kind, config and tensors of a network in one file.

A network class names itself (`kind`), the graph it becomes in a model folder (`role`) and the dataclass it is
made of (`Config`); a class that has these in a file of this package can be stored and read, by its class or,
where any kind may come, by the kind that a file names.
"""

import json
import pkgutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar, cast, get_type_hints

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from engines import networks
from engines.base import TensorSpec
from face.errors import ModelUnavailable

FORMAT = "facepuppet-1"


class Network(Protocol):
    """A torch module that can be stored, recorded and run; called with its inputs in their order."""

    kind: ClassVar[str]
    role: ClassVar[str]  # the graphs are listed in export/onnx_export.py
    Config: ClassVar[type]
    config: Any  # a Config
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def __init__(self, config: Any) -> None: ...
    def __call__(self, *inputs: Tensor) -> Any: ...
    def state_dict(self) -> dict[str, Tensor]: ...
    def eval(self) -> Any: ...


N = TypeVar("N", bound=Network)


@cache
def network_classes() -> dict[str, type[Network]]:
    """Every class of this package that has a kind of its own, by it."""
    found: dict[str, type[Network]] = {}
    for module in pkgutil.iter_modules(networks.__path__, networks.__name__ + "."):
        for value in vars(import_module(module.name)).values():
            if isinstance(value, type) and value.__module__ == module.name and "Config" in vars(value):
                found[value.kind] = value  # type: ignore[attr-defined]
    return found


def network_class(kind: str) -> type[Network]:
    """The class of a kind; ValueError names those there are."""
    classes = network_classes()
    if kind not in classes:
        raise ValueError(f"kind {kind!r}, expected one of {', '.join(classes)}")
    return classes[kind]


def save_network(
    network: Network, path: Path, *, notes: dict[str, str] | None = None, half: bool = False
) -> None:
    """Write kind, config and tensors; `notes` (licence, provenance) travel in the header.

    half: store float16, half the bytes; it is read as float32 again.
    """
    config = json.dumps(asdict(network.config))
    tensors = network.state_dict()
    if half:
        tensors = {name: t.half() if t.dtype == torch.float32 else t for name, t in tensors.items()}
    write_weights(path, {**(notes or {}), "format": FORMAT, "kind": network.kind, "config": config}, tensors)


def load_network(path: Path, network: type[N]) -> N:
    """Read what `save_network` wrote of this class; ModelUnavailable names the first thing that misfits."""
    header, tensors = read_weights(path)
    if (header.get("format"), header.get("kind")) != (FORMAT, network.kind):
        found = f"{header.get('format', 'no format')}, {header.get('kind', 'no kind')}"
        raise ModelUnavailable(f"{path.name} holds {found}, expected {FORMAT} with {network.kind}")
    try:
        return build_network(network, config_of(network.Config, json.loads(header["config"])), tensors)
    except (TypeError, ValueError, KeyError) as error:
        raise ModelUnavailable(
            f"{path.name} holds not what its header says ({error}); export it again"
        ) from error


def load_any_network(path: Path) -> Network:
    """The same of whatever kind the file names."""
    kind = read_header(path).get("kind", "no kind")
    try:
        return load_network(path, network_class(kind))
    except ValueError as error:
        raise ModelUnavailable(f"{path.name} holds a network of {error}; export it again") from error


def build_network(network: type[N], config: Any, tensors: Mapping[str, Tensor]) -> N:
    """The network of a config with these tensors, all and no others; ValueError names what does not fit.

    The tensors become the network's own. Nothing is allocated by the config: it may come from a file.
    """
    with torch.device("meta"):
        made = network(config)
    expected = made.state_dict()
    strangers = sorted(set(expected) ^ set(tensors))
    if strangers:
        raise ValueError(f"missing or unknown: {', '.join(strangers[:3])}, {len(strangers)} in all")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape or tensor.dtype != expected[name].dtype:
            found, wanted = (f"{tuple(t.shape)} {t.dtype}" for t in (tensor, expected[name]))
            raise ValueError(f"{name} is {found}, expected {wanted}")
    cast(Any, made).load_state_dict(tensors, strict=True, assign=True)
    return made


def write_weights(path: Path, header: dict[str, str], tensors: Mapping[str, Tensor]) -> None:
    save_file({name: t.detach().contiguous().cpu() for name, t in tensors.items()}, path, header)
    path.chmod(0o644)  # as any new file; safetensors makes it private


def read_header(path: Path) -> dict[str, str]:
    """What a weight file says of itself; ModelUnavailable for what is none."""
    with _opened(path) as file:
        return file.metadata() or {}


def read_weights(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Header and tensors of a weight file, float16 widened to float32."""
    with _opened(path) as file:
        return file.metadata() or {}, {name: _widened(file.get_tensor(name)) for name in file.keys()}


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise ModelUnavailable(
            f"{path.name} is no readable safetensors file ({error}); export the model again"
        ) from error


def _widened(tensor: Tensor) -> Tensor:
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
