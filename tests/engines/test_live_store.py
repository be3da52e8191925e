# SPDX-License-Identifier: MIT
"""A live network comes back from its weight file drawing the same picture, for every method and engine."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")

from engines import open_engine
from engines.networks.directions import Directions, DirectionsConfig
from engines.networks.live import LiveConfig, MappedLive, ShiftLive, StyleLive
from engines.networks.live_store import load_runnable, save_live
from engines.networks.motion_mapping import MotionHalf, MotionHalfConfig
from engines.networks.store import save_network
from engines.networks.stylegan2 import Synthesis, SynthesisConfig
from engines.networks.stylespace import StyleOffsets, StyleOffsetsConfig, split_at_styles
from face.errors import ModelUnavailable

CONFIG = SynthesisConfig(resolution=16, channels=(8, 6, 4), w_dim=16, conv_clamp=256.0)


def shift(**changes: Any) -> ShiftLive:
    torch.manual_seed(3)
    config = LiveConfig(**changes)
    centre = torch.randn(16) if config.psi != 1 else None
    return ShiftLive(Synthesis(CONFIG), Directions(DirectionsConfig(5, 4, 16)), config, centre)


def ready(live: Any) -> Any:
    return live.eval().requires_grad_(False)


def given(live: Any) -> list["torch.Tensor"]:
    generator = torch.Generator().manual_seed(5)
    return [torch.randn(spec.shape, generator=generator) for spec in live.inputs]


@pytest.mark.parametrize("live", [shift(), shift(psi=0.7), shift(limit=0.5)], ids=["plain", "psi", "limit"])
def test_live_network_comes_back_drawing_the_same(live: ShiftLive, tmp_path: Path) -> None:
    save_live(ready(live), tmp_path / "live.safetensors", notes={"licence": "own"})
    again = load_runnable(tmp_path / "live.safetensors")
    assert again.config == live.config and again.inputs == live.inputs and again.outputs == live.outputs
    assert torch.equal(again(*given(live)), live(*given(live)))


def mapped() -> MappedLive:
    torch.manual_seed(4)
    return MappedLive(Synthesis(CONFIG), MotionHalf(MotionHalfConfig(CONFIG.num_ws, 16)), LiveConfig(), None)


def styled() -> StyleLive:
    torch.manual_seed(4)
    _, synthesis = split_at_styles(Synthesis(CONFIG))
    table = StyleOffsetsConfig(
        tuple(layer.channels for layer in synthesis.layout.layers), ("jaw", "smile"), (0, 2), (1, 3)
    )
    return StyleLive(synthesis, StyleOffsets(table), LiveConfig())


@pytest.mark.parametrize("make", [mapped, styled])
def test_the_other_joins_come_back_as_well(make: Callable[[], Any], tmp_path: Path) -> None:
    live = ready(make())
    save_live(live, tmp_path / "live.safetensors")
    again = load_runnable(tmp_path / "live.safetensors")
    assert type(again) is type(live) and torch.equal(again(*given(live)), live(*given(live)))


def test_engines_of_torch_draw_what_the_graph_draws(tmp_path: Path) -> None:
    from export.onnx_export import save_graph

    live = ready(shift(psi=0.8))
    save_live(live, tmp_path / "live.safetensors")
    save_graph(live, tmp_path / "live.onnx")
    arrays = {spec.name: value.numpy() for spec, value in zip(live.inputs, given(live), strict=True)}
    images = {}
    for backend in ("torch", "onnx"):
        with open_engine(tmp_path / "live", backend=backend) as engine:
            images[backend] = engine.run(**arrays)["image"].astype(int)
    assert np.abs(images["torch"] - images["onnx"]).max() <= 1


def test_half_precision_is_near_and_only_where_it_was_asked_for(tmp_path: Path) -> None:
    live = ready(shift())
    save_live(live, tmp_path / "live.safetensors")
    exact, half = (
        load_runnable(tmp_path / "live.safetensors"),
        load_runnable(tmp_path / "live.safetensors", half=True),
    )
    assert exact.picture.synthesis.half_above == CONFIG.resolution > half.picture.synthesis.half_above
    difference = (half(*given(live)).int() - exact(*given(live)).int()).abs()
    assert 0 < int(difference.max()) <= 6 and float(difference.float().mean()) < 1


def test_single_networks_are_read_as_ever(tmp_path: Path) -> None:
    network = Directions(DirectionsConfig(5, 2, 16))
    save_network(network, tmp_path / "directions.safetensors")
    assert load_runnable(tmp_path / "directions.safetensors").config == network.config


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda h: h.update(kind="live-dream"), "live-dream"),
        (lambda h: h.update(config="{}"), "live"),
        (lambda h: h.update(config=h["config"].replace('"psi": 1.0', '"psi": 0.5')), "centre"),
        (lambda h: h.update(config=h["config"].replace('"parameters": 5', '"parameters": 6')), "linear"),
        (lambda h: h.update(config=h["config"].replace('"stylegan2-synthesis"', '"none"')), "none"),
    ],
)
def test_file_that_contradicts_itself_is_one_line(tmp_path: Path, change: Any, said: str) -> None:
    path = tmp_path / "live.safetensors"
    save_live(ready(shift()), path)
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    change(header["__metadata__"])
    raw = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + data[8 + size :])
    with pytest.raises(ModelUnavailable, match=said) as raised:
        load_runnable(path)
    assert "\n" not in str(raised.value)
