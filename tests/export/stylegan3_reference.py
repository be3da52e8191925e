# SPDX-License-Identifier: MIT
"""StyleGAN3 once more, in float64, from where samples lie; with faults on request. Shares nothing with ours.

Every grid is centred on the picture. So the weight of one sample in another is the filter's tap at the
distance between the two, and a resampling is a matrix of such weights: no padding or crop is ever counted.
"""

import math
from dataclasses import dataclass

import numpy as np
from stylegan3_files import Array, Grid, layer_names


@dataclass(frozen=True)
class AliasFreeFaults:
    """Ways to get it wrong that look right; each must be told apart from the truth."""

    mirrored_up_filter: bool = False
    mirrored_down_filter: bool = False
    mirrored_kernel: bool = False
    shifted: bool = False  # one sample of padding on the wrong side
    no_input_gain: bool = False
    gain_squared: bool = False  # the mean square taken for its root
    no_demodulation: bool = False
    no_up_gain: bool = False
    no_activation_gain: bool = False
    bias_last: bool = False  # added behind the filters
    plain_activation: bool = False  # not at a higher rate: aliases stay
    no_clamp: bool = False
    no_output_scale: bool = False
    row: bool = False  # each layer reads the row of w before its own
    image_demodulated: bool = False
    image_activated: bool = False
    rotation_other_way: bool = False
    translation_other_way: bool = False
    transform_left_out: bool = False
    translation_first: bool = False
    transform_not_divided: bool = False
    no_fade: bool = False
    no_phases: bool = False
    corner_grid: bool = False  # the outermost samples on the edge, not half a sample inside


RIGHT = AliasFreeFaults()


