# SPDX-License-Identifier: MIT
"""Generators and movers come back from their weight files making the same, for every method and engine."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")

from engines import open_engine
from engines.networks.directions import Directions, DirectionsConfig
from engines.networks.frozen import frozen
from engines.networks.half import load_runnable
from engines.networks.live import (
    LiveGenerator,
    LiveGeneratorConfig,
    MappedMover,
    MoverConfig,
    ShiftMover,
    StyleMover,
)
from engines.networks.motion_mapping import MotionHalfConfig
from engines.networks.store import save_network
from engines.networks.stylegan2 import Synthesis, SynthesisConfig
from engines.networks.stylespace import StyleOffsetsConfig, layout_of
from export.onnx_export import save_graph
from face.errors import ModelUnavailable

# Sums depend on where weights lie: a grey level here and there, the last bits of w.
ROUNDING = {"generator_live": 1, "mover": 1e-5}
CONFIG = SynthesisConfig(resolution=16, channels=(8, 6, 4), w_dim=16, conv_clamp=256.0)


def ready(network: Any) -> Any:
    return network.eval().requires_grad_(False)


def generator(*, styles: bool = False) -> LiveGenerator:
    torch.manual_seed(3)
    return ready(LiveGenerator(LiveGeneratorConfig("stylegan2-synthesis", CONFIG, styles)))


def shift(**changes: Any) -> ShiftMover:
    torch.manual_seed(4)
    mover = ShiftMover(MoverConfig("directions", DirectionsConfig(5, 4, 16), CONFIG.num_ws, **changes))
    if mover.centre is not None:
        mover.centre.normal_()
    return ready(mover)


def mapped() -> MappedMover:
    torch.manual_seed(4)
    mover = MappedMover(MoverConfig("motion-half", MotionHalfConfig(CONFIG.num_ws, 16), CONFIG.num_ws))
    mover.network.weight.data.normal_()
    return ready(mover)


def styled() -> StyleMover:
    channels = tuple(layer.channels for layer in layout_of(CONFIG.channels).layers)
    table = StyleOffsetsConfig(channels, ("jaw", "smile"), (0, 2), (1, 3))
    return ready(StyleMover(MoverConfig("style-offsets", table, CONFIG.num_ws, limit=0.5)))


NETWORKS = {
    "generator": generator(),
    "generator of styles": generator(styles=True),
    "shift": shift(),
    "shift, psi": shift(psi=0.7),
    "shift, limit": shift(limit=0.5),
    "mapped": mapped(),
    "styles": styled(),
}


def given(network: Any) -> list["torch.Tensor"]:
    source = torch.Generator().manual_seed(5)
    return [torch.randn(spec.shape, generator=source) for spec in network.inputs]


@pytest.mark.parametrize("name", NETWORKS)
def test_weight_file_gives_the_same_network(name: str, tmp_path: Path) -> None:
    network = NETWORKS[name]
    save_network(network, tmp_path / "network.safetensors", notes={"licence": "own"})
    again = load_runnable(tmp_path / "network.safetensors")
    assert type(again) is type(network) and again.config == network.config
    assert again.inputs == network.inputs and again.outputs == network.outputs
    state = again.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    found, wanted = again(*given(network)).float(), network(*given(network)).float()
    assert (found - wanted).abs().max() <= ROUNDING[network.role]


def test_what_a_config_says_reaches_the_result() -> None:
    results = [NETWORKS[name](*given(NETWORKS[name])) for name in ("shift", "shift, psi", "shift, limit")]
    for index, one in enumerate(results):
        assert all(not torch.allclose(one, other) for other in results[index + 1 :])


@pytest.mark.parametrize("styles", [False, True])
def test_engines_of_torch_draw_what_the_graph_draws(styles: bool, tmp_path: Path) -> None:
    network = generator(styles=styles)
    save_network(network, tmp_path / "generator_live.safetensors")
    save_graph(network, tmp_path / "generator_live.onnx")
    arrays = {spec.name: v.numpy() for spec, v in zip(network.inputs, given(network), strict=True)}
    images = {}
    for backend in ("torch", "onnx"):
        with open_engine(tmp_path / "generator_live", backend=backend) as engine:
            images[backend] = engine.run(**arrays)["image"].astype(int)
    assert np.abs(images["torch"] - images["onnx"]).max() <= 1
    assert images["onnx"].std() > 10


def test_frozen_generator_adds_offsets_to_the_same_styles() -> None:
    exact, w, offsets = generator(styles=True), *given(generator(styles=True))
    fast = frozen(generator(styles=True))
    pictures = [network(w, offsets).int() for network in (exact, fast)]
    assert (pictures[0] - pictures[1]).abs().max() <= 1
    assert (pictures[0] - exact(w, 0 * offsets).int()).abs().max() > 10


def test_half_precision_is_near_and_only_where_it_was_asked_for(tmp_path: Path) -> None:
    network = generator()
    save_network(network, tmp_path / "live.safetensors")
    exact, half = (
        load_runnable(tmp_path / "live.safetensors"),
        load_runnable(tmp_path / "live.safetensors", half=True),
    )
    assert exact.network.half_above == CONFIG.resolution > half.network.half_above
    difference = (half(*given(network)).int() - exact(*given(network)).int()).abs()
    assert 0 < int(difference.max()) <= 6 and float(difference.float().mean()) < 1


def test_single_networks_and_movers_stay_as_they_are_in_half_precision(tmp_path: Path) -> None:
    for network in (Directions(DirectionsConfig(5, 2, 16)), shift(), Synthesis(CONFIG)):
        save_network(network, tmp_path / "network.safetensors")
        again = load_runnable(tmp_path / "network.safetensors", half=True)
        assert type(again) is type(network) and again.config == network.config


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda h: h.update(kind="live-dream"), "live-dream"),
        (lambda h: h.update(config="{}"), "missing or unknown"),
        (lambda h: h.update(config=h["config"].replace('"psi": 1.0', '"psi": 0.5')), "centre"),
        (lambda h: h.update(config=h["config"].replace('"parameters": 5', '"parameters": 6')), "linear"),
        (lambda h: h.update(config=h["config"].replace('"kind": "directions"', '"kind": "none"')), "none"),
        (
            lambda h: h.update(config=h["config"].replace('"kind": "directions"', '"kind": "shift-mover"')),
            "kind 'shift-mover' inside",
        ),
    ],
)
def test_file_that_contradicts_itself_is_one_line(tmp_path: Path, change: Any, said: str) -> None:
    path = tmp_path / "mover.safetensors"
    save_network(shift(), path)
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    change(header["__metadata__"])
    raw = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + data[8 + size :])
    with pytest.raises(ModelUnavailable, match=said) as raised:
        load_runnable(path)
    assert "\n" not in str(raised.value)
