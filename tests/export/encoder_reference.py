# SPDX-License-Identifier: MIT
"""The encoders once more, step by step in float64 from the public names; with faults on request."""

import math

import torch
from torch.nn import functional

Tensor = torch.Tensor


class Layers:
    """The building blocks, over the tensors of one encoder."""

    def __init__(self, state: dict[str, Tensor], fault: str) -> None:
        self.state = {name: torch.as_tensor(value).double() for name, value in state.items()}
        self.fault = fault

    def norm(self, x: Tensor, name: str) -> Tensor:
        mean, var = self.state[f"{name}.running_mean"], self.state[f"{name}.running_var"]
        if self.fault == "batch statistics":
            mean, var = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3))
        scale = self.state[f"{name}.weight"] / torch.sqrt(var + 1e-5)
        return x * scale[:, None, None] + (self.state[f"{name}.bias"] - mean * scale)[:, None, None]

    def conv(self, x: Tensor, name: str, stride: int = 1) -> Tensor:
        weight, bias = self.state[f"{name}.weight"], self.state.get(f"{name}.bias")
        return functional.conv2d(x, weight, bias, stride=stride, padding=weight.shape[-1] // 2)

    def prelu(self, x: Tensor, name: str) -> Tensor:
        return torch.where(x < 0, x * self.state[f"{name}.weight"][:, None, None], x)

    def dense(self, x: Tensor, name: str) -> Tensor:
        weight = self.state[f"{name}.weight"]
        gain = 1 if self.fault == "no gain" else math.sqrt(weight.shape[1])
        return x @ (weight / gain).T + self.state[f"{name}.bias"]

    def unit(self, x: Tensor, index: int) -> Tensor:
        name = f"body.{index}"
        widens = f"{name}.shortcut_layer.0.weight" in self.state
        stride = 2 if widens or index == 0 else 1
        y = self.conv(self.norm(x, f"{name}.res_layer.0"), f"{name}.res_layer.1")
        y = self.conv(self.prelu(y, f"{name}.res_layer.2"), f"{name}.res_layer.3", stride)
        y = self.norm(y, f"{name}.res_layer.4")
        weights = self.conv(y.mean(dim=(2, 3), keepdim=True), f"{name}.res_layer.5.fc1").relu()
        y = y * torch.sigmoid(self.conv(weights, f"{name}.res_layer.5.fc2"))
        if widens:
            return y + self.norm(self.conv(x, f"{name}.shortcut_layer.0", stride), f"{name}.shortcut_layer.1")
        return y + x[:, :, ::stride, ::stride]


def run(
    state: dict[str, Tensor], image: Tensor, head: str, *, progressive: bool = False, fault: str = ""
) -> Tensor:
    """W+ without any mean latent; (N, rows, width), or (N, width) for the head `mean`."""
    net = Layers(state, fault)
    x = net.prelu(net.norm(net.conv(image.double(), "input_layer.0"), "input_layer.1"), "input_layer.2")
    levels: dict[int, Tensor] = {}
    while f"body.{(index := len(levels))}.res_layer.1.weight" in net.state:
        x = net.unit(x, index)
        levels[index] = x
    by_size = {level.shape[-1]: level for level in levels.values()}  # the last of each: 128, 64, 32, 16
    if head == "mean":
        return net.dense(x.mean(dim=(2, 3)), "linear")
    if head == "flat":
        pooled = functional.adaptive_avg_pool2d(net.norm(x, "output_layer_2.0"), 7).flatten(1)
        w = net.dense(
            pooled @ net.state["output_layer_2.3.weight"].T + net.state["output_layer_2.3.bias"], "linear"
        )
        return w.reshape(len(image), -1, net.state["output_layer_2.3.weight"].shape[0])
    rows = pyramid_rows(net, by_size)
    if progressive != (fault == "not progressive"):
        rows = [rows[0], *(rows[0] + row for row in rows[1:])]
    return torch.stack(rows, dim=1)


def pyramid_rows(net: Layers, levels: dict[int, Tensor]) -> list[Tensor]:
    """Each row from its level: three from the coarse, four from the middle, the others from the fine one."""

    def grown(small: Tensor, size: int) -> Tensor:
        return functional.interpolate(
            small, size=(size, size), mode="bilinear", align_corners=net.fault != "corners"
        )

    middle = grown(levels[16], 32) + net.conv(levels[32], "latlayer1")
    fine = grown(middle, 64) + net.conv(levels[64], "latlayer2")
    rows: list[Tensor] = []
    while f"styles.{(row := len(rows))}.linear.weight" in net.state:
        y = levels[16] if row < 3 else middle if row < 7 else fine
        layer = 0
        while f"styles.{row}.convs.{layer}.weight" in net.state:
            slope = 0.2 if net.fault == "slope" else 0.01
            y = functional.leaky_relu(net.conv(y, f"styles.{row}.convs.{layer}", 2), slope)
            layer += 2
        rows.append(net.dense(y.flatten(1), f"styles.{row}.linear"))
    return rows