class AliasFreeGenerator:
    """The official state dict, run one sample after the other."""

    def __init__(self, state: dict[str, Array], layers: list[Grid], clamp: float | None = 256) -> None:
        self.state = {name: np.asarray(value, np.float64) for name, value in state.items()}
        self.layers, self.clamp = layers, clamp

    def w(self, z: Array, psi: float) -> Array:
        x = z.astype(np.float64)
        x = x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-8)
        for index in range(2):
            x = x @ self.state[f"mapping.fc{index}.weight"].T * (0.01 / math.sqrt(x.shape[1]))
            x = x + self.state[f"mapping.fc{index}.bias"] * 0.01
            x = np.where(x < 0, 0.2 * x, x) * math.sqrt(2)
        mean = self.state["mapping.w_avg"]
        return mean + psi * (x - mean)

    def image(self, ws: Array, faults: AliasFreeFaults = RIGHT) -> Array:
        return np.stack([self._one(w.astype(np.float64), faults) for w in ws])

    def _one(self, w: Array, faults: AliasFreeFaults) -> Array:
        x = self._input(w[0], faults)
        before = self.layers[0]
        *names, last = (f"synthesis.{name}" for name in layer_names(self.layers))
        for index, (name, grid) in enumerate(zip(names, self.layers, strict=False)):
            x = self._layer(x, w[index if faults.row else index + 1], name, before, grid, faults)
            before = grid
        x = self._convolved(x, w[-2 if faults.row else -1], last, faults, image=True)
        x = self._clamped(x + self.state[f"{last}.bias"][:, None, None], faults)
        x = np.where(x < 0, 0.2 * x, x) if faults.image_activated else x
        return x if faults.no_output_scale else x / 4

    def _input(self, w: Array, faults: AliasFreeFaults) -> Array:
        own = {name.rsplit("input.")[1]: value for name, value in self.state.items() if ".input." in name}
        cosine, sine, x, y = own["affine.weight"] @ w / math.sqrt(len(w)) + own["affine.bias"]
        length = 1 if faults.transform_not_divided else math.hypot(cosine, sine)
        cosine, sine, x, y = (value / length for value in (cosine, sine, x, y))
        sine = -sine if faults.rotation_other_way else sine
        x, y = (-x, -y) if faults.translation_other_way else (x, y)
        turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
        move = np.array([[1, 0, -x], [0, 1, -y], [0, 0, 1]])
        plane = move @ turn if faults.translation_first else turn @ move
        plane = plane if faults.transform_left_out else plane @ own["transform"]
        # Where each sample lies in the plane the waves live in; a wave is seen there with its own frequency.
        grid = self.layers[0]
        at = (np.arange(grid.size) - (grid.size - 1) / 2) / grid.rate
        at = at * grid.size / (grid.size - 1) if faults.corner_grid else at
        places = np.stack([*np.meshgrid(at, at), np.ones((grid.size, grid.size))])
        points = np.einsum("ij,jhw->ihw", plane, places)[:2]
        phases = 0 if faults.no_phases else own["phases"][:, None, None]
        waves = np.sin(2 * math.pi * (np.einsum("cj,jhw->chw", own["freqs"], points) + phases))
        seen = np.linalg.norm(own["freqs"] @ plane[:2, :2], axis=1)
        fade = np.clip(1 - (seen - 2) / (grid.half - 2), 0, 1)
        waves = waves if faults.no_fade else waves * fade[:, None, None]
        return np.einsum("oc,chw->ohw", own["weight"] / math.sqrt(len(waves)), waves)

    def _layer(
        self, x: Array, w: Array, name: str, before: Grid, grid: Grid, faults: AliasFreeFaults
    ) -> Array:
        x = self._convolved(x, w, name, faults)
        bias = self.state[f"{name}.bias"][:, None, None]
        x = x if faults.bias_last else x + bias
        inside = 2 * max(before.rate, grid.rate)
        taps, line = self.state[f"{name}.up_filter"], self.state[f"{name}.down_filter"]
        size = (grid.size - 1) * (inside // grid.rate) + len(line)  # what the filter behind needs
        rise = up_matrix(x.shape[1], size, inside // before.rate, taps, faults)
        if not faults.plain_activation:
            x = self._active(np.einsum("ih,chw,jw->cij", rise, x, rise, optimize=True), faults)
        else:
            x = np.einsum("ih,chw,jw->cij", rise, self._active(x, faults), rise, optimize=True)
        x = lowered(x, line, inside // grid.rate, faults)
        return x + bias if faults.bias_last else x

    def _active(self, x: Array, faults: AliasFreeFaults) -> Array:
        x = np.where(x < 0, 0.2 * x, x) * (1 if faults.no_activation_gain else math.sqrt(2))
        return self._clamped(x, faults)

    def _convolved(
        self, x: Array, w: Array, name: str, faults: AliasFreeFaults, *, image: bool = False
    ) -> Array:
        weight = self.state[f"{name}.weight"]
        style = (
            self.state[f"{name}.affine.weight"] @ w / math.sqrt(len(w)) + self.state[f"{name}.affine.bias"]
        )
        own = weight * style[None, :, None, None] / (math.sqrt(len(x)) if image else 1)
        if (not image and not faults.no_demodulation) or (image and faults.image_demodulated):
            own = own / np.sqrt((own**2).sum(axis=(1, 2, 3), keepdims=True))
        if not faults.no_input_gain:
            magnitude = self.state[f"{name}.magnitude_ema"]
            own = own / (magnitude if faults.gain_squared else math.sqrt(magnitude))
        own = own[:, :, ::-1, ::-1] if faults.mirrored_kernel else own
        edge = own.shape[-1] - 1
        x = np.pad(x, ((0, 0), (edge, edge), (edge, edge)))
        windows = np.lib.stride_tricks.sliding_window_view(x, own.shape[2:], axis=(1, 2))
        return np.einsum("chwij,ocij->ohw", windows, own, optimize=True)

    def _clamped(self, x: Array, faults: AliasFreeFaults) -> Array:
        return x if self.clamp is None or faults.no_clamp else np.clip(x, -self.clamp, self.clamp)


def up_matrix(size: int, wanted: int, up: int, taps: Array, faults: AliasFreeFaults) -> Array:
    """(wanted, size): each sample's weight in each of `up` times as many, both grids with one middle."""
    fine = np.arange(wanted) - (wanted - 1) / 2 + (1 if faults.shifted else 0)
    coarse = (np.arange(size) - (size - 1) / 2) * up
    index = fine[:, None] - coarse[None, :] + (len(taps) - 1) / 2
    assert np.array_equal(index, np.round(index))  # samples of both grids fall on taps
    taps = taps[::-1] if faults.mirrored_up_filter else taps
    inside = (index >= 0) & (index < len(taps))
    return np.where(inside, taps[np.clip(index, 0, len(taps) - 1).astype(int)], 0) * (
        1 if faults.no_up_gain else up
    )


def lowered(x: Array, taps: Array, down: int, faults: AliasFreeFaults) -> Array:
    """Low-passed by taps of a line or a square, each `down`-th sample kept."""
    square = np.outer(taps, taps) if taps.ndim == 1 else taps
    square = square if faults.mirrored_down_filter else square[::-1, ::-1]
    windows = np.lib.stride_tricks.sliding_window_view(x, square.shape, axis=(1, 2))[:, ::down, ::down]
    return np.einsum("chwij,ij->chw", windows, square, optimize=True)
