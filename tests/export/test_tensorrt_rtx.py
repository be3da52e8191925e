# SPDX-License-Identifier: MIT
"""TensorRT-RTX takes every live graph for each GPU generation, without a GPU; a refusal is one line."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")
onnx = pytest.importorskip("onnx", reason="onnx is not installed: the player does without it")

from live_graphs import directions_live
from small_live import latents, small_alias_free, small_centre, small_directions, small_synthesis
from test_live_graph import small_offsets

from engines.cache import EngineCache
from engines.networks.face_embedding import FaceEmbedding
from engines.networks.feature_encoder import FeatureEncoder, FeatureEncoderConfig
from engines.networks.half import half_generator
from engines.networks.stylegan2 import Synthesis, SynthesisConfig
from export import tensorrt_rtx
from export.live_graph import generator_of, live_of
from export.onnx_export import save_graph
from export.quantise import quantise_graph
from export.tensorrt_rtx import CAPABILITIES, MODULE, BuiltEngine, build_engines
from face.errors import EngineUnavailable, ModelUnavailable, PuppetError, WrongUse

needs_library = pytest.mark.usefixtures("library")
BETWEEN_PX = (32, 32, 24, 20, 16)  # 64 px: sizes between the lowest and the largest, for int8


@pytest.fixture(scope="session")
def library() -> None:
    pytest.importorskip(
        MODULE, reason=f"{MODULE} is not installed: graphs are not built ahead of time", exc_type=ImportError
    )


@dataclass(frozen=True)
class Built:
    folder: Path
    engines: tuple[BuiltEngine, ...]
    told: list[tuple[str, float]]


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Every kind of live graph in every precision."""
    folder = tmp_path_factory.mktemp("graphs")
    live = directions_live(
        small_synthesis(channels=BETWEEN_PX), small_directions(), psi=0.7, centre=small_centre(), limit=6.0
    )
    styled = live_of({"generator": small_synthesis(), "offsets": small_offsets()})
    for name, each in (("shift", live), ("styled", styled)):
        save_graph(each.mover, folder / f"{name}.onnx")
    save_graph(live.generator, folder / "live.onnx")
    save_graph(half_generator(live.generator), folder / "live-fp16.onnx")
    save_graph(half_generator(styled.generator), folder / "styled-fp16.onnx")
    quantise_graph(folder / "live.onnx", folder / "live-int8.onnx", latents(live))
    torch.manual_seed(6)
    encoder = FeatureEncoder(FeatureEncoderConfig(rows=8)).attach(FaceEmbedding())
    save_graph(encoder, folder / "encoder.onnx")
    return sorted(folder.glob("*.onnx"))


@needs_library
def test_stylegan3_in_half_precision_builds(tmp_path: Path) -> None:
    save_graph(half_generator(generator_of(small_alias_free())), tmp_path / "live-fp16.onnx")
    (engine,) = build_engines([tmp_path / "live-fp16.onnx"], tmp_path, capabilities=("8.9",))
    assert engine.bytes > 100_000


