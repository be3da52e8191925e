# SPDX-License-Identifier: MIT
"""StyleGAN2 once more, slowly, in float64 and from the published formulas; with faults on request.

Written against the layouts of the public files, sharing nothing with the package: what both say is likely so.
"""

import math
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
LAYOUTS = ("nvlabs", "rosinality")


@dataclass(frozen=True)
class Faults:
    """Ways to get it wrong that look right; each must be told apart from the truth."""

    noise_off: bool = False
    flipped_kernel: bool = False  # the up-convolution's weights
    image_row: int = 0  # added to the row of w that ToImage reads
    no_gain: bool = False  # the activation's sqrt(2)
    bilinear_image: bool = False
    no_affine_one: bool = False  # the style's bias taken as if stored without its 1
    no_clamp: bool = False
    no_filter_gain: bool = False
    no_demodulation: bool = False


def fir(gain: float = 1.0) -> Array:
    line = np.array([1.0, 3.0, 3.0, 1.0])
    return np.outer(line, line) / 64 * gain


def filtered(x: Array, kernel: Array, before: int, after: int) -> Array:
    """(C, H, W) padded on each side, correlated with the symmetric kernel."""
    x = np.pad(x, ((0, 0), (before, after), (before, after)))
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape, axis=(1, 2))
    return np.einsum("chwij,ij->chw", windows, kernel)


def plain_conv(x: Array, weight: Array) -> Array:
    edge = weight.shape[-1] // 2
    x = np.pad(x, ((0, 0), (edge, edge), (edge, edge)))
    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axis=(1, 2))
    return np.einsum("chwij,ocij->ohw", windows, weight, optimize=True)


def spread_conv(x: Array, weight: Array) -> Array:
    """Stride-2 transposed convolution: every sample adds its kernel to the output."""
    size = x.shape[1]
    out = np.zeros((weight.shape[0], 2 * size + 1, 2 * size + 1))
    for i in range(3):
        for j in range(3):
            out[:, i : i + 2 * size : 2, j : j + 2 * size : 2] += np.einsum(
                "oc,chw->ohw", weight[:, :, i, j], x
            )
    return out


def up_image(x: Array, faults: Faults) -> Array:
    size = x.shape[1]
    if faults.bilinear_image:
        at = np.clip((np.arange(2 * size) + 0.5) / 2 - 0.5, 0, size - 1)
        low = np.minimum(at.astype(int), size - 2)
        part = at - low
        rows = x[:, low] * (1 - part)[None, :, None] + x[:, low + 1] * part[None, :, None]
        return rows[:, :, low] * (1 - part) + rows[:, :, low + 1] * part
    stuffed = np.zeros((x.shape[0], 2 * size, 2 * size))
    stuffed[:, ::2, ::2] = x
    return filtered(stuffed, fir(4), 2, 1)


def dense(x: Array, weight: Array, bias: Array, multiplier: float = 1.0) -> Array:
    return x @ (weight * multiplier / math.sqrt(weight.shape[1])).T + bias * multiplier


def activated(x: Array, faults: Faults) -> Array:
    return np.where(x < 0, 0.2 * x, x) * (1 if faults.no_gain else math.sqrt(2))


class Generator:
    """The official state dict of either layout, run one sample after the other."""

    def __init__(self, state: dict[str, Array], layout: str, clamp: float | None = None) -> None:
        self.state = {name: np.asarray(value, np.float64) for name, value in state.items()}
        self.layout, self.clamp = layout, clamp

    def image(self, ws: Array, faults: Faults = Faults()) -> Array:
        return np.stack([self._one(w.astype(np.float64), faults) for w in ws])

    def w(self, z: Array, psi: float, mean: Array) -> Array:
        x = z.astype(np.float64)
        x = x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-8)
        first, prefix = (0, "mapping.fc") if self.layout == "nvlabs" else (1, "style.")
        while f"{prefix}{first}.weight" in self.state:
            name = f"{prefix}{first}"
            x = activated(dense(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"], 0.01), Faults())
            first += 1
        return mean + psi * (x - mean)

    def _one(self, w: Array, faults: Faults) -> Array:
        nvlabs = self.layout == "nvlabs"
        x = self.state["synthesis.b4.const"] if nvlabs else self.state["input.input"][0]
        x = self._conv(x, w[0], "synthesis.b4.conv1" if nvlabs else "conv1", 0, False, faults)
        image = self._to_image(
            x, w[1 + faults.image_row], "synthesis.b4.torgb" if nvlabs else "to_rgb1", faults
        )
        for j in range(w.shape[0] // 2 - 1):
            block = f"synthesis.b{8 << j}"
            names = (f"{block}.conv0", f"{block}.conv1", f"{block}.torgb")
            if not nvlabs:
                names = (f"convs.{2 * j}", f"convs.{2 * j + 1}", f"to_rgbs.{j}")
            x = self._conv(x, w[2 * j + 1], names[0], 2 * j + 1, True, faults)
            x = self._conv(x, w[2 * j + 2], names[1], 2 * j + 2, False, faults)
            row = min(2 * j + 3 + faults.image_row, w.shape[0] - 1)
            image = up_image(image, faults) + self._to_image(x, w[row], names[2], faults)
        return image

    def _style(self, w: Array, name: str, faults: Faults) -> tuple[Array, Array]:
        if self.layout == "nvlabs":
            weight, affine = self.state[f"{name}.weight"], f"{name}.affine"
        else:
            weight, affine = self.state[f"{name}.conv.weight"][0], f"{name}.conv.modulation"
            weight = weight / math.sqrt(weight[0].size)
        bias = self.state[f"{affine}.bias"] - (1 if faults.no_affine_one else 0)
        return weight, dense(w, self.state[f"{affine}.weight"], bias)

    def _conv(self, x: Array, w: Array, name: str, index: int, up: bool, faults: Faults) -> Array:
        weight, style = self._style(w, name, faults)
        if up and faults.flipped_kernel:
            weight = weight[:, :, ::-1, ::-1]
        own = weight * style[None, :, None, None]
        if not faults.no_demodulation:
            own = own / np.sqrt((own**2).sum(axis=(1, 2, 3), keepdims=True) + 1e-8)
        x = spread_conv(x, own) if up else plain_conv(x, own)
        if up:
            x = filtered(x, fir(1 if faults.no_filter_gain else 4), 1, 1)
        nvlabs = self.layout == "nvlabs"
        if not faults.noise_off:
            strength = self.state[f"{name}.noise_strength" if nvlabs else f"{name}.noise.weight"]
            noise = self.state[f"{name}.noise_const" if nvlabs else f"noises.noise_{index}"]
            x = x + np.reshape(strength, ()) * (noise if nvlabs else noise[0, 0])
        bias = self.state[f"{name}.bias" if nvlabs else f"{name}.activate.bias"]
        x = activated(x + bias[:, None, None], faults)
        return x if self.clamp is None or faults.no_clamp else np.clip(x, -self.clamp, self.clamp)

    def _to_image(self, x: Array, w: Array, name: str, faults: Faults) -> Array:
        weight, style = self._style(w, name, faults)
        gain = 1 / math.sqrt(weight.shape[1]) if self.layout == "nvlabs" else 1.0
        x = plain_conv(x, weight * (style * gain)[None, :, None, None])
        x = x + np.reshape(self.state[f"{name}.bias"], (-1, 1, 1))
        return x if self.clamp is None or faults.no_clamp else np.clip(x, -self.clamp, self.clamp)
