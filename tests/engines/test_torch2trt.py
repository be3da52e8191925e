# SPDX-License-Identifier: MIT
"""torch2trt is refused where it cannot work, with the reason, and called as its authors document.

Not executed: there is no GPU, and a stand-in has the library's name."""

import importlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")

from engines import torch2trt_engine
from face.errors import EngineUnavailable


def install(monkeypatch: pytest.MonkeyPatch, **versions: str | None) -> None:
    for name in ("tensorrt", "torch2trt"):
        version = versions.get(name)
        module = None if version is None else SimpleNamespace(__version__=version)
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.parametrize(
    ("versions", "said"),
    [
        ({}, "needs tensorrt .*pip install 'tensorrt<11'"),
        ({"tensorrt": "11.4.0", "torch2trt": "0.5.0"}, "TensorRT 10 and older, found 11.4.0"),
        ({"tensorrt": "10.9.0"}, "needs torch2trt .*in git alone"),
        ({"tensorrt": "10.9.0", "torch2trt": "0.5.0"}, "torch .*(CUDA|GPU)"),
    ],
)
def test_each_thing_missing_is_said_in_turn(
    versions: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "torch2trt" in versions and versions["tensorrt"].startswith("10") and torch.cuda.is_available():
        pytest.skip("there is a GPU here: nothing is missing")
    install(monkeypatch, **versions)
    with pytest.raises(EngineUnavailable, match=said) as raised:
        torch2trt_engine.check()
    assert "\n" not in str(raised.value)


def test_nothing_of_it_is_imported_before_it_is_asked_for() -> None:
    module: ModuleType = importlib.reload(torch2trt_engine)
    assert "torch2trt" not in sys.modules and "tensorrt" not in vars(module)


def test_conversion_gets_the_network_and_one_example_an_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engines.networks.directions import Directions, DirectionsConfig
    from engines.networks.store import save_network

    save_network(Directions(DirectionsConfig(5, 2, 8)), tmp_path / "directions.safetensors")
    seen: list[object] = []

    class Opened(Exception):
        pass

    def convert(network: object, inputs: list["torch.Tensor"]) -> object:
        seen.extend([type(network).__name__, [tuple(x.shape) for x in inputs]])
        raise Opened

    install(monkeypatch, tensorrt="10.9.0")
    monkeypatch.setitem(sys.modules, "torch2trt", SimpleNamespace(torch2trt=convert))
    monkeypatch.setattr(torch2trt_engine, "why_no_cuda", lambda: "")
    monkeypatch.setattr(torch2trt_engine, "TorchDevice", lambda: SimpleNamespace(name="fake"))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "fake")
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, device: self)
    monkeypatch.setattr(torch2trt_engine, "_example", lambda spec: torch.zeros(spec.shape))
    with pytest.raises(Opened):
        torch2trt_engine.open_artefact(tmp_path / "directions.safetensors", 1)
    assert seen == ["Directions", [(1, 5)]]
