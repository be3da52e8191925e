# SPDX-License-Identifier: MIT
"""A new method is its folder and one line of the registry: this one then plays in every command."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from methods.registry import METHODS
from realtime.cli import main
from realtime.offline.builtin import portrait_path, write_driver
from realtime.sources import open_source

FILES = {
    "__init__": '''
"""A method that tints the portrait as far as the driver's jaw is open."""
from methods.method import Method, Opening, Puppet
from methods.subject import Subject


def _open(subject: Subject, opening: Opening) -> Puppet:
    from toy_method.puppet import ToyPuppet

    return ToyPuppet(subject, opening)


METHOD = Method(
    name="toy", summary="tints the portrait", paper="", licence="MIT", reads="jawOpen, the driver's picture",
    networks=False, generates=False, open=_open,
)
''',
    "motion": '''
"""Motion to the one number that moves it."""


def redness(motion):
    return motion.blendshape("jawOpen")
''',
    "puppet": '''
"""The portrait, redder as the jaw opens."""
import cv2
import numpy as np
from methods.method import Rest
from methods.portrait import open_portrait
from toy_method.motion import redness


class ToyPuppet:
    reads_frame = True

    def __init__(self, subject, opening):
        size = {"longest": opening.longest, "whole": opening.whole_photo}
        portrait = open_portrait(subject.image, subject.name, **size)
        self.portrait, self.size = portrait.image, portrait.image.shape[1::-1]
        self.rest = Rest(np.zeros(3, np.float32), portrait.blendshapes)
        self.frames = 0

    def __call__(self, motion, frame=None):
        assert frame is None or frame.image.ndim == 3
        self.frames += frame is not None
        image = self.portrait.copy()
        image[..., 1:] = image[..., 1:] * (1 - min(redness(motion), 1.0))
        image[:8, :8] = (0, 255, 0) if frame is not None else (255, 0, 0)
        return image

    def refined(self, motions, *, on_frame=None):
        return self

    def close(self):
        pass
''',
    "train": '''
"""Nothing is learned; its recipe says so."""


def main(arguments=None):
    print("toy needs no training", arguments)
''',
}
SMALL = ("--method", "toy", "--portrait-size", "128", "--whole-photo", "--json")


@pytest.fixture(autouse=True)
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder = tmp_path / "packages" / "toy_method"
    folder.mkdir(parents=True)
    for name, text in FILES.items():
        (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(folder.parent))
    monkeypatch.setitem(METHODS, "toy", "toy_method")
    for variable in ("XDG_CONFIG_HOME", "APPDATA", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "toy_method"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_driver(path, seconds=1.0)
    return path


def last(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    values = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert isinstance(values, dict)
    return values


def test_it_renders_and_is_given_the_drivers_pictures(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.mp4"
    assert main(["render", str(portrait_path()), str(clip), str(out), *SMALL]) == 0
    assert last(capsys)["frames"] == 30
    with open_source(str(out), live=False) as source:
        images = [frame.image for frame in source]
    corner = np.array([image[1:6, 1:6].reshape(-1, 3).mean(0) for image in images])
    assert (corner[:, 1] > 180).all() and (corner[:, 0] < 90).all(), "every frame had its picture"
    green = [float(image[40:, :, 1].mean()) for image in images]
    assert min(green) < 0.97 * max(green), "the driver's jaw tints it"


@pytest.mark.parametrize("command", ["run", "web"])
def test_it_plays_live(command: str, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = tmp_path / "kept.mp4"
    driver = ("--camera", str(clip), "--loop", "--seconds", "1", "--port", "0")
    assert (
        main([command, str(portrait_path()), *driver, "--sink", "null", "--record", str(record), *SMALL]) == 0
    )
    assert int(str(last(capsys)["delivered"])) > 0
    with open_source(str(record), live=False) as source:
        image = next(iter(source)).image
    still = cv2.resize(cv2.imread(str(portrait_path()))[..., ::-1], image.shape[1::-1])
    assert float(np.abs(image[16:].astype(int) - still[16:]).mean()) < 40, "the portrait, tinted or not"


def test_it_is_measured(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(clip), "--seconds", "1", "--warmup", "0.2", *SMALL]) == 0
    assert last(capsys)["method"] == "toy"


def test_what_it_cannot_be_told_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--method", "toy", "--engine", "onnx", "--sink", "null"]) == 2
    assert "method toy runs no network" in capsys.readouterr().err
    assert main(["run", "--method", "tey", "--sink", "null"]) == 2
    assert "expected one of mesh, directions, toy" in capsys.readouterr().err