@pytest.fixture(scope="module")
def built(library: None, graphs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder, told = tmp_path_factory.mktemp("engines"), []

    def tell(phase: str, share: float) -> bool:
        told.append((phase, share))
        return True

    cache = EngineCache(folder / "cache")
    return Built(folder, build_engines(graphs, folder, cache=cache, progress=tell), told)


def test_every_live_graph_builds_for_every_generation(built: Built, graphs: list[Path]) -> None:
    found = {(engine.graph, engine.compute_capability) for engine in built.engines}
    assert found == {(graph.name, each) for graph in graphs for each in ("8.6", "8.9", "12.0")}
    for engine in built.engines:
        assert engine.bytes > 10_000 and engine.seconds > 0


def test_engine_lies_beside_its_sidecar(built: Built) -> None:
    for engine in built.engines:
        content = (built.folder / engine.file).read_bytes()
        assert hashlib.sha256(content).hexdigest() == engine.sha256
        said = json.loads((built.folder / f"{engine.file}.json").read_text())
        assert (said["sha256"], said["bytes"]) == (engine.sha256, engine.bytes)
        assert said["key"]["compute_capability"] == engine.compute_capability
        assert said["key"]["backend"] == "tensorrt-rtx"


def test_players_cache_has_it_under_the_key_the_player_asks_for(built: Built, graphs: list[Path]) -> None:
    runner = pytest.importorskip("engines.tensorrt_rtx_engine", exc_type=ImportError)
    cache = EngineCache(built.folder / "cache")
    for graph in graphs:
        plan = cache.load(runner.engine_key(graph, (8, 9)))
        assert plan == (built.folder / f"{graph.stem}.sm89.engine").read_bytes()


def test_generations_get_different_engines(built: Built) -> None:
    assert len({e.sha256 for e in built.engines if e.graph == "live-fp16.onnx"}) == len(CAPABILITIES)


def test_progress_grows_to_one(built: Built) -> None:
    shares = [share for _, share in built.told]
    assert shares[0] < 0.1 and shares[-1] == 1.0
    assert len({phase for phase, _ in built.told}) == len(built.engines) + 1


@needs_library
def test_build_is_repeatable_to_the_byte(graphs: list[Path], tmp_path: Path, built: Built) -> None:
    (again,) = build_engines([graphs[0]], tmp_path, capabilities=["8.9"])
    assert again.sha256 in {engine.sha256 for engine in built.engines}


@needs_library
def test_build_can_be_stopped(graphs: list[Path], tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match="stopped"):
        build_engines(graphs[:1], tmp_path, progress=lambda phase, share: share < 0.1)
    assert list(tmp_path.iterdir()) == []


@needs_library
def test_unknown_generation_is_refused(graphs: list[Path], tmp_path: Path) -> None:
    with pytest.raises(PuppetError, match=r"9\.0"):
        build_engines(graphs[:1], tmp_path, capabilities=["9.0"])
    with pytest.raises(WrongUse, match="write it as 8.6"):
        build_engines(graphs[:1], tmp_path, capabilities=["sm86"])


@needs_library
def test_graph_it_cannot_build_is_named(tmp_path: Path) -> None:
    (tmp_path / "live.onnx").write_bytes(b"no graph")
    with pytest.raises((EngineUnavailable, ModelUnavailable), match="live.onnx"):
        build_engines([tmp_path / "live.onnx"], tmp_path, capabilities=["8.6"])
    network = Synthesis(SynthesisConfig(resolution=8, channels=(8, 8), w_dim=8)).eval()
    save_graph(network, tmp_path / "float.onnx")
    model = onnx.load(tmp_path / "float.onnx")
    image = model.graph.node[-1].output[0]  # an uint8 that is not the last node: TensorRT has none
    model.graph.node[-1].output[0] = "float"
    for operator, inputs, output in (("Cast", "float", "levels"), ("Identity", "levels", image)):
        node = onnx.helper.make_node(operator, [inputs], [output], name=output)
        if operator == "Cast":
            node.attribute.append(onnx.helper.make_attribute("to", onnx.TensorProto.UINT8))
        model.graph.node.append(node)
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    onnx.save(model, tmp_path / "middle.onnx")
    with pytest.raises((EngineUnavailable, ModelUnavailable), match=r"middle.onnx.*UINT8"):
        build_engines([tmp_path / "middle.onnx"], tmp_path, capabilities=["8.6"])


def test_missing_library_is_an_error_with_the_line_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(tensorrt_rtx, "import_module", missing)
    with pytest.raises(
        EngineUnavailable, match="pip install tensorrt-rtx-cu13-bindings tensorrt-rtx-cu13-libs"
    ):
        build_engines([tmp_path / "live.onnx"], tmp_path)
