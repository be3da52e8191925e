# SPDX-License-Identifier: MIT
"""Writes small checkpoints of whole methods in their public layouts, every term of them random."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from checkpoint_files import (
    ENCODER_WIDTHS,
    STYLE_DIM,
    Array,
    Drawn,
    as_tensors,
    encoder_state,
    rosinality_state,
)

RESNET_DEPTHS = (1, 2, 1, 2)
DECA_WIDTHS, DECA_DEPTHS, DECA_HIDDEN = (4, 6, 8, 10), (1, 2, 1, 1), 12
DECA_OUTPUTS = 236
LANDMARK_CHANNELS, LANDMARK_HIDDEN, LANDMARK_ROWS = (3, 4, 5, 6, 7, 8, 9, 10), 11, 3


class Writer:
    """Random layers under dotted names."""

    def __init__(self, seed: int) -> None:
        self.draw = Drawn(seed)
        self.state: dict[str, Array] = {}

    def conv(self, name: str, outputs: int, inputs: int, size: int, *, bias: bool = False) -> None:
        scale = 1.4 / math.sqrt(inputs * size**2)
        self.state[f"{name}.weight"] = self.draw(outputs, inputs, size, size, scale=scale)
        if bias:
            self.state[f"{name}.bias"] = self.draw(outputs, scale=0.3)

    def linear(self, name: str, outputs: int, inputs: int, *, scale: float | None = None) -> None:
        self.state[f"{name}.weight"] = self.draw(outputs, inputs, scale=scale or 1.4 / math.sqrt(inputs))
        self.state[f"{name}.bias"] = self.draw(outputs, scale=0.5)

    def norm(self, name: str, width: int) -> None:
        self.state[f"{name}.weight"] = self.draw(width, scale=0.2, centre=1)
        self.state[f"{name}.bias"] = self.draw(width, scale=0.3)
        self.state[f"{name}.running_mean"] = self.draw(width, scale=0.3)
        self.state[f"{name}.running_var"] = np.exp(self.draw(width, scale=0.3))
        self.state[f"{name}.num_batches_tracked"] = np.array(7, np.int64)


def restyle_encoder_state(head: str, backbone: str, rows: int, *, seed: int = 0) -> dict[str, Array]:
    """An encoder of two pictures by ReStyle's names; head last or pyramid."""
    state = encoder_state("pyramid", rows, seed=seed)
    writer = Writer(seed + 100)
    if backbone == "ir_se":
        writer.conv("input_layer.0", ENCODER_WIDTHS[0], 6, 3)
    else:
        state = {name: value for name, value in state.items() if name.startswith(("styles.", "latlayer"))}
        _resnet34(writer)
    state.update(writer.state)
    if head == "last":
        state = {name: value for name, value in state.items() if not name.startswith(("styles.", "latlayer"))}
        styles = Writer(seed + 200)
        for row in range(rows):
            for layer in range(4):
                inputs = STYLE_DIM if layer else ENCODER_WIDTHS[-1]
                styles.conv(f"styles.{row}.convs.{2 * layer}", STYLE_DIM, inputs, 3, bias=True)
            styles.linear(f"styles.{row}.linear", STYLE_DIM, STYLE_DIM, scale=1)
        state.update(styles.state)
    return state


def _resnet34(writer: Writer) -> None:
    """ReStyle's other backbone; its stem's activation is called relu and is a PReLU."""
    width = ENCODER_WIDTHS[0]
    writer.conv("conv1", width, 6, 7)
    writer.norm("bn1", width)
    writer.state["relu.weight"] = writer.draw(width, scale=0.1, centre=0.25)
    index = 0
    for stage, (outputs, depth) in enumerate(zip(ENCODER_WIDTHS, RESNET_DEPTHS, strict=True)):
        for unit in range(depth):
            name = f"body.{index}"
            writer.conv(f"{name}.conv1", outputs, width, 3)
            writer.norm(f"{name}.bn1", outputs)
            writer.conv(f"{name}.conv2", outputs, outputs, 3)
            writer.norm(f"{name}.bn2", outputs)
            if stage and not unit:
                writer.conv(f"{name}.downsample.0", outputs, width, 1)
                writer.norm(f"{name}.downsample.1", outputs)
            width, index = outputs, index + 1


def joined(**parts: dict[str, Array]) -> dict[str, torch.Tensor]:
    """One state dict of several, each under its name."""
    return {
        f"{part}.{name}": value for part, state in parts.items() for name, value in as_tensors(state).items()
    }


def motion_files(rows: int, *, seed: int = 0) -> dict[str, dict[str, Array]]:
    """Encoder, map and decoder of Jahoda and Cech."""
    writer = Writer(seed)
    size = rows * STYLE_DIM
    writer.linear("linear_relu.0", size, 2 * size)
    return {
        "encoder": encoder_state("flat", rows, seed=seed + 1),
        "mapping_net": writer.state,
        "decoder": rosinality_state(seed=seed + 2),
    }


def landmark_state(*, seed: int = 0) -> dict[str, Array]:
    """The landmark mapping network, narrower, giving fewer rows."""
    writer = Writer(seed)
    prefix = "landmark_encoder.landmark_encoder"
    inputs = 3
    for index, outputs in enumerate(LANDMARK_CHANNELS):
        writer.conv(f"{prefix}.{4 * index}", outputs, inputs, 3 if index else 5, bias=True)
        writer.norm(f"{prefix}.{4 * index + 1}", outputs)
        inputs = outputs
    writer.linear(f"{prefix}.32", LANDMARK_HIDDEN, inputs * 16)
    writer.norm(f"{prefix}.33", LANDMARK_HIDDEN)
    writer.linear(f"{prefix}.35", LANDMARK_ROWS * 512, LANDMARK_HIDDEN)
    return writer.state


def mask_state(channels: tuple[int, ...], *, seed: int = 0) -> dict[str, Array]:
    writer = Writer(seed)
    for index, size in enumerate(channels):
        writer.linear(f"network_{index:02d}.masknet.0", size, size)
        writer.linear(f"network_{index:02d}.masknet.2", size, size)
    return writer.state


def deca_state(*, seed: int = 0) -> dict[str, Array]:
    """DECA's regressor, narrower and shallower."""
    writer = Writer(seed)
    width = DECA_WIDTHS[0]
    writer.conv("encoder.conv1", width, 3, 7)
    writer.norm("encoder.bn1", width)
    for stage, (inner, depth) in enumerate(zip(DECA_WIDTHS, DECA_DEPTHS, strict=True)):
        for unit in range(depth):
            name = f"encoder.layer{stage + 1}.{unit}"
            for part, (outputs, inputs, size) in enumerate(
                ((inner, width, 1), (inner, inner, 3), (4 * inner, inner, 1)), start=1
            ):
                writer.conv(f"{name}.conv{part}", outputs, inputs, size)
                writer.norm(f"{name}.bn{part}", outputs)
            if not unit:
                writer.conv(f"{name}.downsample.0", 4 * inner, width, 1)
                writer.norm(f"{name}.downsample.1", 4 * inner)
            width = 4 * inner
    writer.linear("layers.0", DECA_HIDDEN, width)
    writer.linear("layers.2", DECA_OUTPUTS, DECA_HIDDEN)
    return writer.state


def save(path: Path, saved: Any, *, old: bool = False) -> Path:
    """torch.save as it is, or as it was before torch 1.6."""
    torch.save(saved, path, _use_new_zipfile_serialization=not old)
    return path
