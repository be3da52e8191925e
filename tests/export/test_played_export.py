# SPDX-License-Identifier: MIT
"""A folder exported from StelaBou's files is played by the command line: random weights, real containers."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from skimage import data

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")
pytest.importorskip("onnx", reason="onnx is not installed: the player does without it")

from checkpoint_files import W_DIM, as_tensors, encoder_state, rosinality_state
from method_files import deca_state

from engines import open_engine
from engines.base import Array
from face.alignment import aligned_crop
from face.arrays import Image
from face.deca_parameters import (
    JAW,
    POSE,
    deca_names,
    deca_picture,
    is_deca,
    jaw_of_full_score,
)
from face.errors import ModelUnavailable, PuppetError
from face.frame import Frame
from face.motion import BLENDSHAPE_INDEX, Motion
from face.motion_vector import motion_of, resting_vector
from methods.directions.deca import DecaNumbers, encoded, open_deca_numbers
from methods.directions.puppet import open_directions
from methods.method import Opening
from methods.model import LiveModel, open_model
from methods.portrait import open_portrait
from methods.subject import resolve
from realtime.cli import main
from realtime.sinks.file import FileSink
from realtime.sources import open_source

PIXELS, ROWS, W_ROWS, COUNT = 64, 4, 10, 15
NO_CROP = np.zeros((256, 256, 3), np.uint8), np.zeros((478, 3), np.float32)  # without DECA nobody looks
TILTS = (0, 0, 6, 12, 18, 24)  # degrees, of the driver's head in six frames
NOSE = (225.0, 150.0)  # pixels, in the astronaut's picture
MOVED = 20.0  # grey levels, mean over the picture, that the largest shift makes; 24 were measured
# Mean grey levels between two films of one shift, in any two precisions. H.264 decides otherwise where a few
# pixels are rounded otherwise; measured: 0 within float32, 5 with all of bfloat16's rounding.
FILM_TOLERANCE = 8.0
SLOPES = {4: 3.5811, 9: 4.6575, 14: 4.8196}  # 12 / (highest - lowest) of expressions 0, 5 and 10


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What a user of StelaBou's method has downloaded, and DECA's regressor."""
    folder = tmp_path_factory.mktemp("downloads")
    torch.manual_seed(4)
    state = as_tensors(rosinality_state(PIXELS))
    for name, tensor in state.items():
        if name.startswith("to_rgb") and name.endswith("conv.weight"):
            tensor.mul_(0.1)
    torch.save({"g_ema": state, "latent_avg": torch.randn(W_DIM)}, folder / "stylegan-voxceleb.pt")
    torch.save({"e": as_tensors(encoder_state("pyramid", W_ROWS))}, folder / "e4e-voxceleb.pt")
    torch.save(
        {"E_flame": as_tensors(deca_state()), "E_detail": {}, "D_detail": {}}, folder / "deca_model.tar"
    )
    _write_matrix(folder / "A_matrix.pt", COUNT)
    return {path.name: path for path in folder.iterdir()}


def _write_matrix(path: Path, count: int, **more: Any) -> None:
    matrix = {
        "linear.weight": 0.3 * torch.randn(ROWS * W_DIM, count),
        "linear.bias": torch.randn(ROWS * W_DIM),
    }
    written = {"A_matrix": matrix, "learned_directions": count, "shift_scale": 6.0, "w_plus": True}
    torch.save({**written, "num_layers_shift": ROWS, "shift_dim": W_DIM, **more}, path)


def _export(files: dict[str, Path], out: Path, *names: str, matrix: Path | None = None) -> Path:
    more = [part for name in ("stylegan-voxceleb.pt", *names) for part in ("--with", str(files[name]))]
    assert main(["export", str(matrix or files["A_matrix.pt"]), *more, "--out", str(out), "--live"]) == 0
    return out


