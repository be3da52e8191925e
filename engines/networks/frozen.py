# SPDX-License-Identifier: MIT
"""StyleGAN2's synthesis with all that weights alone decide computed once, for running only. Knows no file.

The same image as `Synthesis`, in another order: the styles of all layers are one product, their demodulation
another; gains, noise strengths and fp16's normalisation are in the weights; the activation's gain is in what
it scales. What is left a layer is a convolution and pointwise work that a compiler makes one kernel of.
"""

import math
from itertools import accumulate
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from engines.networks.ops import DEMODULATION_EPSILON, blur
from engines.networks.stylegan2 import Block, Dense, StyledConv, Synthesis, ToImage

SLOPE, GAIN = 0.2, math.sqrt(2)
NEVER = 1 << 30


class FrozenConv(nn.Module):
    """A convolution with its offsets; `energy` is what demodulation sums. Upsamples where a FIR is given."""

    weight: Tensor
    bias: Tensor
    noise: Tensor | None
    fir: Tensor | None

    def __init__(self, conv: StyledConv, fir: Tensor | None, *, dtype: torch.dtype, folded: bool) -> None:
        super().__init__()
        weight = conv.weight.detach()
        if dtype == torch.float16:  # as modulated_conv2d does at every call
            weight = weight / (weight.abs().amax(dim=(1, 2, 3), keepdim=True) * math.sqrt(weight[0].numel()))
        self.energy = weight.square().sum(dim=(2, 3)).t()  # (I, O)
        self.folded = folded and fir is not None
        self.up, self.clamp = fir is not None, conv.clamp
        if fir is not None:
            weight = folded_kernel(weight, fir) if folded else weight.transpose(0, 1)
        self.register_buffer("weight", weight.to(dtype).contiguous())
        self.register_buffer("bias", (conv.bias.detach() * GAIN)[:, None, None].to(dtype))
        noise = conv.noise_const * conv.noise_strength.detach() * GAIN if conv.use_noise else None
        self.register_buffer("noise", None if noise is None else noise.to(dtype))
        self.register_buffer("fir", None if fir is None or folded else fir.to(dtype))

    def forward(self, x: Tensor, style: Tensor, demodulation: Tensor) -> Tensor:
        """style (N, I) and demodulation (N, O), which carries the gain."""
        x = x * style.to(x.dtype)[:, :, None, None]
        if self.folded:
            x = functional.pixel_shuffle(functional.conv2d(x, self.weight, padding=1), 2)
        elif self.fir is not None:
            x = blur(functional.conv_transpose2d(x, self.weight, stride=2), self.fir, gain=4.0)
        else:
            x = functional.conv2d(x, self.weight, padding=1)
        x = x * demodulation.to(x.dtype)[:, :, None, None] + self.bias
        if self.noise is not None:
            x = x + self.noise
        x = functional.leaky_relu(x, SLOPE)
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)


class FrozenToImage(nn.Module):
    """ToImage without its affine."""

    weight: Tensor
    bias: Tensor

    def __init__(self, layer: ToImage, *, dtype: torch.dtype) -> None:
        super().__init__()
        self.clamp = layer.clamp
        self.register_buffer("weight", layer.weight.detach().to(dtype))
        self.register_buffer("bias", layer.bias.detach()[:, None, None].to(dtype))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        x = functional.conv2d(x * style.to(x.dtype)[:, :, None, None], self.weight) + self.bias
        return (x if self.clamp is None else x.clamp(-self.clamp, self.clamp)).float()


