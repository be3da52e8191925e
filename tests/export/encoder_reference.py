# SPDX-License-Identifier: MIT
"""The encoders once more, step by step in float64 from the public names; with faults on request."""

import math

import torch
from torch.nn import functional

Tensor = torch.Tensor


def run(
    state: dict[str, Tensor], image: Tensor, head: str, *, progressive: bool = False, fault: str = ""
) -> Tensor:
    """W+ without any mean latent; (N, rows, width), or (N, width) for the head `mean`."""
    state = {name: torch.as_tensor(value).double() for name, value in state.items()}

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        if fault == "batch statistics":
            mean, var = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3))
        scale = state[f"{name}.weight"] / torch.sqrt(var + 1e-5)
        return x * scale[:, None, None] + (state[f"{name}.bias"] - mean * scale)[:, None, None]

    def conv(x: Tensor, name: str, stride: int = 1) -> Tensor:
        weight = state[f"{name}.weight"]
        return functional.conv2d(
            x, weight, state.get(f"{name}.bias"), stride=stride, padding=weight.shape[-1] // 2
        )

    def prelu(x: Tensor, name: str) -> Tensor:
        return torch.where(x < 0, x * state[f"{name}.weight"][:, None, None], x)

    def dense(x: Tensor, name: str) -> Tensor:
        weight = state[f"{name}.weight"] / (
            1 if fault == "no gain" else math.sqrt(state[f"{name}.weight"].shape[1])
        )
        return x @ weight.T + state[f"{name}.bias"]

    x = prelu(norm(conv(image.double(), "input_layer.0"), "input_layer.1"), "input_layer.2")
    levels: dict[int, Tensor] = {}
    index = 0
    while f"body.{index}.res_layer.1.weight" in state:
        unit = f"body.{index}"
        widens = f"{unit}.shortcut_layer.0.weight" in state
        stride = 2 if widens or index == 0 else 1
        y = conv(norm(x, f"{unit}.res_layer.0"), f"{unit}.res_layer.1")
        y = norm(conv(prelu(y, f"{unit}.res_layer.2"), f"{unit}.res_layer.3", stride), f"{unit}.res_layer.4")
        weights = conv(y.mean(dim=(2, 3), keepdim=True), f"{unit}.res_layer.5.fc1").relu()
        y = y * torch.sigmoid(conv(weights, f"{unit}.res_layer.5.fc2"))
        if widens:
            short = norm(conv(x, f"{unit}.shortcut_layer.0", stride), f"{unit}.shortcut_layer.1")
        else:
            short = x[:, :, ::stride, ::stride]
        x = y + short
        levels[x.shape[-1]] = x  # the last of each size: 128, 64, 32, 16
        index += 1
    if head == "mean":
        return dense(x.mean(dim=(2, 3)), "linear")
    if head == "flat":
        pooled = functional.adaptive_avg_pool2d(norm(x, "output_layer_2.0"), 7).flatten(1)
        w = dense(pooled @ state["output_layer_2.3.weight"].T + state["output_layer_2.3.bias"], "linear")
        return w.reshape(len(image), -1, state["output_layer_2.3.weight"].shape[0])

    def grown(small: Tensor, size: int) -> Tensor:
        return functional.interpolate(
            small, size=(size, size), mode="bilinear", align_corners=fault != "corners"
        )

    middle = grown(levels[16], 32) + conv(levels[32], "latlayer1")
    fine = grown(middle, 64) + conv(levels[64], "latlayer2")
    rows = []
    while f"styles.{len(rows)}.linear.weight" in state:
        row = len(rows)
        y = levels[16] if row < 3 else middle if row < 7 else fine
        layer = 0
        while f"styles.{row}.convs.{layer}.weight" in state:
            y = functional.leaky_relu(
                conv(y, f"styles.{row}.convs.{layer}", 2), 0.2 if fault == "slope" else 0.01
            )
            layer += 2
        rows.append(dense(y.flatten(1), f"styles.{row}.linear"))
    if progressive != (fault == "not progressive"):
        rows = [rows[0], *(rows[0] + row for row in rows[1:])]
    return torch.stack(rows, dim=1)