@pytest.fixture(scope="module")
def plain(files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model folder without DECA."""
    return _export(files, tmp_path_factory.mktemp("models") / "plain", "e4e-voxceleb.pt")


@pytest.fixture(scope="module")
def whole(files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model folder with DECA."""
    out = tmp_path_factory.mktemp("models") / "whole"
    return _export(files, out, "e4e-voxceleb.pt", "deca_model.tar")


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "astronaut.png"
    cv2.imwrite(str(path), np.ascontiguousarray(data.astronaut()[..., ::-1]))
    return path


@pytest.fixture(scope="module")
def tilting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A driver who tilts the head: a real face, and angles far beyond what rounding could be taken for."""
    image = data.astronaut()
    path = tmp_path_factory.mktemp("clips") / "tilting.mp4"
    turns = (cv2.getRotationMatrix2D(NOSE, tilt, 1) for tilt in TILTS)
    with FileSink(path, fps=30, live=False) as sink:
        for index, turn in enumerate(turns):
            turned = cv2.warpAffine(image, turn, image.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
            sink(Frame(np.asarray(turned, np.uint8), 0.0, index, index / 30))
    return path


def _model(folder: Path) -> LiveModel:
    return open_model(folder, method="directions", names=(), also=is_deca)


def _driver(
    *, turn: tuple[float, float, float] = (0, 0, 0), relative: bool = True, **scores: float
) -> Motion:
    rest = motion_of(resting_vector(), (640, 480), captured_s=0.0)
    values = np.zeros(52, np.float32)
    for name, value in scores.items():
        values[BLENDSHAPE_INDEX[name]] = value
    turned = np.array(turn, np.float32)
    return replace(rest, rotation=turned, blendshapes=values, neutral=rest if relative else None)


def _film(path: Path) -> list[np.ndarray]:
    with open_source(str(path), live=False) as source:
        return [frame.image for frame in source]


def _written(images: list[np.ndarray], path: Path) -> list[np.ndarray]:
    """The pictures as a film keeps them: what compression does to one film it does to its like."""
    with FileSink(path, fps=30, live=False) as sink:
        for index, image in enumerate(images):
            sink(Frame(image, 0.0, index, index / 30))
    return _film(path)


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    """Mean difference in grey levels."""
    return float(cv2.absdiff(one, other).mean())


def test_an_exported_folder_renders_a_photo_by_a_clip(
    plain: Path,
    photo: Path,
    tilting: Path,
    tmp_path: Path,
    openvino_precision: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: list[np.ndarray] = []
    plainly = DecaNumbers.__call__

    def numbers(*arguments: Any) -> Mapping[str, Array]:
        read = plainly(*arguments)
        asked.append(read["delta"])
        return read

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DecaNumbers, "__call__", numbers)
        places = [str(photo), str(tilting), str(tmp_path / "out.mp4")]
        played = ["--method", "directions", "--model", str(plain), "--engine", "openvino", "--no-audio"]
        assert main(["render", *places, *played]) == 0
    said = capsys.readouterr().err.splitlines()
    assert sum("its expression does not: that needs DECA" in line for line in said) == 1
    images = _film(tmp_path / "out.mp4")
    assert len(images) == len(TILTS) == len(asked) and {image.shape for image in images} == {
        (PIXELS, PIXELS, 3)
    }

    (code,) = encoded(resolve(photo), _model(plain)).codes
    with (  # float32 on every processor
        open_engine(plain / "mover", backend="onnx") as mover,
        open_engine(plain / "generator_live", backend="onnx") as generator,
    ):
        moved = [mover.run(identity=code.w[None], delta=one) for one in (*asked, 0 * asked[0])]
        *drawn, still = (generator.run(**each)["image"][0] for each in moved)
    assert max(_apart(image, still) for image in drawn) > MOVED, "the driver asks for a visible shift"
    expected = _written(drawn, tmp_path / "expected.mp4")
    for image, wanted in zip(images, expected, strict=True):
        assert _apart(image, wanted) < FILM_TOLERANCE


def test_with_deca_expressions_follow_the_drivers_pictures(
    whole: Path, photo: Path, tilting: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = [str(photo), str(tilting), str(tmp_path / "out.mp4")]
    with pytest.MonkeyPatch.context() as patch:
        read: list[bool] = []
        plainly = DecaNumbers.__call__

        def numbers(self: DecaNumbers, motion: Motion, frame: Frame | None = None) -> Mapping[str, Array]:
            read.append(motion.seen is not None and frame is not None)
            return plainly(self, motion, frame)

        patch.setattr(DecaNumbers, "__call__", numbers)
        assert main(["render", *places, "--method", "directions", "--model", str(whole), "--no-audio"]) == 0
    assert "head, jaw and expression follow the driver" in capsys.readouterr().err
    assert sum(read) == len(TILTS), "every frame in which a face was seen had its picture"


def test_a_portrait_is_what_their_encoder_makes_of_their_crop(plain: Path, photo: Path) -> None:
    model = _model(plain)
    (code,) = encoded(resolve(photo), model).codes
    assert code.w.shape == (W_ROWS, W_DIM) and code.key == model.key
    puppet = open_directions(resolve(photo), Opening(256, plain, "onnx"))
    still = puppet(_driver())
    puppet.close()
    with open_engine(plain / "mover", backend="onnx") as mover:
        moved = mover.run(identity=code.w[None], delta=np.zeros((1, COUNT), np.float32))
    with open_engine(plain / "generator_live", backend="onnx") as generator:
        assert np.array_equal(still, generator.run(**moved)["image"][0])


def _numbers(model: LiveModel, portrait: Motion, crop: Image, landmarks: np.ndarray) -> DecaNumbers:
    return open_deca_numbers(model, portrait, crop, landmarks, engine="onnx", threads=1)


def test_angles_are_the_drivers_with_decas_signs_and_scales(plain: Path) -> None:
    def delta(motion: Motion, *, portrait: Motion) -> np.ndarray:
        return _numbers(_model(plain), portrait, *NO_CROP)(motion)["delta"][0]

    frontal = _driver(relative=False)
    moved = delta(_driver(turn=(10, -5, 4), jawOpen=0.5), portrait=frontal)
    assert moved[:3] == pytest.approx([-10 * 6 / 40, 5 * 6 / 20, -4 * 6 / 20], rel=1e-5)
    assert moved[JAW] == pytest.approx(0.5 * jaw_of_full_score() * 39.1528, rel=1e-4)
    assert not moved[len(POSE) :].any()
    numbers = _numbers(_model(plain), frontal, *NO_CROP)
    assert not numbers.reads_frame and not numbers.still["delta"].any()
    absolute = delta(_driver(turn=(10, 0, 0), relative=False), portrait=_driver(turn=(-3, 0, 0)))
    assert absolute[0] == pytest.approx((-10 - 3) * 6 / 40, rel=1e-5)
    assert np.abs(delta(_driver(turn=(80, 80, 80)), portrait=frontal)).max() <= 6 + 1e-4


def test_expressions_are_decas_of_driver_less_portrait(whole: Path) -> None:
    image = data.astronaut()
    landmarks = open_portrait(image, longest=512).landmarks
    crop = aligned_crop(image, landmarks)
    frame = Frame(image, 0.0, 0)
    seen = replace(_driver(), landmarks=landmarks, seen=landmarks)
    in_crop = landmarks[:, :2] @ crop.to_crop[:, :2].T + crop.to_crop[:, 2]
    with open_engine(whole / "tracker", backend="onnx") as engine:
        read = engine.run(image=deca_picture(crop.image, in_crop))
    model = _model(whole)
    numbers = _numbers(model, _driver(relative=False), crop.image, in_crop)
    portrait = numbers.source.copy()
    assert portrait[len(POSE) :] == pytest.approx(read["expression"][0, : COUNT - len(POSE)], abs=1e-4)
    assert portrait[JAW] == pytest.approx(read["pose"][0, 3], abs=1e-5)
    assert np.abs(numbers(seen, frame)["delta"]).max() < 1e-2, "the portrait itself drives it"
    for index in SLOPES:
        numbers.source[index] -= 0.1
    apart = numbers.source
    delta = numbers(replace(seen, confidence=1.0), frame)["delta"][0]
    for index, slope in SLOPES.items():
        low, high = model.ranges[index]
        reached = np.clip(portrait[index], min(low, apart[index]), max(high, apart[index]))
        assert delta[index] == pytest.approx((reached - apart[index]) * slope, rel=1e-2, abs=1e-3)
    unseen = numbers(replace(seen, seen=None, confidence=0.0), frame)["delta"][0]
    assert not unseen[JAW:].any(), "nobody is there: the portrait's own"
    numbers.close()


def test_key_stands_for_the_generator_that_draws(
    files: dict[str, Path], plain: Path, whole: Path, tmp_path: Path
) -> None:
    index = json.loads((plain / "model.json").read_text())
    assert index["parameters"] == list(deca_names(COUNT)) and len(index["ranges"]) == COUNT
    assert _model(plain).key == _model(whole).key
    torch.manual_seed(9)
    _write_matrix(tmp_path / "other.pt", COUNT)
    other = _export(files, tmp_path / "other", matrix=tmp_path / "other.pt")
    assert _model(other).key == _model(plain).key, "whatever moves it"
    state = torch.load(files["stylegan-voxceleb.pt"])
    state["g_ema"]["conv1.conv.weight"] += 1
    torch.save(state, tmp_path / "generator.pt")
    drawn = _export({**files, "stylegan-voxceleb.pt": tmp_path / "generator.pt"}, tmp_path / "drawn")
    assert _model(drawn).key != _model(plain).key


def test_what_cannot_be_played_is_one_line(
    files: dict[str, Path], photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _write_matrix(tmp_path / "A12.pt", 12)
    unnamed = _export(files, tmp_path / "unnamed", matrix=tmp_path / "A12.pt")
    bare = _export(files, tmp_path / "bare")
    capsys.readouterr()
    for model, portrait, said in (
        (unnamed, str(photo), "numbers without names"),
        (bare, str(photo), "has no encoder"),
        (bare, "seed:1", "no face found"),  # a random generator draws none
    ):
        with pytest.raises(PuppetError) as raised:
            open_directions(resolve(portrait), Opening(256, model, "onnx"))
        assert said in str(raised.value) and "\n" not in str(raised.value)
    with pytest.raises(ModelUnavailable, match="not described as expected"):
        index = json.loads((bare / "model.json").read_text())
        (bare / "model.json").write_text(json.dumps({**index, "scales": [1.0]}))
        _model(bare)
