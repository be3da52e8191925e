# SPDX-License-Identifier: MIT
"""Styles, their tables and StyleMask come out as published: each channel where the tables say it is."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")

import method_reference
from checkpoint_files import (
    W_DIM,
    as_tensors,
    channels_of,
    nvlabs_state,
    rosinality_state,
    write_nvlabs,
)
from method_files import mask_state, save
from stylegan_reference import Faults, Generator

from engines import open_engine
from engines.networks.store import load_network, save_network
from engines.networks.stylegan2 import Synthesis
from engines.networks.stylemask import StyleMask
from engines.networks.stylespace import StyleOffsets, StyleOffsetsConfig, layout_of, split_at_styles
from export import export_checkpoint
from export.checkpoints.identify import import_checkpoint
from export.checkpoints.stylespace import CHANNELS, MOVING, PUBLISHED, REGIONS
from export.model_export import export_model
from export.onnx_export import save_graph
from export.style_parts import style_parts
from export.verify import verify_graph
from face.errors import BadCheckpoint, WrongUse

TOLERANCE = 1e-5
IMAGE_TOLERANCE = 1e-4
TELLING = 100
ROWS = 8
W = np.random.default_rng(9).standard_normal((2, ROWS, W_DIM)).astype(np.float32) * 1.5
SIZES = [512] * 15 + [256] * 3 + [128] * 3 + [64] * 3 + [32] * 2  # of the public tables


def test_the_layout_at_1024_pixels_is_that_of_the_tables() -> None:
    layout = layout_of(CHANNELS)
    assert [layer.channels for layer in layout.layers] == SIZES
    assert layout.size == 9088
    assert len(layout.convolutions()) == 6048
    rows = [0, 1, 1, 2, 3, 3, 4, 5, 5, 6, 7, 7, 8, 9, 9, 10, 11, 11, 12, 13, 13, 14, 15, 15, 16, 17]
    assert [layer.row for layer in layout.layers] == rows
    assert [n for n, layer in enumerate(layout.layers) if layer.is_image] == [1, *range(4, 26, 3)]
    assert layout.layers[6].name == "b16.conv1"  # whose channel 501 smiles
    assert layout.index(6, 501) == 6 * 512 + 501


def test_index_and_place_are_each_others_inverse() -> None:
    layout = layout_of((16, 16, 8, 4))
    places = [layout.place(index) for index in range(layout.size)]
    assert len(set(places)) == layout.size
    assert [layout.index(*place) for place in places] == list(range(layout.size))
    for wrong in ((0, 16), (99, 0), (-1, 0), (0, -1)):
        with pytest.raises(ValueError, match="is none of"):
            layout.index(*wrong)
    with pytest.raises(ValueError, match="is none of"):
        layout.place(layout.size)


# ---- W+ to styles to image


def imported(folder: Path, layout: str) -> tuple[Synthesis, Generator]:
    """A generator of either layout as it is imported, and its slow twin."""
    if layout == "nvlabs":
        write_nvlabs(folder / "g.pkl", nvlabs_state())
        network = import_checkpoint(folder / "g.pkl").networks["generator"]
        twin = Generator(nvlabs_state(), layout)
    else:
        state = {"g_ema": as_tensors(rosinality_state()), "latent_avg": torch.zeros(W_DIM)}
        network = import_checkpoint(save(folder / "g.pt", state)).networks["generator"]
        twin = Generator(rosinality_state(), layout)
    assert isinstance(network, Synthesis)
    return network.eval(), twin


def names_of(layout: str, count: int) -> list[str]:
    """The generator's modules in the order of the tables, by the names of the file."""
    names = ["synthesis.b4.conv1", "synthesis.b4.torgb"] if layout == "nvlabs" else ["conv1", "to_rgb1"]
    for j in range(count):
        block = f"synthesis.b{8 << j}"
        names += (
            [f"{block}.conv0", f"{block}.conv1", f"{block}.torgb"]
            if layout == "nvlabs"
            else [f"convs.{2 * j}", f"convs.{2 * j + 1}", f"to_rgbs.{j}"]
        )
    return names


