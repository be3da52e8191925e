# SPDX-License-Identifier: MIT
"""Writes small pickles as NVIDIA's TensorFlow releases do, and runs them once more from the formulas.

The formulas here work on the stored arrays as they lie: (H, W, in, out) kernels, zero insertion in front of
an up-convolution, a style's 1 added when it is used.
"""

import math
import pickle
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from checkpoint_files import Array, Drawn, nvidia_modules

W_DIM, Z_DIM = 24, 20


def tensorflow_variables(
    resolution: int = 16,
    *,
    seed: int = 0,
    w_dim: int = W_DIM,
    z_dim: int = Z_DIM,
    fmap_base: int = 64,
    fmap_max: int = 16,
    labels: int = 0,
) -> dict[str, Array]:
    """The generator's arrays by their full names; scalars are numpy scalars, as sessions return them."""
    draw = Drawn(seed)
    found: dict[str, Any] = {"lod": np.float32(0), "dlatent_avg": draw(w_dim)}
    width = z_dim
    if labels:
        found["mapping/LabelEmbed/weight"], found["mapping/LabelEmbed/bias"] = (
            draw(labels, z_dim),
            draw(z_dim),
        )
        width += z_dim
    for index in range(3):
        found[f"mapping/Dense{index}/weight"] = draw(w_dim if index else width, w_dim, scale=100)
        found[f"mapping/Dense{index}/bias"] = draw(w_dim, scale=30)
    sizes = [4 << k for k in range(int(math.log2(resolution)) - 1)]
    widths = [min(fmap_base >> (k + 1), fmap_max) for k in range(len(sizes))]

    def modulated(name: str, kernel: int, fan: int, outputs: int) -> None:
        found[f"{name}/weight"] = draw(kernel, kernel, fan, outputs)
        found[f"{name}/bias"] = draw(outputs, scale=0.3)
        found[f"{name}/mod_weight"] = draw(w_dim, fan)
        found[f"{name}/mod_bias"] = draw(fan, scale=0.3)

    def layer(name: str, number: int, fan: int, outputs: int, size: int) -> None:
        modulated(f"synthesis/{name}", 3, fan, outputs)
        found[f"synthesis/{name}/noise_strength"] = np.float32(draw(scale=0.3))
        found[f"synthesis/noise{number}"] = draw(1, 1, size, size)

    found["synthesis/4x4/Const/const"] = draw(1, widths[0], 4, 4)
    layer("4x4/Conv", 0, widths[0], widths[0], 4)
    for index, size in enumerate(sizes):
        if index:
            layer(f"{size}x{size}/Conv0_up", 2 * index - 1, widths[index - 1], widths[index], size)
            layer(f"{size}x{size}/Conv1", 2 * index, widths[index], widths[index], size)
        modulated(f"synthesis/{size}x{size}/ToRGB", 1, widths[index], 3)
    return found


