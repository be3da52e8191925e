# SPDX-License-Identifier: MIT
"""Writes small checkpoints in the containers and layouts of the public ones, every term of them random."""

import math
import pickle
import sys
import types
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

Array = np.ndarray
W_DIM, Z_DIM = 24, 20


class Drawn:
    """Random arrays of one seed, with the spread trained networks have."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def __call__(self, *shape: int, scale: float = 1.0, centre: float = 0.0) -> Array:
        return np.asarray(self.rng.standard_normal(shape) * scale + centre, np.float32)


def channels_of(resolution: int) -> list[int]:
    return [min(128 // (4 << k), 16) for k in range(int(math.log2(resolution)) - 1)]


def nvlabs_state(resolution: int = 32, *, seed: int = 0, labels: int = 0) -> dict[str, Array]:
    """The generator's tensors by NVIDIA's names."""
    draw = Drawn(seed)
    state: dict[str, Array] = {}
    kernel = (np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64).astype(np.float32)
    width = Z_DIM + (W_DIM if labels else 0)
    if labels:
        state["mapping.embed.weight"], state["mapping.embed.bias"] = draw(W_DIM, labels), draw(W_DIM)
    for index in range(3):
        state[f"mapping.fc{index}.weight"] = draw(W_DIM, width if index == 0 else W_DIM, scale=100)
        state[f"mapping.fc{index}.bias"] = draw(W_DIM, scale=30)
    state["mapping.w_avg"] = draw(W_DIM)
    inputs = 0
    for index, outputs in enumerate(channels_of(resolution)):
        size = 4 << index
        block = f"synthesis.b{size}"
        state[f"{block}.resample_filter"] = kernel
        if index == 0:
            state[f"{block}.const"] = draw(outputs, 4, 4)
        for name, fan in (("conv0", inputs), ("conv1", outputs)):
            if fan:
                state[f"{block}.{name}.weight"] = draw(outputs, fan, 3, 3)
                state[f"{block}.{name}.bias"] = draw(outputs, scale=0.3)
                state[f"{block}.{name}.noise_strength"] = draw(scale=0.3)
                state[f"{block}.{name}.noise_const"] = draw(size, size)
                state[f"{block}.{name}.resample_filter"] = kernel
                state[f"{block}.{name}.affine.weight"] = draw(fan, W_DIM)
                state[f"{block}.{name}.affine.bias"] = draw(fan, scale=0.3, centre=1)
        state[f"{block}.torgb.weight"] = draw(3, outputs, 1, 1)
        state[f"{block}.torgb.bias"] = draw(3, scale=0.3)
        state[f"{block}.torgb.affine.weight"] = draw(outputs, W_DIM)
        state[f"{block}.torgb.affine.bias"] = draw(outputs, scale=0.3, centre=1)
        inputs = outputs
    return state


def rosinality_state(resolution: int = 32, *, seed: int = 0, w_dim: int = W_DIM) -> dict[str, Array]:
    """The generator's tensors by rosinality's names."""
    draw = Drawn(seed)
    state: dict[str, Array] = {}
    kernel = (np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 16).astype(np.float32)
    for index in range(1, 4):
        state[f"style.{index}.weight"] = draw(w_dim, w_dim, scale=100)
        state[f"style.{index}.bias"] = draw(w_dim, scale=30)
    widths = channels_of(resolution)
    state["input.input"] = draw(1, widths[0], 4, 4)

    def modulated(name: str, outputs: int, fan: int, size: int) -> None:
        state[f"{name}.conv.weight"] = draw(1, outputs, fan, size, size)
        state[f"{name}.conv.modulation.weight"] = draw(fan, w_dim)
        state[f"{name}.conv.modulation.bias"] = draw(fan, scale=0.3, centre=1)

    def convolution(name: str, outputs: int, fan: int) -> None:
        modulated(name, outputs, fan, 3)
        state[f"{name}.noise.weight"] = draw(1, scale=0.3)
        state[f"{name}.activate.bias"] = draw(outputs, scale=0.3)

    def image(name: str, fan: int) -> None:
        modulated(name, 3, fan, 1)
        state[f"{name}.bias"] = draw(1, 3, 1, 1, scale=0.3)

    convolution("conv1", widths[0], widths[0])
    image("to_rgb1", widths[0])
    state["noises.noise_0"] = draw(1, 1, 4, 4)
    for j, (fan, outputs) in enumerate(zip(widths, widths[1:], strict=False)):
        convolution(f"convs.{2 * j}", outputs, fan)
        state[f"convs.{2 * j}.conv.blur.kernel"] = kernel
        convolution(f"convs.{2 * j + 1}", outputs, outputs)
        image(f"to_rgbs.{j}", outputs)
        state[f"to_rgbs.{j}.upsample.kernel"] = kernel
        for index in (2 * j + 1, 2 * j + 2):
            state[f"noises.noise_{index}"] = draw(1, 1, 8 << j, 8 << j)
    return state


def as_tensors(state: dict[str, Array]) -> "OrderedDict[str, torch.Tensor]":
    return OrderedDict((name, torch.from_numpy(value.copy())) for name, value in state.items())


def module_tree(state: dict[str, Array]) -> dict[str, Any]:
    """Nested {name: subtree or tensor} of dotted names."""
    tree: dict[str, Any] = {}
    for name, value in state.items():
        *path, leaf = name.split(".")
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node[leaf] = torch.from_numpy(value.copy())
    return tree


@contextmanager
def nvidia_modules() -> Iterator[tuple[type, type]]:
    """(Persistent, EasyDict): stand-ins that pickle as NVIDIA's classes do, by the names the files use."""
    persistence, util = types.ModuleType("torch_utils.persistence"), types.ModuleType("dnnlib.util")

    def _reconstruct_persistent_obj(meta: dict[str, Any]) -> None:
        raise AssertionError("the reader under test called into the file's own module")

    class Persistent:
        def __init__(self, class_name: str, state: dict[str, Any], source: str) -> None:
            self.meta = {
                "type": "class",
                "version": 6,
                "module_src": source,
                "class_name": class_name,
                "state": state,
            }

        def __reduce__(self) -> tuple[Any, ...]:
            return (_reconstruct_persistent_obj, (self.meta,), None)

    class EasyDict(dict):
        pass

    _reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
    _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
    EasyDict.__module__, EasyDict.__qualname__ = "dnnlib.util", "EasyDict"
    persistence._reconstruct_persistent_obj = _reconstruct_persistent_obj  # type: ignore[attr-defined]
    util.EasyDict = EasyDict  # type: ignore[attr-defined]
    fakes = {
        "torch_utils": types.ModuleType("torch_utils"),
        "torch_utils.persistence": persistence,
        "dnnlib": types.ModuleType("dnnlib"),
        "dnnlib.util": util,
    }
    kept = {name: sys.modules.get(name) for name in fakes}
    sys.modules.update(fakes)
    try:
        yield Persistent, EasyDict
    finally:
        for name, module in kept.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def write_nvlabs(
    path: Path,
    state: dict[str, Array],
    *,
    layout: str = "ada",
    options: dict[str, Any] | None = None,
    attributes: dict[str, Any] | None = None,
    protocol: int = 4,
    extra: dict[str, Any] | None = None,
) -> None:
    """A pickle as NVIDIA's training writes it. layout: ada (nested options) or sg3 (flat).

    attributes: set on every layer, as the real classes store what they ran with.
    """
    buffers = ("resample_filter", "noise_const", "w_avg")
    source = (
        "class Generator:\n    fused_modconv_default = True\n"
        if layout == "sg3"
        else "class Generator: pass\n"
    )
    with nvidia_modules() as (persistent, easy_dict):

        def module(name: str, tree: dict[str, Any]) -> Any:
            leaves = {k: v for k, v in tree.items() if isinstance(v, torch.Tensor)}
            inner = {
                "training": False,
                "_parameters": OrderedDict((k, v) for k, v in leaves.items() if k not in buffers),
                "_buffers": OrderedDict((k, v) for k, v in leaves.items() if k in buffers),
                "_non_persistent_buffers_set": set(),
                "_modules": OrderedDict((k, module(k, v)) for k, v in tree.items() if isinstance(v, dict)),
                "_init_args": (),
                "_init_kwargs": easy_dict(),
                **(attributes or {}),
            }
            inner["_parameters"]["absent"] = None
            return persistent(name, inner, source)

        generator = module("Generator", module_tree({**state, **(extra or {})}))
        keywords = easy_dict(z_dim=Z_DIM, c_dim=0, w_dim=W_DIM, mapping_kwargs=easy_dict(num_layers=3))
        if layout == "ada":
            keywords["synthesis_kwargs"] = easy_dict(options or {})
        else:
            keywords.update(options or {})
        generator.meta["state"]["_init_kwargs"] = keywords
        saved = {
            "G": None,
            "D": None,
            "G_ema": generator,
            "augment_pipe": None,
            "training_set_kwargs": easy_dict(a=1),
        }
        path.write_bytes(pickle.dumps(saved, protocol=protocol))