class FrozenSynthesis(nn.Module):
    """`Synthesis` for running. folded_from: up-convolutions to this size and above become one 3x3 convolution
    to four times the channels and a shuffle: four times the arithmetic, one pass over memory less."""

    const: Tensor
    fir: Tensor
    rows: Tensor
    style_weight: Tensor
    style_bias: Tensor
    energy: Tensor
    places: Tensor
    style_gain: Tensor

    def __init__(self, network: Synthesis, *, folded_from: int = NEVER) -> None:
        super().__init__()
        self.config, self.inputs, self.outputs = network.config, network.inputs, network.outputs
        self.convs, self.images = nn.ModuleList(), nn.ModuleList()
        affines: list[tuple[int, Dense, float]] = []  # row of w, layer, gain
        to_image: list[tuple[int, Dense, float]] = []
        self.dtypes: list[torch.dtype] = []  # of each block
        for index, size in enumerate(network.sizes):
            block = cast(Block, network.blocks[f"b{size}"])
            half = size > max(network.half_above, 4)
            dtype = torch.float16 if half else torch.float32
            self.dtypes.append(dtype)
            row = max(2 * index - 1, 0)
            if index:
                folded = size >= folded_from
                self.convs.append(FrozenConv(block.conv0, network.fir, dtype=dtype, folded=folded))
                affines.append((row, block.conv0.affine, 1.0))
                row += 1
            self.convs.append(FrozenConv(block.conv1, None, dtype=dtype, folded=False))
            affines.append((row, block.conv1.affine, 1.0))
            self.images.append(FrozenToImage(block.torgb, dtype=dtype))
            to_image.append((row + 1, block.torgb.affine, block.torgb.gain))
        first = cast(Block, network.blocks["b4"])
        self.register_buffer("const", first.const.detach()[None])
        self.register_buffer(
            "fir", (network.fir * 4).expand(network.config.image_channels, 1, 4, 4).contiguous()
        )
        self._join_styles(network, [*affines, *to_image])

    def _join_styles(self, network: Synthesis, layers: list[tuple[int, Dense, float]]) -> None:
        """Every layer's affine and demodulation in two stacks, padded with zeros to the widest."""
        convs = [cast(FrozenConv, conv) for conv in self.convs]
        widest = max(affine.weight.shape[0] for _, affine, _ in layers)
        outputs = max(conv.energy.shape[1] for conv in convs)
        w_dim = self.config.w_dim
        like = self.const
        weight = like.new_zeros(len(layers), w_dim, widest)
        bias = like.new_zeros(len(layers), 1, widest)
        for index, (_, affine, gain) in enumerate(layers):
            width = affine.weight.shape[0]
            weight[index, :, :width] = (affine.weight.detach() * affine.weight_gain * gain).t()
            bias[index, 0, :width] = affine.bias.detach() * affine.bias_gain * gain
        energy = like.new_zeros(len(convs), widest, outputs)
        for index, conv in enumerate(convs):
            energy[index, : conv.energy.shape[0], : conv.energy.shape[1]] = conv.energy
        self.widths = [affine.weight.shape[0] for _, affine, _ in layers]
        # Where each number of the stack lies among offsets in the order in which the layers run.
        ran = {affine: width for affine, width in zip(network.affines, network.style_channels, strict=True)}
        starts = dict(zip(ran, accumulate(ran.values(), initial=0), strict=False))
        places = torch.full((len(layers), widest), sum(ran.values()))
        for index, (_, affine, _) in enumerate(layers):
            places[index, : ran[affine]] = starts[affine] + torch.arange(ran[affine])
        gains = torch.tensor([gain for _, _, gain in layers], device=like.device)
        self.register_buffer("places", places.to(like.device))
        self.register_buffer("style_gain", gains[:, None, None])
        self.made = [conv.bias.shape[0] for conv in convs]
        self.register_buffer("rows", torch.tensor([row for row, _, _ in layers], device=like.device))
        self.register_buffer("style_weight", weight)
        self.register_buffer("style_bias", bias)
        self.register_buffer("energy", energy)

    def forward(self, w: Tensor, offsets: Tensor | None = None) -> Tensor:
        styles = w[:, self.rows].transpose(0, 1)  # (L, N, w_dim)
        styles = torch.baddbmm(self.style_bias, styles, self.style_weight)  # (L, N, widest)
        if offsets is not None:
            none = functional.pad(offsets, (0, 1))  # the column that places name where a layer is narrower
            styles = styles + self.style_gain * none[:, self.places].transpose(0, 1)
        convs = styles[: len(self.convs)]
        convs = convs / convs.abs().amax(dim=2, keepdim=True)  # for fp16; demodulation cancels it
        demodulations = (torch.bmm(convs.square(), self.energy) + DEMODULATION_EPSILON).rsqrt() * GAIN
        x, image, layer = self.const, None, 0
        for index, dtype in enumerate(self.dtypes):
            x = x.to(dtype)
            for _ in range(2 if index else 1):
                style = convs[layer, :, : self.widths[layer]]
                x = self.convs[layer](x, style, demodulations[layer, :, : self.made[layer]])
                layer += 1
            at = len(self.convs) + index
            shown = self.images[index](x, styles[at, :, : self.widths[at]])
            if image is not None:
                image = functional.conv_transpose2d(
                    image, self.fir, stride=2, padding=1, groups=image.shape[1]
                )
            image = shown if image is None else image + shown
        return cast(Tensor, image)


def frozen(network: nn.Module, *, folded_from: int = NEVER) -> nn.Module:
    """The network with every StyleGAN2 synthesis in it frozen; a network without one as it is."""
    if isinstance(network, Synthesis):
        return FrozenSynthesis(network, folded_from=folded_from).eval()
    for name, child in network.named_children():
        setattr(network, name, frozen(child, folded_from=folded_from))
    return network


def folded_kernel(weight: Tensor, fir: Tensor) -> Tensor:
    """(O, I, 3, 3) of a stride-2 transposed convolution and its FIR as (4 O, I, 3, 3) before a pixel shuffle.

    Output 2 m + a is the sum over k of x[m - k] G[a + 2 k], k = -1, 0, 1; G[u] sums FIR[q] W[u + q - 1].
    """
    outputs, inputs = weight.shape[:2]
    planes = functional.pad(weight.reshape(-1, 1, 3, 3), [3, 3, 3, 3])
    spread = functional.conv2d(planes, (fir * 4).flip([0, 1])[None, None])  # (O I, 1, 6, 6): G from u = -2
    phases = [spread[:, 0, a::2, b::2].flip([1, 2]) for a in (0, 1) for b in (0, 1)]  # taps by falling k
    folded = torch.stack(phases, dim=1).reshape(outputs, inputs, 4, 3, 3)
    return folded.transpose(1, 2).reshape(outputs * 4, inputs, 3, 3)
