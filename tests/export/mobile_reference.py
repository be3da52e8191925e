# SPDX-License-Identifier: MIT
"""MobileStyleGAN's student and mapping network as the public code computes them, written from the facts."""

import math
from typing import Any

import numpy as np
import torch
from checkpoint_files import W_DIM, Array, Drawn
from torch import Tensor
from torch.nn import functional

CHANNELS = (16, 12, 8)  # features of 4, 8 and 16 pixels; the image has 32
WSIZE = 3 * (len(CHANNELS) - 1) + 2


def student_state(*, seed: int = 0) -> dict[str, Array]:
    """The student's tensors by their public names, every term random."""
    draw = Drawn(seed)
    state: dict[str, Array] = {
        "input.input": draw(1, CHANNELS[0], 4, 4),
        "device_info": np.zeros(1, np.float32),
    }

    def affine(name: str, channels: int) -> None:
        state[f"{name}.modulation.weight"] = draw(channels, W_DIM, scale=0.3)
        state[f"{name}.modulation.bias"] = draw(channels, scale=0.3, centre=1)

    def styled(name: str, inputs: int, outputs: int, weights: dict[str, Array]) -> None:
        state.update({f"{name}.conv.{part}": value for part, value in weights.items()})
        state[f"{name}.conv.style_inv"] = draw(1, 1, inputs, 1, 1)
        affine(f"{name}.conv", inputs)
        state[f"{name}.noise.weight"] = draw(1, scale=0.3)
        state[f"{name}.bias"] = draw(1, outputs, 1, 1, scale=0.3)

    def head(name: str, channels: int) -> None:
        state[f"{name}.conv.weight"] = draw(12, channels, 1, 1)
        affine(f"{name}.conv", channels)
        state[f"{name}.bias"] = draw(1, 12, 1, 1, scale=0.3)

    def filters(name: str) -> None:
        for part in ("g0_col", "g1_col", "g0_row", "g1_row"):
            state[f"{name}.{part}"] = draw(2)

    first = CHANNELS[0]
    styled("conv1", first, first, {"weight": draw(first, first, 3, 3)})
    head("to_img1", first)
    for index, (inputs, outputs) in enumerate(zip(CHANNELS, CHANNELS[1:], strict=False)):
        layer = f"layers.{index}"
        affine(f"{layer}.up", inputs)
        filters(f"{layer}.up.idwt")
        for part, width in (("conv1", inputs // 4), ("conv2", outputs)):
            weights = {"weight_dw": draw(width, 1, 3, 3), "weight_permute": draw(outputs, width, 1, 1)}
            styled(f"{layer}.{part}", width, outputs, weights)
        head(f"{layer}.to_img", outputs)
    filters("idwt")
    return state


def mapping_state(*, seed: int = 1) -> dict[str, Array]:
    draw = Drawn(seed)
    return {
        f"layers.{index}.{part}": draw(W_DIM, W_DIM, scale=100) if part == "weight" else draw(W_DIM, scale=30)
        for index in (1, 2, 3)
        for part in ("weight", "bias")
    }


def image(state: dict[str, Array], w: Array, noise: list[Array], *, fault: str = "") -> Array:
    """(N, 3, 32, 32) of w (N, WSIZE, W_DIM); noise: one image a convolution, in their order."""
    net = {name: torch.from_numpy(value) for name, value in state.items()}
    rows = torch.from_numpy(w)
    draws = [torch.from_numpy(n) for n in noise]

    def style(name: str, row: int) -> Tensor:
        return functional.linear(
            rows[:, row], net[f"{name}.modulation.weight"], net[f"{name}.modulation.bias"]
        )[:, :, None, None]

    def styled(x: Tensor, name: str, row: int) -> Tensor:
        if f"{name}.conv.weight" in net:
            weight = net[f"{name}.conv.weight"]
            conv = functional.conv2d
            scale = 1 / math.sqrt(weight.shape[1] * 9)
            x = conv(x * style(f"{name}.conv", row) * scale, weight, padding=1)
        else:
            depthwise, mix = net[f"{name}.conv.weight_dw"], net[f"{name}.conv.weight_permute"]
            weight = depthwise.transpose(0, 1) * mix
            scale = 1 / math.sqrt(9 * len(depthwise))
            x = x * style(f"{name}.conv", row) * scale
            x = functional.conv2d(functional.conv2d(x, depthwise, padding=1, groups=len(depthwise)), mix)
        inverse = net[f"{name}.conv.style_inv"][0]
        if fault == "style_inv left out":
            inverse = torch.ones_like(inverse)
        energy = (scale * inverse * weight).square().sum(dim=(1, 2, 3))
        x = x * (energy + 1e-8).rsqrt()[:, None, None]
        x = x + draws.pop(0) * net[f"{name}.noise.weight"] * (0 if fault == "no noise" else 1)
        x = functional.leaky_relu(x + net[f"{name}.bias"], 0.2)
        return x * math.sqrt(2) if fault == "gain of sqrt 2" else x

    def inverse_transform(x: Tensor) -> Tensor:
        n, c, h, wide = x.shape
        low, high = x[:, : c // 4], x[:, c // 4 :].reshape(n, c // 4, 3, h, wide)
        if fault == "bands before channels":
            high = x[:, c // 4 :].reshape(n, 3, c // 4, h, wide).transpose(1, 2)
        a, (b, c_, d) = low, high.unbind(dim=2)
        out = x.new_zeros(n, c // 4, 2 * h, 2 * wide)
        for i in (0, 1):
            for j in (0, 1):
                sign_i, sign_j = 1 - 2 * i, 1 - 2 * j
                out[:, :, i::2, j::2] = (a + sign_i * b + sign_j * c_ + sign_i * sign_j * d) / 2
        return out

    x = styled(net["input.input"].expand(len(rows), -1, -1, -1), "conv1", 0)
    for index in range(len(CHANNELS) - 1):
        layer, row = f"layers.{index}", 3 * index + 1
        x = inverse_transform(x * style(f"{layer}.up", row))
        x = styled(x, f"{layer}.conv1", row)
        x = styled(x, f"{layer}.conv2", row + 1)
    last = f"layers.{len(CHANNELS) - 2}.to_img"
    row = WSIZE - (1 if fault == "last row for the head" else 2)
    scale = 1 / math.sqrt(CHANNELS[-1] * (9 if fault == "a head's gain for 3x3" else 1))
    x = functional.conv2d(x * style(f"{last}.conv", row) * scale, net[f"{last}.conv.weight"])
    return np.asarray(inverse_transform(x + net[f"{last}.bias"]))


def mapped(state: dict[str, Array], z: Array) -> Array:
    x = z / np.sqrt(np.square(z).mean(axis=1, keepdims=True) + 1e-8)
    for index in (1, 2, 3):
        x = (
            x @ state[f"layers.{index}.weight"].T * (0.01 / math.sqrt(W_DIM))
            + 0.01 * state[f"layers.{index}.bias"]
        )
        x = np.where(x > 0, x, 0.2 * x) * math.sqrt(2)
    return np.asarray(x, np.float32)


def training_file(**extra: Any) -> dict[str, Any]:
    """What the public trainer saves, in small."""
    student = {f"student.{name}": torch.from_numpy(value) for name, value in student_state().items()}
    mapping = {f"mapping_net.{name}": torch.from_numpy(value) for name, value in mapping_state().items()}
    mean = torch.from_numpy(Drawn(7)(1, 1, W_DIM)).repeat(1, WSIZE, 1)
    others = {
        "synthesis_net.input.input": torch.zeros(1, 2, 4, 4),
        "loss.gan_loss.weight": torch.zeros(2),
        "inception.bias": torch.zeros(2),
        "style_mean": mean,
        "device_info": torch.tensor(1),
    }
    state = {**mapping, **student, **others, **extra}
    return {"epoch": 3, "global_step": 12, "pytorch-lightning_version": "1.1.0", "state_dict": state}