ENCODER_WIDTHS, ENCODER_DEPTHS, STYLE_DIM = (8, 12, 16, 24), (1, 2, 2, 1), W_DIM


def encoder_state(head: str, rows: int, *, seed: int = 0) -> dict[str, Array]:
    """An encoder's tensors by pSp's names, narrower and shallower than the public ones."""
    draw = Drawn(seed)
    state: dict[str, Array] = {}

    def norm(name: str, width: int) -> None:
        state[f"{name}.weight"] = draw(width, scale=0.2, centre=1)
        state[f"{name}.bias"] = draw(width, scale=0.3)
        state[f"{name}.running_mean"] = draw(width, scale=0.3)
        state[f"{name}.running_var"] = np.exp(draw(width, scale=0.3))
        state[f"{name}.num_batches_tracked"] = np.array(7, np.int64)

    def conv(name: str, outputs: int, inputs: int, size: int, *, bias: bool = False) -> None:
        state[f"{name}.weight"] = draw(outputs, inputs, size, size, scale=1.4 / math.sqrt(inputs * size**2))
        if bias:
            state[f"{name}.bias"] = draw(outputs, scale=0.3)

    conv("input_layer.0", ENCODER_WIDTHS[0], 3, 3)
    norm("input_layer.1", ENCODER_WIDTHS[0])
    state["input_layer.2.weight"] = draw(ENCODER_WIDTHS[0], scale=0.1, centre=0.25)
    inputs, index = ENCODER_WIDTHS[0], 0
    for width, depth in zip(ENCODER_WIDTHS, ENCODER_DEPTHS, strict=True):
        for _ in range(depth):
            unit = f"body.{index}"
            norm(f"{unit}.res_layer.0", inputs)
            conv(f"{unit}.res_layer.1", width, inputs, 3)
            state[f"{unit}.res_layer.2.weight"] = draw(width, scale=0.1, centre=0.25)
            conv(f"{unit}.res_layer.3", width, width, 3)
            norm(f"{unit}.res_layer.4", width)
            conv(f"{unit}.res_layer.5.fc1", width // 4, width, 1)
            conv(f"{unit}.res_layer.5.fc2", width, width // 4, 1)
            if inputs != width:
                conv(f"{unit}.shortcut_layer.0", width, inputs, 1)
                norm(f"{unit}.shortcut_layer.1", width)
            inputs, index = width, index + 1
    _encoder_head(head, rows, draw, state, norm, conv)
    return state


def _encoder_head(head: str, rows: int, draw: Drawn, state: dict[str, Array], norm: Any, conv: Any) -> None:
    last = ENCODER_WIDTHS[-1]
    if head == "pyramid":
        conv("latlayer1", last, ENCODER_WIDTHS[2], 1, bias=True)
        conv("latlayer2", last, ENCODER_WIDTHS[1], 1, bias=True)
        for row in range(rows):
            for layer in range(4 if row < 3 else 5 if row < 7 else 6):
                conv(
                    f"styles.{row}.convs.{2 * layer}",
                    STYLE_DIM,
                    last if layer == 0 else STYLE_DIM,
                    3,
                    bias=True,
                )
            state[f"styles.{row}.linear.weight"] = draw(STYLE_DIM, STYLE_DIM)
            state[f"styles.{row}.linear.bias"] = draw(STYLE_DIM)
    elif head == "flat":
        norm("output_layer_2.0", last)
        state["output_layer_2.3.weight"] = draw(STYLE_DIM, last * 49, scale=0.05)
        state["output_layer_2.3.bias"] = draw(STYLE_DIM)
        state["linear.weight"], state["linear.bias"] = (
            draw(STYLE_DIM * rows, STYLE_DIM),
            draw(STYLE_DIM * rows),
        )
    else:
        state["linear.weight"], state["linear.bias"] = draw(STYLE_DIM, last), draw(STYLE_DIM)
