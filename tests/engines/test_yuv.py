# SPDX-License-Identifier: MIT
"""The device's NV12 and I420 are the standard's, laid out as cameras read them."""

from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")

from reference_networks import to_yuv_reference

from engines.networks.yuv import ToYuv

TIE = 1  # grey level: a sum that falls between two levels may go to either in another precision
LAYOUTS = ("nv12", "i420")
SIZE = 16


def picture(seed: int = 0) -> "torch.Tensor":
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, 3, SIZE, SIZE, generator=generator) * 2.6 - 1.3  # some beyond the range


def distance(a: "torch.Tensor", b: "torch.Tensor") -> int:
    return int((a.int() - b.int()).abs().max())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_conversion_agrees_with_its_twin(layout: str) -> None:
    fast, slow = ToYuv(SIZE, layout)(picture()), to_yuv_reference(picture(), layout)
    assert fast.shape == slow.shape == (1, SIZE * 3 // 2, SIZE) and fast.dtype == torch.uint8
    assert distance(fast, slow) <= TIE
    other = to_yuv_reference(picture(), LAYOUTS[1 - LAYOUTS.index(layout)])
    assert distance(fast, other) > 20  # the layouts are told apart


@pytest.mark.parametrize(
    ("name", "rgb", "yuv"),
    [
        ("black", (0, 0, 0), (16, 128, 128)),
        ("white", (1, 1, 1), (235, 128, 128)),
        ("red", (1, 0, 0), (81, 90, 240)),
        ("green", (0, 1, 0), (145, 54, 34)),
        ("blue", (0, 0, 1), (41, 240, 110)),
    ],
)
def test_pure_colours_have_the_values_of_colour_bars(
    name: str, rgb: tuple[int, ...], yuv: tuple[int, ...]
) -> None:
    image = (torch.tensor(rgb, dtype=torch.float32) * 2 - 1)[None, :, None, None].expand(1, 3, 4, 4)
    packed = ToYuv(4)(image)[0]
    assert packed[:4].unique().tolist() == [yuv[0]], name
    assert packed[4:, 0::2].unique().tolist() == [yuv[1]], name
    assert packed[4:, 1::2].unique().tolist() == [yuv[2]], name


def test_opencv_reads_back_the_colours_that_went_in() -> None:
    blocks = np.random.default_rng(2).integers(0, 256, (SIZE // 2, SIZE // 2, 3), dtype=np.uint8)
    rgb = blocks.repeat(2, axis=0).repeat(2, axis=1)  # one colour in 2 x 2 pixels: nothing is lost to chroma
    image = torch.from_numpy(rgb).permute(2, 0, 1)[None] / 127.5 - 1
    i420, nv12 = (ToYuv(SIZE, layout)(image)[0].numpy() for layout in ("i420", "nv12"))
    theirs = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420)
    assert np.abs(i420.astype(int) - theirs).max() <= TIE
    back = cv2.cvtColor(nv12, cv2.COLOR_YUV2RGB_NV12)
    assert np.abs(back.astype(int) - rgb).max() <= 3  # 8 bits there and back, chroma spread by 2
    full_range = rgb @ np.array([0.299, 0.587, 0.114])
    assert np.abs(i420[:SIZE] - full_range).max() > 10  # the other range would have been noticed


@pytest.mark.parametrize("layout", LAYOUTS)
def test_conversion_becomes_a_graph_at_the_end_of_a_network(layout: str, tmp_path: Path) -> None:
    ort = pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    from export.tape import record

    network = ToYuv(SIZE, layout).eval()
    onnx.save_model(record(network, network.inputs, network.outputs, title="yuv"), tmp_path / "yuv.onnx")
    session = ort.InferenceSession(str(tmp_path / "yuv.onnx"), providers=["CPUExecutionProvider"])
    (packed,) = session.run(None, {"image": picture().numpy()})
    assert packed.dtype == np.uint8
    assert distance(torch.from_numpy(packed), network(picture())) <= TIE


def test_sizes_that_chroma_cannot_halve_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 4"):
        ToYuv(18)
