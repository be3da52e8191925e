# SPDX-License-Identifier: MIT
"""Whole methods once more, in float64, from the public names, formulated otherwise; faults on request."""

import encoder_reference
import numpy as np
import torch
from encoder_reference import Layers, pyramid_rows
from stylegan_reference import Faults, Generator
from torch.nn import functional

Array = np.ndarray
Tensor = torch.Tensor


# ---- ReStyle


def pooled(image: Array, size: int = 256) -> Array:
    """Each pixel the mean of the window that adaptive pooling gives it; window by window."""
    n, c, source, _ = image.shape
    starts = [i * source // size for i in range(size)]
    ends = [-(-(i + 1) * source // size) for i in range(size)]
    rows = np.stack([image[:, :, a:b].mean(axis=2) for a, b in zip(starts, ends, strict=True)], axis=2)
    return np.stack([rows[..., a:b].mean(axis=3) for a, b in zip(starts, ends, strict=True)], axis=3)


def restyle(
    encoder: dict[str, Array],
    decoder: dict[str, Array],
    mean: Array,
    image: Tensor,
    *,
    head: str,
    progressive: bool,
    iterations: int,
    fault: str = "",
) -> Array:
    """The published loop."""
    generator = Generator(decoder, "rosinality")
    faults = Faults(noise_off=fault == "noise off")
    rows = np.broadcast_to(mean, (generator_rows(decoder), mean.shape[-1]))
    w = np.repeat(rows[None].astype(np.float64), len(image), axis=0)
    seen = w[:, ::-1] if fault == "mean's rows turned round" else w
    picture = pooled(generator.image(seen, faults))
    if fault == "first picture black":
        picture = picture * 0
    if fault == "latent_avg missing":
        w = w * 0
    start = w
    given = image.double().numpy()
    given = given[:, ::-1] if fault == "BGR" else given
    for step in range(iterations - (fault == "one step fewer")):
        if step:
            picture = pooled(generator.image(w, faults))
        if fault == "clamped":
            picture = picture.clip(-1, 1)
        pair = [picture, given] if fault == "pictures swapped" else [given, picture]
        both = torch.from_numpy(np.ascontiguousarray(np.concatenate(pair, axis=1)))
        change = encode(encoder, both, head, progressive=progressive != (fault == "progressive")).numpy()
        w = (start if fault == "not residual" else w) + change
    return w


def generator_rows(decoder: dict[str, Array]) -> int:
    return 2 + 2 * _count(decoder, "to_rgbs.", ".upsample.kernel")


def encode(state: dict[str, Array], x: Tensor, head: str, *, progressive: bool) -> Tensor:
    """Any of ReStyle's encoders."""
    net = Layers({name: torch.from_numpy(np.asarray(v)) for name, v in state.items()}, "")
    if head == "pyramid" and "input_layer.0.weight" in state:
        return encoder_reference.run(net.state, x, head, progressive=progressive)
    levels = _plain_levels(net, x) if "conv1.weight" in state else _levels(net, x)
    if head == "pyramid":
        rows = pyramid_rows(net, levels)
    else:
        rows = [last_row(net, levels[16], row) for row in range(_count(state, "styles.", ".linear.bias"))]
    return torch.stack([rows[0], *(r + (rows[0] if progressive else 0) for r in rows[1:])], dim=1)


def _count(state: dict[str, Array], prefix: str, suffix: str) -> int:
    return len([name for name in state if name.startswith(prefix) and name.endswith(suffix)])


def _levels(net: Layers, x: Tensor) -> dict[int, Tensor]:
    x = net.prelu(net.norm(net.conv(x.double(), "input_layer.0"), "input_layer.1"), "input_layer.2")
    for index in range(_count(net.state, "body.", ".res_layer.1.weight")):
        x = net.unit(x, index)
    return {x.shape[-1]: x}


def _plain_levels(net: Layers, x: Tensor) -> dict[int, Tensor]:
    x = functional.conv2d(x.double(), net.state["conv1.weight"], stride=2, padding=3)
    x = net.prelu(net.norm(x, "bn1"), "relu")
    levels = {}
    for index in range(_count(net.state, "body.", ".bn2.bias")):
        name = f"body.{index}"
        shrinks = f"{name}.downsample.0.weight" in net.state
        y = net.norm(net.conv(x, f"{name}.conv1", 2 if shrinks else 1), f"{name}.bn1").clamp(min=0)
        y = net.norm(net.conv(y, f"{name}.conv2"), f"{name}.bn2")
        if shrinks:
            x = net.norm(net.conv(x[:, :, ::2, ::2], f"{name}.downsample.0"), f"{name}.downsample.1")
        x = (x + y).clamp(min=0)
        levels[x.shape[-1]] = x
    return levels


def last_row(net: Layers, y: Tensor, row: int) -> Tensor:
    for layer in range(0, 8, 2):
        y = functional.leaky_relu(net.conv(y, f"styles.{row}.convs.{layer}", 2), 0.01)
    return net.dense(y.flatten(1), f"styles.{row}.linear")


# ---- the other methods


def motion(state: dict[str, Array], identity: Array, driver: Array, *, fault: str = "") -> Array:
    """w by sums over rows: out[o] = sum over identity's and motion's numbers, one after the other."""
    weight, bias = (state[f"linear_relu.0.{part}"].astype(np.float64) for part in ("weight", "bias"))
    first, second = (driver, identity) if fault == "identity and motion swapped" else (identity, driver)
    if fault == "rows last":
        first, second = first.transpose(0, 2, 1), second.transpose(0, 2, 1)
    half = weight.shape[1] // 2
    n = len(identity)
    w = np.einsum("oi,ni->no", weight[:, :half], first.reshape(n, -1).astype(np.float64))
    w = w + np.einsum("oi,ni->no", weight[:, half:], second.reshape(n, -1).astype(np.float64))
    w = w if fault == "bias dropped" else w + bias
    w = np.maximum(w, 0) if fault == "activated" else w
    return w.reshape(identity.shape)


def _windows(x: Tensor, size: int, stride: int) -> Tensor:
    """(N, C, H, W, size * size), as the strided windows of a picture."""
    return x.unfold(2, size, stride).unfold(3, size, stride).flatten(4)


def landmarks(state: dict[str, Array], difference: Array, *, fault: str = "") -> Array:
    prefix = "landmark_encoder.landmark_encoder."
    net = Layers({n[len(prefix) :]: torch.from_numpy(np.asarray(v)) for n, v in state.items()}, "")
    x = torch.from_numpy(np.ascontiguousarray(difference)).double()
    x = x.flip(1) if fault == "BGR" else -x if fault == "portrait less driver" else x
    slope = 0.2 if fault == "slope" else 0.01
    for index in range(8):
        x = net.norm(net.conv(x, str(4 * index)), str(4 * index + 1))
        x = torch.where(x < 0, slope * x, x)
        if index < 7:
            windows = _windows(x, 2, 2)
            x = windows.mean(dim=4) if fault == "mean pooling" else windows.amax(dim=4)
    y = x.flatten(1) @ net.state["32.weight"].T + net.state["32.bias"]
    y = net.norm(y[:, :, None, None], "33")[:, :, 0, 0]
    y = torch.where(y < 0, slope * y, y) @ net.state["35.weight"].T
    y = y if fault == "bias dropped" else y + net.state["35.bias"]
    return y.reshape(len(y), -1, 512).numpy()


def masked(
    state: dict[str, Array], channels: tuple[int, ...], source: Array, target: Array, *, fault: str = ""
) -> Array:
    """m * target + (1 - m) * source."""
    if fault == "source and target swapped":
        source, target = target, source
    out, start = [], 0
    for index, size in enumerate(channels):
        part = slice(start, start + size)
        difference = (source[:, part] - target[:, part]).astype(np.float64)
        difference = -difference if fault == "difference turned round" else difference
        layer = [
            state[f"network_{index:02d}.masknet.{name}"].astype(np.float64)
            for name in ("0.weight", "0.bias", "2.weight", "2.bias")
        ]
        bias = 0 if fault == "bias dropped" else layer[3]
        mask = 1 / (1 + np.exp(-(np.maximum(difference @ layer[0].T + layer[1], 0) @ layer[2].T + bias)))
        out.append(mask * target[:, part] + (1 - mask) * source[:, part])
        start += size
    return np.concatenate(out, axis=1)


def deca(state: dict[str, Array], image: Array, *, fault: str = "") -> Array:
    """The 236 parameters."""
    net = Layers({name: torch.from_numpy(np.asarray(v)) for name, v in state.items()}, "")
    x = torch.from_numpy(np.ascontiguousarray(image)).double()
    x = x.flip(1) if fault == "BGR" else x * 2 - 1 if fault == "range of -1 to 1" else x
    x = functional.conv2d(x, net.state["encoder.conv1.weight"], stride=2, padding=3)
    x = net.norm(x, "encoder.bn1").clamp(min=0)
    edge = -1e9 if fault != "mean pooling" else 0.0
    windows = _windows(functional.pad(x, (1, 1, 1, 1), value=edge), 3, 2)
    x = windows.mean(dim=4) if fault == "mean pooling" else windows.amax(dim=4)
    for stage in range(1, 5):
        for unit in range(_count(state, f"encoder.layer{stage}.", ".conv1.weight")):
            x = _bottleneck(net, x, f"encoder.layer{stage}.{unit}", 2 if stage > 1 and not unit else 1, fault)
    y = x.flatten(2).mean(dim=2) @ net.state["layers.0.weight"].T + net.state["layers.0.bias"]
    y = y if fault == "not activated" else y.clamp(min=0)
    y = y @ net.state["layers.2.weight"].T
    return (y if fault == "bias dropped" else y + net.state["layers.2.bias"]).numpy()


def _bottleneck(net: Layers, x: Tensor, name: str, stride: int, fault: str) -> Tensor:
    # The stride is on the 3x3 convolution; the older form of this network has it on the first 1x1.
    first, second = (stride, 1) if fault == "stride on the first" else (1, stride)
    y = net.norm(net.conv(x, f"{name}.conv1", first), f"{name}.bn1").clamp(min=0)
    y = net.norm(net.conv(y, f"{name}.conv2", second), f"{name}.bn2").clamp(min=0)
    y = net.norm(net.conv(y, f"{name}.conv3"), f"{name}.bn3")
    if f"{name}.downsample.0.weight" in net.state:
        x = net.norm(net.conv(x, f"{name}.downsample.0", stride), f"{name}.downsample.1")
    return (x + y).clamp(min=0)
