# SPDX-License-Identifier: MIT
"""A folder exported from StelaBou's files is played by the command line: random weights, real containers."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from skimage import data

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")
pytest.importorskip("onnx", reason="onnx is not installed: the player does without it")

from checkpoint_files import W_DIM, as_tensors, encoder_state, rosinality_state  # noqa: E402
from method_files import deca_state  # noqa: E402

from engines import open_engine  # noqa: E402
from face.alignment import aligned_crop  # noqa: E402
from face.deca_parameters import (  # noqa: E402
    JAW,
    POSE,
    deca_names,
    deca_picture,
    is_deca,
    jaw_of_full_score,
)
from face.errors import ModelUnavailable, PuppetError  # noqa: E402
from face.frame import Frame  # noqa: E402
from face.motion import BLENDSHAPE_INDEX, Motion  # noqa: E402
from face.motion_vector import motion_of, resting_vector  # noqa: E402
from methods.directions.deca import DecaNumbers, encoded, open_deca_numbers  # noqa: E402
from methods.directions.puppet import Learned, open_directions  # noqa: E402
from methods.model import LiveModel, open_model  # noqa: E402
from methods.portrait import open_portrait  # noqa: E402
from realtime.cli import main  # noqa: E402
from realtime.sinks.file import FileSink  # noqa: E402
from realtime.sources import open_source  # noqa: E402

PIXELS, ROWS, W_ROWS, COUNT = 64, 4, 10, 15
TILTS = (0, 0, 6, 12, 18, 24)  # degrees, of the driver's head in six frames
NOSE = (225.0, 150.0)  # pixels, in the astronaut's picture
MOVED = 25.0  # grey levels, mean over the picture, that the largest shift makes; 39 were measured
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
    plainly = DecaNumbers.delta

    def delta(*arguments: Any) -> np.ndarray:
        asked.append(plainly(*arguments))
        return asked[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DecaNumbers, "delta", delta)
        places = [str(photo), str(tilting), str(tmp_path / "out.mp4")]
        played = ["--method", "directions", "--model", str(plain), "--engine", "openvino", "--no-audio"]
        assert main(["render", *places, *played]) == 0
    said = capsys.readouterr().err.splitlines()
    assert sum("its expression does not: that needs DECA" in line for line in said) == 1
    images = _film(tmp_path / "out.mp4")
    assert len(images) == len(TILTS) == len(asked) and {image.shape for image in images} == {
        (PIXELS, PIXELS, 3)
    }

    model = _model(plain)
    code = encoded(photo, model, open_deca_numbers(model, engine="onnx", threads=1)).w_plus[None]
    with open_engine(plain / "live", backend="onnx") as engine:  # float32 on every processor
        *drawn, still = (
            engine.run(identity=code, delta=one[None])["image"][0] for one in (*asked, 0 * asked[0])
        )
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
        plainly = DecaNumbers.delta

        def delta(self: DecaNumbers, motion: Motion, source: np.ndarray) -> np.ndarray:
            read.append(motion.crop_source is not None)
            return plainly(self, motion, source)

        patch.setattr(DecaNumbers, "delta", delta)
        assert main(["render", *places, "--method", "directions", "--model", str(whole), "--no-audio"]) == 0
    assert "head, jaw and expression follow the driver" in capsys.readouterr().err
    assert sum(read) == len(TILTS), "every frame in which a face was seen had its picture"


def test_a_portrait_is_what_their_encoder_makes_of_their_crop(plain: Path, photo: Path) -> None:
    model = _model(plain)
    identity = encoded(photo, model, open_deca_numbers(model, engine="onnx", threads=1))
    assert identity.w_plus.shape == (W_ROWS, W_DIM) and identity.model == model.key
    puppet = open_directions(photo, longest=256, learned=Learned(plain, "onnx"))
    still = puppet(_driver())
    puppet.close()
    with open_engine(plain / "live", backend="onnx") as engine:
        drawn = engine.run(identity=identity.w_plus[None], delta=np.zeros((1, COUNT), np.float32))["image"][0]
    assert np.array_equal(still, drawn)


def test_angles_are_the_drivers_with_decas_signs_and_scales(plain: Path) -> None:
    numbers = open_deca_numbers(_model(plain), engine="onnx", threads=1)
    source = np.zeros(COUNT, np.float32)
    delta = numbers.delta(_driver(turn=(10, -5, 4), jawOpen=0.5), source)
    assert delta[:3] == pytest.approx([-10 * 6 / 40, 5 * 6 / 20, -4 * 6 / 20], rel=1e-5)
    assert delta[JAW] == pytest.approx(0.5 * jaw_of_full_score() * 39.1528, rel=1e-4)
    assert not delta[len(POSE) :].any() and not numbers.expressive
    absolute = numbers.delta(_driver(turn=(10, 0, 0), relative=False), source + 3)
    assert absolute[0] == pytest.approx((-10 - 3) * 6 / 40, rel=1e-5)
    assert np.abs(numbers.delta(_driver(turn=(80, 80, 80)), source)).max() <= 6 + 1e-4


def test_expressions_are_decas_of_driver_less_portrait(whole: Path) -> None:
    image = data.astronaut()
    landmarks = open_portrait(image, longest=512).landmarks
    crop = aligned_crop(image, landmarks)
    seen = replace(_driver(), landmarks=landmarks, crop_source=lambda: crop.image)
    in_crop = landmarks[:, :2] @ crop.to_crop[:, :2].T + crop.to_crop[:, 2]
    with open_engine(whole / "tracker", backend="onnx") as engine:
        read = engine.run(image=deca_picture(crop.image, in_crop))
    numbers = open_deca_numbers(_model(whole), engine="onnx", threads=1)
    portrait = numbers.of_portrait(_driver(relative=False), crop.image, in_crop)
    assert portrait[len(POSE) :] == pytest.approx(read["expression"][0, : COUNT - len(POSE)], abs=1e-4)
    assert portrait[JAW] == pytest.approx(read["pose"][0, 3], abs=1e-5)
    assert np.abs(numbers.delta(seen, portrait)).max() < 1e-2, "the portrait itself drives: nothing changes"
    apart = portrait.copy()
    for index in SLOPES:
        apart[index] -= 0.1
    delta = numbers.delta(replace(seen, confidence=1.0), apart)
    model = _model(whole)
    for index, slope in SLOPES.items():
        low, high = model.ranges[index]
        reached = np.clip(portrait[index], min(low, apart[index]), max(high, apart[index]))
        assert delta[index] == pytest.approx((reached - apart[index]) * slope, rel=1e-2, abs=1e-3)
    unseen = numbers.delta(replace(seen, crop_source=None, confidence=0.0), apart)
    assert not unseen[JAW:].any(), "nobody is there: the portrait's own"
    numbers.close()


def test_key_stands_for_the_weights_that_draw(
    files: dict[str, Path], plain: Path, whole: Path, tmp_path: Path
) -> None:
    index = json.loads((plain / "model.json").read_text())
    assert index["parameters"] == list(deca_names(COUNT)) and len(index["ranges"]) == COUNT
    assert _model(plain).key == _model(whole).key
    torch.manual_seed(9)
    _write_matrix(tmp_path / "other.pt", COUNT)
    other = _export(files, tmp_path / "other", matrix=tmp_path / "other.pt")
    assert _model(other).key != _model(plain).key


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
            open_directions(portrait, longest=256, learned=Learned(model, "onnx"))
        assert said in str(raised.value) and "\n" not in str(raised.value)
    with pytest.raises(ModelUnavailable, match="not described as expected"):
        index = json.loads((bare / "model.json").read_text())
        (bare / "model.json").write_text(json.dumps({**index, "scales": [1.0]}))
        _model(bare)