def styles_by_hand(twin: Generator, w: np.ndarray) -> np.ndarray:
    """Each layer's affine of the row that the generator's formula reads."""
    parts = []
    for number, name in enumerate(names_of(twin.layout, 3)):
        block, place = divmod(number - 2, 3) if number > 1 else (0, number - 1)
        row = number if number < 2 else 2 * block + 1 + place
        parts.append(np.stack([twin._style(one[row].astype(np.float64), name, Faults())[1] for one in w]))
    return np.concatenate(parts, axis=1)


@pytest.mark.parametrize("layout", ["nvlabs", "rosinality"])
def test_a_generator_is_the_same_in_two_at_its_styles(tmp_path: Path, layout: str) -> None:
    generator, twin = imported(tmp_path, layout)
    parts = dict(zip(("styles", "style_generator"), split_at_styles(generator), strict=True))
    for role, network in parts.items():
        save_graph(network, tmp_path / f"{role}.onnx")
        verify_graph(network, tmp_path / f"{role}.onnx")
    with open_engine(tmp_path / "styles.onnx", backend="onnx") as engine:
        style = engine.run(w=W)["style"]
    expected = styles_by_hand(twin, W)
    np.testing.assert_allclose(style, expected, atol=TOLERANCE * np.abs(expected).max(), rtol=0)
    with open_engine(tmp_path / "style_generator.onnx", backend="onnx") as engine:
        image = engine.run(style=style)["image"]
    np.testing.assert_allclose(image, twin.image(W), atol=IMAGE_TOLERANCE, rtol=0)


def test_both_halves_of_a_generator_are_stored_and_read_again(tmp_path: Path) -> None:
    generator, _ = imported(tmp_path, "rosinality")
    with torch.no_grad():
        whole = generator(torch.tensor(W))
        x = torch.tensor(W)
        for number, half in enumerate(split_at_styles(generator)):
            save_network(half, tmp_path / f"{number}.safetensors")
            x = load_network(tmp_path / f"{number}.safetensors", type(half)).eval()(x)
    assert torch.equal(x, whole)


def test_changing_one_channel_changes_that_layer_alone(tmp_path: Path) -> None:
    generator, twin = imported(tmp_path, "rosinality")
    styles, rest = split_at_styles(generator)
    layer, channel = 6, 3
    name = names_of("rosinality", 3)[layer]
    plain = twin._style

    def moved(w: np.ndarray, of: str, faults: Faults) -> tuple[np.ndarray, np.ndarray]:
        weight, style = plain(w, of, faults)
        return weight, style + (2.0 * (np.arange(len(style)) == channel) if of == name else 0)

    twin._style = moved  # type: ignore[method-assign]
    with torch.no_grad():
        style = styles(torch.tensor(W))
        style[:, styles.layout.index(layer, channel)] += 2.0
        image = rest(style).numpy()
        unmoved = generator(torch.tensor(W)).numpy()
    np.testing.assert_allclose(image, twin.image(W), atol=IMAGE_TOLERANCE, rtol=0)
    assert np.abs(image - unmoved).max() > TELLING * IMAGE_TOLERANCE


# ---- tables


def table(draw: Any) -> list[np.ndarray]:
    return [draw(size).astype(np.float32) for size in SIZES]


RNG = np.random.default_rng(2)
MEAN, SPREAD = table(RNG.standard_normal), table(lambda size: RNG.uniform(0.1, 3, size))