class Network:
    """Pickles as the TensorFlow releases' class of that name: by its state alone."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state

    def __getstate__(self) -> dict[str, Any]:
        return self.state


@contextmanager
def tensorflow_modules() -> Iterator[type]:
    """EasyDict, while Network stands where files look for it."""
    module = types.ModuleType("dnnlib.tflib.network")
    module.Network = Network  # type: ignore[attr-defined]
    fakes = {"dnnlib.tflib": types.ModuleType("dnnlib.tflib"), "dnnlib.tflib.network": module}
    named, kept = (Network.__module__, Network.__qualname__), {n: sys.modules.get(n) for n in fakes}
    with nvidia_modules() as (_, easy_dict):
        sys.modules.update(fakes)
        Network.__module__, Network.__qualname__ = "dnnlib.tflib.network", "Network"
        try:
            yield easy_dict
        finally:
            Network.__module__, Network.__qualname__ = named
            for name, before in kept.items():
                if before is None:
                    del sys.modules[name]
                else:
                    sys.modules[name] = before


def write_tensorflow(
    path: Path,
    variables: dict[str, Any],
    *,
    options: dict[str, Any] | None = None,
    version: int = 5,
    protocol: int = 4,
    fields: dict[str, Any] | None = None,
    builders: tuple[str, str, str] = ("G_main", "G_mapping", "G_synthesis"),
) -> None:
    """Three networks: a generator of other values, a discriminator, and one of these variables.

    fields: replace those of the third network's state.
    """
    source = "raise AssertionError('the reader under test ran the source that came with the file')\n"
    given = {"num_channels": 3, "label_size": 0, "fmap_base": 64, **(options or {})}

    def network(name: str, builder: str, own: dict[str, Any], options: Any, parts: Any) -> Network:
        state = {"version": version, "name": name, "static_kwargs": options, "components": parts}
        state |= {"build_module_src": source, "build_func_name": builder, "variables": [*own.items()]}
        return Network(state)

    def generator(name: str, found: dict[str, Any], kind: type) -> Network:
        def below(prefix: str) -> dict[str, Any]:
            return {n[len(prefix) :]: v for n, v in found.items() if n.startswith(prefix)}

        rows = kind(dlatent_broadcast=6, **given)
        mapping = network("G_mapping", builders[1], below("mapping/"), rows, kind())
        synthesis = network("G_synthesis", builders[2], below("synthesis/"), kind(given), kind())
        own = {n: v for n, v in found.items() if not n.startswith(("mapping/", "synthesis/"))}
        return network(name, builders[0], own, kind(given), kind(mapping=mapping, synthesis=synthesis))

    numbers = (np.ndarray, np.floating)
    halved = {n: v * np.float32(0.5) if isinstance(v, numbers) else v for n, v in variables.items()}
    with tensorflow_modules() as easy_dict:
        kind = easy_dict if version < 5 else dict  # what each release keeps its options in
        critic = network("D", "D_stylegan2", {"4x4/Dense0/bias": np.zeros(3, np.float32)}, kind(), kind())
        average = generator("Gs", variables, kind)
        average.state.update(fields or {})
        saved = (generator("G", halved, kind), critic, average)
        path.write_bytes(pickle.dumps(saved, protocol=protocol))


@dataclass(frozen=True)
class TensorFlowFaults:
    """Ways to read such a file wrong that look right."""

    without_one: bool = False  # styles as if their 1 were stored
    mirrored_up: bool = False  # the up-convolution's kernel the other way round
    mirrored_plain: bool = False  # and that of the others
    swapped_axes: bool = False  # a kernel's rows for its columns
    dense_not_turned: bool = False
    noise_off: bool = False
    other_noise: bool = False  # the strength of one layer, the picture of all
    image_row: bool = False  # ToRGB reads the row before
    no_clamp: bool = False


RIGHT = TensorFlowFaults()
LINE = np.array([1.0, 3.0, 3.0, 1.0])


class TensorFlowGenerator:
    """The stored variables, run one sample after the other in float64."""

    def __init__(self, variables: dict[str, Any], clamp: float | None = None, taps: Array = LINE) -> None:
        self.variables = {name: np.asarray(value, np.float64) for name, value in variables.items()}
        self.clamp = clamp
        self.filter = np.outer(taps, taps) / taps.sum() ** 2

    def w(self, z: Array, psi: float) -> Array:
        x = z / np.sqrt((z.astype(np.float64) ** 2).mean(axis=1, keepdims=True) + 1e-8)
        for index in range(3):
            weight, bias = (self.variables[f"mapping/Dense{index}/{part}"] for part in ("weight", "bias"))
            x = self._activated(x @ weight * (0.01 / math.sqrt(len(weight))) + bias * 0.01)
        return self.variables["dlatent_avg"] * (1 - psi) + x * psi

    def image(self, ws: Array, faults: TensorFlowFaults = RIGHT) -> Array:
        return np.stack([self._one(w.astype(np.float64), faults) for w in ws])

    def _one(self, w: Array, faults: TensorFlowFaults) -> Array:
        x = self.variables["synthesis/4x4/Const/const"][0]
        x = self._layer(x, w[0], "4x4/Conv", 0, faults)
        image = self._colour(x, w[0 if faults.image_row else 1], "4x4/ToRGB", faults)
        for index in range(1, len(w) // 2):
            size = f"{4 << index}x{4 << index}"
            x = self._layer(x, w[2 * index - 1], f"{size}/Conv0_up", 2 * index - 1, faults)
            x = self._layer(x, w[2 * index], f"{size}/Conv1", 2 * index, faults)
            image = self._blurred(self._spread(image, 2, 1))
            image = image + self._colour(
                x, w[2 * index + (0 if faults.image_row else 1)], f"{size}/ToRGB", faults
            )
        return image

    def _layer(self, x: Array, w: Array, name: str, number: int, faults: TensorFlowFaults) -> Array:
        up = name.endswith("Conv0_up")
        kernel = self._kernel(w, f"synthesis/{name}", faults)
        if faults.mirrored_up if up else faults.mirrored_plain:
            kernel = kernel[::-1, ::-1]
        if faults.swapped_axes:
            kernel = kernel.transpose(1, 0, 2, 3)
        kernel = kernel / np.sqrt((kernel**2).sum(axis=(0, 1, 2)) + 1e-8)
        # Twice the size: zeros between the samples, low-passed, then the kernel as for any other layer.
        x = self._blurred(self._spread(x, 3, 2)) if up else np.pad(x, ((0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
        x = np.einsum("chwij,ijco->ohw", windows, kernel, optimize=True)
        if not faults.noise_off:
            strength = 1.0 if faults.other_noise else self.variables[f"synthesis/{name}/noise_strength"]
            x = x + strength * self.variables[f"synthesis/noise{number}"][0, 0]
        x = self._activated(x + self.variables[f"synthesis/{name}/bias"][:, None, None])
        return self._clamped(x, faults)

    def _colour(self, x: Array, w: Array, name: str, faults: TensorFlowFaults) -> Array:
        kernel = self._kernel(w, f"synthesis/{name}", faults)[0, 0] / math.sqrt(len(x))
        image = np.einsum("chw,co->ohw", x, kernel)
        return self._clamped(image + self.variables[f"synthesis/{name}/bias"][:, None, None], faults)

    def _kernel(self, w: Array, name: str, faults: TensorFlowFaults) -> Array:
        weight, bias = self.variables[f"{name}/mod_weight"], self.variables[f"{name}/mod_bias"]
        if faults.dense_not_turned:
            weight = np.ascontiguousarray(weight.T).reshape(weight.shape)
        style = w @ weight / math.sqrt(len(w)) + bias + (0 if faults.without_one else 1)
        return self.variables[f"{name}/weight"] * style[None, None, :, None]

    def _spread(self, x: Array, before: int, after: int) -> Array:
        size = x.shape[1]
        out = np.zeros((len(x), 2 * size + before + after, 2 * size + before + after))
        out[:, before : before + 2 * size : 2, before : before + 2 * size : 2] = x
        return out

    def _blurred(self, x: Array) -> Array:
        windows = np.lib.stride_tricks.sliding_window_view(x, (4, 4), axis=(1, 2))
        return np.einsum("chwij,ij->chw", windows, self.filter[::-1, ::-1] * 4)

    def _clamped(self, x: Array, faults: TensorFlowFaults) -> Array:
        return x if self.clamp is None or faults.no_clamp else np.clip(x, -self.clamp, self.clamp)

    @staticmethod
    def _activated(x: Array) -> Array:
        return np.where(x < 0, 0.2 * x, x) * math.sqrt(2)
