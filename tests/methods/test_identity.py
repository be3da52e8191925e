# SPDX-License-Identifier: MIT
"""An identity comes back from its folder as it was: colours, matte and numbers."""

from pathlib import Path

import cv2
import numpy as np

from methods.identity import THUMBNAIL, Identity, read_identity, write_identity


def test_an_identity_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    photo = rng.integers(0, 256, (40, 30, 3), np.uint8)
    photo[..., 0] = 200  # more red than blue
    photo[..., 2] = 20
    identity = Identity(
        name="Käthe.jpg",
        model="a" * 64,
        size=64,
        w_plus=rng.standard_normal((4, 8)).astype(np.float32),
        p_source=rng.standard_normal(15).astype(np.float32),
        portrait=photo,
        alpha=rng.random((40, 30)).astype(np.float32),
        landmarks=rng.standard_normal((478, 3)).astype(np.float32),
        blendshapes=rng.random(52).astype(np.float32),
        live=None,
    )
    write_identity(
        tmp_path, identity, quad=np.zeros((4, 2)), portrait_sha256="b", model={"key": "a" * 64}, facts={}
    )
    found = read_identity(tmp_path)
    assert np.array_equal(found.portrait, photo)
    assert np.abs(found.alpha - identity.alpha).max() <= 0.5 / 255 + 1e-6
    for name in ("w_plus", "p_source", "landmarks", "blendshapes"):
        assert np.array_equal(getattr(found, name), getattr(identity, name))
    assert (found.name, found.model, found.size, found.live) == ("Käthe.jpg", "a" * 64, 64, None)
    blue, _, red = cv2.imread(str(tmp_path / THUMBNAIL)).reshape(-1, 3).mean(0)
    assert red > 150 > 80 > blue
