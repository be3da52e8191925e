# SPDX-License-Identifier: MIT
"""A photo arrives upright, as RGB, within bounds, whatever file it came in; or one line says why not."""

import io
import logging
import os
import random
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from face.errors import BadImage, PuppetError, WrongUse
from face.photo import LONGEST_SIDE, UPRIGHT, decode_photo, read_photo

WIDTH, HEIGHT = 96, 64
JPEG_TOLERANCE = 12  # grey levels; flat quarters at quality 95, away from their edges
NOBODY = 65534


def quarters() -> Pillow.Image:
    """Red, green over blue, grey: every turn and mirror of it differs from every other."""
    picture = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    picture[: HEIGHT // 2, : WIDTH // 2] = (220, 20, 20)
    picture[: HEIGHT // 2, WIDTH // 2 :] = (20, 200, 20)
    picture[HEIGHT // 2 :, : WIDTH // 2] = (20, 20, 220)
    picture[HEIGHT // 2 :, WIDTH // 2 :] = (120, 120, 120)
    return Pillow.fromarray(picture)


def corner(image: np.ndarray, y: float, x: float) -> list[int]:
    return [int(v) for v in image[int(y * image.shape[0]), int(x * image.shape[1])]]


def assert_quarters(image: np.ndarray, tolerance: int = JPEG_TOLERANCE) -> None:
    assert image.dtype == np.uint8 and image.flags.c_contiguous
    assert image.shape == (HEIGHT, WIDTH, 3)
    expected = np.asarray(quarters())
    for y, x in ((0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75)):
        assert corner(image, y, x) == pytest.approx(corner(expected, y, x), abs=tolerance)


@pytest.fixture
def no_rights(tmp_path: Path) -> Iterator[None]:
    """This process without the administrator's right to read everything."""
    if not hasattr(os, "geteuid"):
        pytest.skip("file permissions of this kind are not known here")
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "tif", "gif", "jp2", "ppm"])
def test_every_usual_format_is_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"photo.{suffix}"
    quality = {"quality": 95} if suffix in ("jpg", "webp") else {}
    quarters().save(path, **quality)
    assert_quarters(read_photo(path))


def test_the_name_s_ending_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    quarters().save(path, format="PNG")
    assert_quarters(read_photo(str(path)), tolerance=0)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(tmp_path: Path, orientation: int) -> None:
    undo = {6: Pillow.Transpose.ROTATE_90, 8: Pillow.Transpose.ROTATE_270}
    stored = quarters()
    if orientation in UPRIGHT:
        stored = stored.transpose(undo.get(orientation, UPRIGHT[orientation]))
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.jpg"
    stored.save(path, exif=exif, quality=95)
    assert_quarters(read_photo(path))


def test_orientation_6_means_turn_clockwise(tmp_path: Path) -> None:
    """Pinned apart: 6 is what a phone held upright writes; its stored picture lies on its left side."""
    exif = Pillow.Exif()
    exif[0x0112] = 6
    path = tmp_path / "phone.jpg"
    quarters().save(path, exif=exif, quality=95)
    image = read_photo(path)
    assert image.shape == (WIDTH, HEIGHT, 3)
    assert corner(image, 0.25, 0.75) == pytest.approx([220, 20, 20], abs=JPEG_TOLERANCE)  # top left, turned


@pytest.mark.parametrize("damage", [b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0" + bytes(40)])
def test_a_damaged_exif_block_does_not_matter(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "photo.jpg"
    quarters().save(path, exif=damage, quality=95)
    assert_quarters(read_photo(path))


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    path = tmp_path / "print.jpg"
    quarters().convert("CMYK").save(path, quality=95)
    assert_quarters(read_photo(path))


@pytest.mark.parametrize("mode", ["L", "1", "LA", "P", "PA"])
def test_grey_and_palette_pictures_have_three_channels(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "photo.tif"
    source = quarters().convert("L")
    (source.convert("P").convert("PA") if mode == "PA" else source.convert(mode)).save(path)
    image = read_photo(path)
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert np.array_equal(image[..., 0], image[..., 1]) and np.array_equal(image[..., 0], image[..., 2])
    if mode != "1":
        assert np.array_equal(image[..., 0], np.asarray(source))


def test_sixteen_bit_grey_keeps_its_range(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, HEIGHT * WIDTH).astype(np.uint16).reshape(HEIGHT, WIDTH)
    path = tmp_path / "scan.png"
    Pillow.fromarray(ramp).save(path)
    image = read_photo(path)
    assert np.abs(image[..., 0].astype(int) - (ramp >> 8).astype(int)).max() <= 1


def test_float_grey_keeps_its_range(tmp_path: Path) -> None:
    ramp = np.linspace(0.0, 1.0, HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH)
    path = tmp_path / "scan.tif"
    Pillow.fromarray(ramp).save(path)
    image = read_photo(path)
    assert int(image.min()) == 0 and int(image.max()) == 255


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_lies_over_white(tmp_path: Path, mode: str) -> None:
    alpha = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    alpha[:, : WIDTH // 2] = 255
    alpha[: HEIGHT // 2, WIDTH // 2 :] = 128
    picture = Pillow.new("RGB", (WIDTH, HEIGHT), (0, 0, 0)).convert(mode)
    picture.putalpha(Pillow.fromarray(alpha))
    path = tmp_path / "cutout.png"
    picture.save(path)
    image = read_photo(path)
    assert corner(image, 0.5, 0.25) == [0, 0, 0]
    assert corner(image, 0.25, 0.75) == pytest.approx([127, 127, 127], abs=1)
    assert corner(image, 0.75, 0.75) == [255, 255, 255]


def test_a_transparent_palette_colour_becomes_white(tmp_path: Path) -> None:
    picture = quarters().quantize(4)
    path = tmp_path / "photo.png"
    picture.save(path, transparency=picture.getpixel((0, 0)))
    image = read_photo(path)
    assert corner(image, 0.25, 0.25) == [255, 255, 255]
    assert corner(image, 0.75, 0.75) == pytest.approx([120, 120, 120], abs=4)


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_of_an_animation_the_first_picture_counts(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / f"moving.{suffix}"
    frames = [Pillow.new("RGB", (WIDTH, HEIGHT), colour) for colour in ("red", "blue", "lime")]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)
    with caplog.at_level(logging.INFO):
        image = read_photo(path)
    assert corner(image, 0.5, 0.5) == pytest.approx([255, 0, 0], abs=4)
    assert "first picture" in caplog.text


def test_a_huge_jpeg_is_reduced_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.jpg"
    Pillow.new("L", (16384, 8192), 90).save(path, quality=50)
    image = read_photo(path)
    assert image.shape == (LONGEST_SIDE // 2, LONGEST_SIDE, 3)
    assert corner(image, 0.5, 0.5) == pytest.approx([90, 90, 90], abs=2)


def png_header_claiming(width: int, height: int) -> bytes:
    """A small PNG whose header claims another size: what a decompression bomb looks like from outside."""
    stream = io.BytesIO()
    Pillow.new("RGB", (32, 32)).save(stream, "PNG")
    data = bytearray(stream.getvalue())
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    return bytes(data)


def jpeg_claiming(width: int, height: int, *, progressive: bool) -> bytes:
    stream = io.BytesIO()
    Pillow.new("RGB", (32, 32)).save(stream, "JPEG", progressive=progressive)
    data = bytearray(stream.getvalue())
    start = data.index(b"\xff\xc2" if progressive else b"\xff\xc0")
    data[start + 5 : start + 9] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        png_header_claiming(16384, 16384),
        png_header_claiming(10_000, 9_000),
        png_header_claiming(200_000, 200_000),
        jpeg_claiming(30_000, 30_000, progressive=False),
        jpeg_claiming(16384, 16384, progressive=True),
    ],
    ids=["png-16k", "png-90M", "png-200k", "jpeg-30k", "progressive-16k"],
)
def test_what_would_fill_the_memory_is_refused_before_decoding(data: bytes) -> None:
    with pytest.raises(BadImage, match=r"upload is \d+ x \d+ pixels, expected at most 80 million .*smaller"):
        decode_photo(io.BytesIO(data), "upload")


def test_one_pixel_is_too_small(tmp_path: Path) -> None:
    path = tmp_path / "dot.png"
    Pillow.new("RGB", (1, 1)).save(path)
    with pytest.raises(BadImage, match="is 1 x 1 pixels, expected at least 16 a side; use a larger picture"):
        read_photo(path)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "bmp", "tif"])
@pytest.mark.parametrize("kept", [0.9, 0.5, 0.1])
def test_a_truncated_picture_is_named_as_such(tmp_path: Path, suffix: str, kept: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    path = tmp_path / f"cut.{suffix}"
    Pillow.fromarray(noise).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(BadImage, match="damaged or cut off, expected a whole picture"):
        read_photo(path)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"this is a shopping list\n" * 20, "holds no picture"),
        (b"", "is empty"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n", "holds no picture"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "is a HEIC picture"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "holds no picture"),
        (b"\xff\xd8\xff\xe0", "damaged or cut off"),
    ],
    ids=["text", "empty", "eps", "heic", "mp4", "jpeg-start"],
)
def test_what_is_no_picture_is_refused_whatever_its_name(tmp_path: Path, content: bytes, found: str) -> None:
    path = tmp_path / "portrait.jpg"
    path.write_bytes(content)
    with pytest.raises(BadImage, match=found) as caught:
        read_photo(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="does not exist.*check the path") as caught:
        read_photo(tmp_path / "nobody.jpg")
    assert caught.value.exit_status == 2


def test_a_name_that_cannot_be_one_is_wrong_use() -> None:
    for name in ("x" * 5000, "nul\0byte.jpg"):
        with pytest.raises(WrongUse, match="check the path"):
            read_photo(name)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadImage, match="is a folder, expected a picture"):
        read_photo(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are not known here")
def test_a_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    path = tmp_path / "pipe.jpg"
    os.mkfifo(path)
    with pytest.raises(BadImage, match="is a device or a pipe"):
        read_photo(path)


def test_an_unreadable_file_is_named_as_such(tmp_path: Path, no_rights: None) -> None:
    path = tmp_path / "secret.jpg"
    if os.geteuid() != NOBODY:
        quarters().save(path)
        path.chmod(0)
    with pytest.raises(BadImage, match="may not be read by this user.*permissions"):
        read_photo(path)


def test_no_damage_escapes_as_another_error() -> None:
    """A thousand damaged files: each gives a picture or a PuppetError, never a decoder's own error."""
    dice = random.Random(7)
    exif = Pillow.Exif()
    exif[0x0112] = 6
    originals = []
    for name, extra in (
        ("JPEG", {"exif": exif}),
        ("PNG", {"exif": exif}),
        ("WEBP", {"exif": exif}),
        ("GIF", {}),
    ):
        stream = io.BytesIO()
        quarters().save(stream, name, **extra)
        originals.append(stream.getvalue())
    refused = 0
    for count in range(1000):
        data = bytearray(originals[count % len(originals)])
        for _ in range(dice.choice([1, 4, 16])):
            data[dice.randrange(len(data))] = dice.randrange(256)
        try:
            image = decode_photo(io.BytesIO(bytes(data)), "upload")
            assert image.ndim == 3 and image.shape[2] == 3
        except PuppetError:
            refused += 1
    assert 0 < refused < 1000
