# SPDX-License-Identifier: MIT
"""What the PyTorch pickles of NVIDIA's StyleGANs share: modules as records, options, the mapping network.

A pickle holds its networks as records: the source text of a class, the keywords it was made with, and its
attributes. What a layer's attributes say is what it ran with; keywords, and the defaults of the repository,
are asked only where attributes are silent.
"""

import math
from typing import Any

import numpy as np

from engines.networks.stylegan2 import Mapping, MappingConfig
from export.checkpoints.imported import Tensors, built, one_value
from export.checkpoints.shown import shown, shown_names
from export.checkpoints.tensors import as_array
from export.checkpoints.unpickle import Record
from face.errors import BadCheckpoint

LICENCE = "NVIDIA Source Code License (research and evaluation only)"
MAX_MODULES = 2000
GENERATOR_ARGUMENTS = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels", "mapping_kwargs")
MAPPING_OPTIONS = {
    "num_layers",
    "embed_features",
    "layer_features",
    "activation",
    "lr_multiplier",
    "w_avg_beta",
}
Attributes = dict[str, dict[str, Any]]  # of each module, by its path


def generator_of(root: Any, mark: str) -> Record | None:
    """The generator to use among what was pickled: `G_ema`, or a generator alone.

    A bare state dict, which has the tensor `mark`, is given as a generator whose layers tell nothing.
    """
    if not isinstance(root, dict):
        root = {"G_ema": root}
    for found in (root.get("G_ema"), root.get("g_ema"), root):
        if isinstance(found, dict) and mark in found:
            return Record("persistent", ({"state": {"_parameters": found}},))
        if isinstance(found, Record) and found.name == "persistent" and len(found.args) == 1:
            return found if isinstance(found.args[0], dict) else None
    return None


def is_bare(generator: Record) -> bool:
    """Whether it is a state dict, without the source and the attributes of its layers."""
    return "module_src" not in generator.args[0]


def flatten(generator: Record) -> tuple[dict[str, Any], Attributes]:
    """All tensors by their dotted names, and the attributes of every module by its path."""
    tensors: dict[str, Any] = {}
    attributes: Attributes = {}
    waiting = [("", generator)]
    while waiting:
        path, module = waiting.pop(0)
        state = module.args[0].get("state") if module.name == "persistent" else module.state
        if len(attributes) >= MAX_MODULES or not isinstance(state, dict) or path.count(".") > 8:
            raise BadCheckpoint("its generator is not made of modules as NVIDIA's are")
        attributes[path.rstrip(".")] = state
        hidden = state.get("_non_persistent_buffers_set") or set()
        for group in ("_parameters", "_buffers"):
            for name, value in _named(state.get(group)):
                if as_array(value) is not None and name not in hidden:
                    tensors[f"{path}{name}"] = value
        for name, child in _named(state.get("_modules")):
            if isinstance(child, Record):
                waiting.append((f"{path}{name}.", child))
    return tensors, attributes


def _named(members: Any) -> list[tuple[str, Any]]:
    """Parameters, buffers or modules by their names."""
    members = members or {}
    if not isinstance(members, dict) or not all(isinstance(name, str) for name in members):
        raise BadCheckpoint(f"its generator has {shown(members)} in a module, expected parts by their names")
    return list(members.items())


def keywords_of(generator: Record) -> dict[str, Any]:
    """What the generator was made with, by argument; what was left out is not there."""
    state = generator.args[0]["state"]
    positional = state.get("_init_args") or ()
    return {**dict(zip(GENERATOR_ARGUMENTS, positional, strict=False)), **(state.get("_init_kwargs") or {})}


def known_only(synthesis: dict[str, Any], mapping: dict[str, Any], known: set[str]) -> None:
    """Fail on options that are not known."""
    strangers = (set(synthesis) - known) | (set(mapping) - MAPPING_OPTIONS)
    if strangers:
        raise BadCheckpoint(
            f"its generator was made with options that are not known: {shown_names(strangers)}"
        )


def attribute(attributes: Attributes, path: str, name: str, otherwise: Any = None) -> Any:
    return attributes.get(path, {}).get(name, otherwise)


def mapping_of(
    tensors: Tensors, attributes: Attributes, given: dict[str, Any], num_ws: int
) -> tuple[Mapping, tuple[str, ...]]:
    """The mapping network, `given` the options it was made with, and what was assumed."""
    layers = len(tensors.matching("mapping.fc", ".weight"))
    paths = [f"mapping.fc{index}" for index in range(layers)]
    only(
        "activation",
        "lrelu",
        [attribute(attributes, p, "activation", given.get("activation")) for p in paths],
    )
    multiplier = given.get("lr_multiplier", 0.01)
    multiplier = one_value("mapping", [attribute(attributes, p, "bias_gain", multiplier) for p in paths])
    hidden, width = tensors.shape("mapping.fc0.weight", 2)
    embed, labels = (0, 0)
    if "mapping.embed.weight" in tensors:
        embed, labels = tensors.shape("mapping.embed.weight", 2)
    own = {n[len("mapping.") :]: tensors.take(n) for n in tensors.named if n.startswith("mapping.")}
    notes: tuple[str, ...] = ()
    if "w_avg" in own:
        own["w_avg"] = own["w_avg"].reshape(1, -1)
    else:
        own["w_avg"] = np.zeros((1, tensors.shape(f"{paths[-1]}.weight", 2)[0]), np.float32)
        notes = ("no mean latent is stored: psi below 1 pulls towards zero",)
    config = MappingConfig(
        z_dim=width - embed,
        w_dim=tensors.shape(f"{paths[-1]}.weight", 2)[0],
        num_ws=num_ws,
        num_layers=layers,
        hidden_dim=hidden,
        label_dim=labels,
        embed_dim=embed,
        lr_multiplier=positive(multiplier, "mapping"),
    )
    return built("mapping network", Mapping, config, own), notes


def positive(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise BadCheckpoint(f"its {what} is {shown(value)}, expected a number above 0")
    return float(value)


def only(what: str, expected: Any, values: list[Any]) -> None:
    """Silent values are the default, which is the expected one."""
    for value in values:
        if value not in (None, expected):
            raise BadCheckpoint(f"its {what} is {shown(value)}, this importer knows {expected!r} only")