def write(path: Path, root: Any, protocol: int = 3) -> Path:
    path.write_bytes(pickle.dumps(root, protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_the_published_controls_move_their_channel_by_its_spread(tmp_path: Path, protocol: int) -> None:
    export_checkpoint(write(tmp_path / "S_mean_std", [MEAN, SPREAD], protocol), tmp_path / "model")
    alpha = RNG.standard_normal((2, len(PUBLISHED))).astype(np.float32)
    with open_engine(tmp_path / "model" / "offsets", backend="onnx") as engine:
        offset = engine.run(alpha=alpha)["offset"]
    expected = [np.zeros((2, size)) for size in SIZES]
    for number, (layer, channel) in enumerate(PUBLISHED.values()):
        expected[layer][:, channel] += alpha[:, number] * SPREAD[layer][channel]
    np.testing.assert_allclose(offset, np.concatenate(expected, axis=1), atol=TOLERANCE, rtol=0)
    smile = np.zeros_like(alpha)
    smile[:, list(PUBLISHED).index("smile")] = 1
    with open_engine(tmp_path / "model" / "offsets", backend="onnx") as engine:
        moved = np.nonzero(engine.run(alpha=smile)["offset"][0])[0]
    assert moved.tolist() == [6 * 512 + 501]


def offsets(path: Path) -> StyleOffsets:
    network = import_checkpoint(path).networks["offsets"]
    assert isinstance(network, StyleOffsets)
    return network


def layer_names() -> list[str]:
    """As the authors' graph names its layers."""
    return [
        f"G_synthesis_1/{4 << max(0, (number + 1) // 3)}x/{'ToRGB' if number % 3 == 1 else 'Conv'}/add:0"
        for number in range(len(SIZES))
    ]


def test_sampled_styles_give_the_same_controls(tmp_path: Path) -> None:
    samples = [RNG.standard_normal((40, size)).astype(np.float32) for size in SIZES]
    network = offsets(write(tmp_path / "S", [layer_names(), samples]))
    wanted = [samples[layer][:, channel].astype(np.float64).std() for layer, channel in PUBLISHED.values()]
    np.testing.assert_allclose(network.scale.numpy(), wanted, rtol=TOLERANCE)


def test_regions_give_their_most_telling_channels(tmp_path: Path) -> None:
    shares = [RNG.uniform(0, 0.5, (size, len(REGIONS))) for size in SIZES]
    best = {"mouth": (7, 11), "eye": (12, 500), "eyebrow": (3, 0)}
    for region, (layer, channel) in best.items():
        shares[layer][channel, REGIONS.index(region)] = 0.9
    network = offsets(write(tmp_path / "semantic_top_32", shares, 4))
    config = network.config
    controls = dict(zip(config.names, zip(config.layers, config.channels, strict=True), strict=True))
    assert len(controls) == sum(MOVING.values()) == 32
    for region, place in best.items():
        assert controls[f"{region}_0"] == place
    for name, (layer, channel) in controls.items():
        column = np.concatenate([part[:, REGIONS.index(name.rpartition("_")[0])] for part in shares])
        rank = int((column > shares[layer][channel, REGIONS.index(name.rpartition("_")[0])]).sum())
        assert rank == int(name.rpartition("_")[2])


@pytest.mark.parametrize(
    ("root", "said"),
    [
        ([MEAN[:-1], SPREAD[:-1]], "25 layers"),
        ([MEAN, SPREAD[:20]], "20 layers"),
        ([MEAN, [part[:-1] for part in SPREAD]], "9062"),
        ([MEAN, [-part for part in SPREAD]], "below 0"),
        ([MEAN, [part * np.float32("nan") for part in SPREAD]], "finite"),
        ([MEAN, [part.astype(np.int64) for part in SPREAD]], "finite"),
        ([layer_names()[::-1], [np.ones((3, size), np.float32) for size in SIZES]], "stands where"),
        ([layer_names(), [np.ones((1, size), np.float32) for size in SIZES]], "at least 2"),
        ([np.ones((size, 11)) for size in SIZES[:14]], "14 layers"),
        ([np.ones((size, 12)) for size in SIZES], "it holds one list"),
        ([1, 2], "it holds one list"),
        ([[], []], "it holds one list"),
    ],
)
def test_table_of_something_else_is_refused(tmp_path: Path, root: Any, said: str) -> None:
    with pytest.raises(BadCheckpoint, match=said) as raised:
        import_checkpoint(write(tmp_path / "S_mean_std", root))
    assert "\n" not in str(raised.value)


def test_a_table_beside_its_generator_brings_the_way_from_w_to_styles(tmp_path: Path) -> None:
    path = write(tmp_path / "S_mean_std", [MEAN, SPREAD])
    state = {"g_ema": as_tensors(rosinality_state()), "latent_avg": torch.zeros(W_DIM)}
    with pytest.raises(WrongUse, match="26 layers and 9088 channels do not fit"):
        export_model(path, tmp_path / "model", others=[save(tmp_path / "g.pt", state)])
    generator = import_checkpoint(tmp_path / "g.pt").networks["generator"]
    sizes = tuple(layer.channels for layer in layout_of(tuple(channels_of(32))).layers)
    fits = StyleOffsets(StyleOffsetsConfig(sizes, ("smile",), (6,), (3,)))
    assert set(style_parts({"generator": generator, "offsets": fits})) == {"styles"}
    assert style_parts({"offsets": fits}) == style_parts({"generator": generator}) == {}


# ---- StyleMask

# Of the convolutions of a generator of 32 pixels, the first five.
MASKED = (16, 16, 16, 16, 8)
PSI = 0.7
CENTRE = np.random.default_rng(4).standard_normal((1, W_DIM)).astype(np.float32)


def mask_file(**more: Any) -> dict[str, Any]:
    return {"step": 9, "mask_net": as_tensors(mask_state(MASKED)), "num_layers_control": 5, **more}


@pytest.fixture(scope="module", params=[False, True], ids=["zip", "older"])
def mask(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mask")
    path = save(folder / "mask_network_1024.pt", mask_file(), old=request.param)
    export_checkpoint(path, folder / "model")
    return folder / "model"


def both_styles() -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(7)
    source, target = draw.standard_normal((2, 3, sum(MASKED))).astype(np.float32) * 2
    return source, target


def run_mask(folder: Path, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    with open_engine(folder / "mask", backend="onnx") as engine:
        return engine.run(source=source, target=target)["style"]


def test_the_mask_mixes_styles_as_published(mask: Path) -> None:
    source, target = both_styles()
    style = run_mask(mask, source, target)
    wanted = method_reference.masked(mask_state(MASKED), MASKED, source, target)
    np.testing.assert_allclose(style, wanted, atol=TOLERANCE * np.abs(wanted).max(), rtol=0)


@pytest.mark.parametrize("fault", ["source and target swapped", "difference turned round", "bias dropped"])
def test_the_mask_is_no_near_miss(mask: Path, fault: str) -> None:
    source, target = both_styles()
    wrong = method_reference.masked(mask_state(MASKED), MASKED, source, target, fault=fault)
    assert np.abs(run_mask(mask, source, target) - wrong).max() > TELLING * TOLERANCE * 10


def reenacted_by_hand(twin: Generator, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The authors' procedure in float64: masked convolutions, later ones and ToImage from the portrait."""
    plain, names = twin._style, names_of("rosinality", 3)
    convolutions = [name for number, name in enumerate(names) if number % 3 != 1]
    rows = {name: row for name, row in zip(names, [0, 1, 1, 2, 3, 3, 4, 5, 5, 6, 7], strict=True)}
    images = []
    for one, other in zip(source.astype(np.float64), target.astype(np.float64), strict=True):
        mine, theirs = (
            np.concatenate([plain(w[rows[n]], n, Faults())[1] for n in convolutions[:5]])
            for w in (one, other)
        )
        mixed = method_reference.masked(mask_state(MASKED), MASKED, mine[None], theirs[None])[0]
        given = dict(zip(convolutions, np.split(mixed, np.cumsum(MASKED)), strict=False))

        def style(
            w: np.ndarray, name: str, faults: Faults, given: dict[str, np.ndarray] = given
        ) -> tuple[np.ndarray, np.ndarray]:
            weight, own = plain(w, name, faults)
            return weight, given.get(name, own) if name in convolutions[:5] else own

        twin._style = style  # type: ignore[method-assign]
        images.append(twin.image(one[None])[0])
        twin._style = plain  # type: ignore[method-assign]
    return np.stack(images)


def truncated(w: np.ndarray) -> np.ndarray:
    return CENTRE + PSI * (w - CENTRE)


def test_a_whole_reenactment_by_masks_gives_the_published_image(tmp_path: Path) -> None:
    generator, twin = imported(tmp_path, "rosinality")
    styles, rest = split_at_styles(generator)
    network = import_checkpoint(save(tmp_path / "mask.pt", mask_file())).networks["mask"]
    assert isinstance(network, StyleMask)
    controlled = styles.layout.convolutions(5)
    portrait, driver = W[:1], W[1:]
    with torch.no_grad():
        source, target = (styles(torch.tensor(truncated(w), dtype=torch.float32)) for w in (portrait, driver))
        result = source.clone()
        result[:, controlled] = network.eval()(source[:, controlled], target[:, controlled])
        image = rest(result).numpy()
    wanted = reenacted_by_hand(twin, truncated(portrait), truncated(driver))
    np.testing.assert_allclose(image, wanted, atol=IMAGE_TOLERANCE, rtol=0)
    for wrong in (
        reenacted_by_hand(twin, portrait, driver),  # not truncated
        reenacted_by_hand(twin, truncated(driver), truncated(portrait)),  # swapped
        twin.image(truncated(portrait)),  # not masked
    ):
        assert np.abs(image - wrong).max() > TELLING * IMAGE_TOLERANCE


def test_masks_beside_their_generator_bring_it_in_two(tmp_path: Path) -> None:
    state = {"g_ema": as_tensors(rosinality_state()), "latent_avg": torch.from_numpy(CENTRE[0])}
    generator = save(tmp_path / "g.pt", state)
    report = export_model(generator, tmp_path / "model", others=[save(tmp_path / "mask.pt", mask_file())])
    assert set(report.graphs) == {"generator", "mapping", "mask", "styles", "style_generator"}
    with open_engine(tmp_path / "model" / "styles", backend="onnx") as engine:
        style = engine.run(w=W)["style"]
    with open_engine(tmp_path / "model" / "style_generator", backend="onnx") as engine:
        image = engine.run(style=style)["image"]
    twin = Generator(rosinality_state(), "rosinality")
    np.testing.assert_allclose(image, twin.image(W), atol=IMAGE_TOLERANCE, rtol=0)
    other = mask_file(mask_net=as_tensors(mask_state((16, 16, 12))), num_layers_control=3)
    with pytest.raises(WrongUse, match="masks of 3 layers and 44 channels do not fit"):
        export_model(generator, tmp_path / "other", others=[save(tmp_path / "mask.pt", other)])


def test_channels_of_the_generator_are_those_the_mask_is_made_for() -> None:
    layout = layout_of(tuple(channels_of(32)))
    assert [layer.channels for layer in layout.layers if not layer.is_image][:5] == list(MASKED)


@pytest.mark.parametrize(
    ("more", "spoil", "said"),
    [
        ({"num_layers_control": 4}, {}, "num_layers_control"),
        ({"num_layers_control": "5"}, {}, "num_layers_control"),
        ({"gate": 1}, {}, "'gate'"),
        ({}, {"network_01.masknet.2.bias": None}, "network_01.masknet.2.bias"),
        ({}, {"network_02.masknet.0.weight": None}, "num_layers_control|network_0"),
        ({}, {"network_01.masknet.4.weight": torch.zeros(2)}, "masknet.4.weight"),
        ({}, {"network_01.masknet.0.weight": torch.zeros(1024, 16)}, "does not fit"),
        ({}, {"network_05.gate": torch.zeros(2)}, "network_05.gate"),
    ],
)
def test_mask_file_that_does_not_fit_is_named(
    tmp_path: Path, more: dict[str, Any], spoil: dict[str, Any], said: str
) -> None:
    saved = mask_file(**more)
    for name, value in spoil.items():
        saved["mask_net"].pop(name, None)
        if value is not None:
            saved["mask_net"][name] = value
    with pytest.raises(BadCheckpoint, match=said) as raised:
        import_checkpoint(save(tmp_path / "mask.pt", saved))
    assert "\n" not in str(raised.value)
