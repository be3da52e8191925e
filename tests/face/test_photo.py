# SPDX-License-Identifier: MIT
"""A photo arrives upright, as RGB, within bounds, whatever file it came in; or one line says why not."""

import io
import logging
import os
import random
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from face.errors import BadImage, PuppetError, WrongUse
from face.photo import FORMATS, LONGEST_SIDE, SUFFIXES, UPRIGHT, decode_photo, read_photo

WIDTH, HEIGHT = 96, 64
JPEG_TOLERANCE = 12  # grey levels; flat quarters at quality 95, away from their edges
ROUNDED = 3  # grey levels; colours rounded to 8 bits on the way
NOBODY = 65534


def icc(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A colour profile of a display; ICC.1:2010, section 7."""
    table, data = b"", b""
    for name, content in tags.items():
        offset = 128 + 4 + 12 * len(tags) + len(data)
        table += name + struct.pack(">II", offset, len(content))
        data += content + bytes(-len(content) % 4)
    body = struct.pack(">I", len(tags)) + table + data
    white = struct.pack(">3i", *(round(value * 65536) for value in (0.9642, 1.0, 0.8249)))
    head = struct.pack(">I4sI4s4s4s", 128 + len(body), bytes(4), 0x04000000, b"mntr", space, b"XYZ ")
    return head + bytes(12) + b"acsp" + bytes(28) + white + bytes(48) + body


def _numbers(kind: bytes, *values: float) -> bytes:
    return kind + bytes(4) + struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


SRGB_CURVE = (
    b"para" + bytes(4) + b"\0\3\0\0" + _numbers(b"", 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)[4:]
)
DISPLAY_P3 = icc(
    b"RGB ",
    {
        b"rXYZ": _numbers(b"XYZ ", 0.51512, 0.24120, -0.00105),
        b"gXYZ": _numbers(b"XYZ ", 0.29198, 0.69225, 0.04189),
        b"bXYZ": _numbers(b"XYZ ", 0.15710, 0.06657, 0.78407),
        b"wtpt": _numbers(b"XYZ ", 0.9642, 1.0, 0.8249),
        **{name: SRGB_CURVE for name in (b"rTRC", b"gTRC", b"bTRC")},
    },
)
LINEAR_GREY = icc(b"GRAY", {b"kTRC": b"curv" + bytes(8), b"wtpt": _numbers(b"XYZ ", 0.9642, 1.0, 0.8249)})
SRGB_TO_P3 = np.array([[0.82246, 0.17754, 0.0], [0.03319, 0.96681, 0.0], [0.01708, 0.07240, 0.91052]])


def in_display_p3(picture: Pillow.Image) -> Pillow.Image:
    """The same colours, as a phone writes them."""
    shown = np.asarray(picture) / 255  # (H, W, 3)
    linear = np.where(shown <= 0.04045, shown / 12.92, ((shown + 0.055) / 1.055) ** 2.4) @ SRGB_TO_P3.T
    encoded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return Pillow.fromarray((encoded * 255 + 0.5).astype(np.uint8))


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


def test_no_ending_of_a_format_that_is_read_is_missing() -> None:
    Pillow.init()
    endings = {ending for ending, kind in Pillow.EXTENSION.items() if kind in (*FORMATS, "MPO")}
    assert endings <= SUFFIXES


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "avif"])
@pytest.mark.parametrize("orientation", range(2, 9))
def test_every_format_is_turned_upright(tmp_path: Path, suffix: str, orientation: int) -> None:
    undo = {6: Pillow.Transpose.ROTATE_90, 8: Pillow.Transpose.ROTATE_270}
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned.{suffix}"
    quality = {} if suffix in ("png", "tif") else {"quality": 95}
    quarters().transpose(undo.get(orientation, UPRIGHT[orientation])).save(path, exif=exif, **quality)
    assert_quarters(read_photo(path))


def test_the_name_s_ending_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    quarters().save(path, format="PNG")
    assert_quarters(read_photo(str(path)), tolerance=0)


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


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "avif"])
def test_colours_come_as_any_screen_shows_them(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"phone.{suffix}"
    quality = {"quality": 95} if suffix in ("jpg", "webp", "avif") else {}
    in_display_p3(quarters()).save(path, icc_profile=DISPLAY_P3, **quality)
    assert_quarters(read_photo(path), tolerance=JPEG_TOLERANCE if quality else ROUNDED)


def test_colours_with_holes_in_them_come_as_any_screen_shows_them(tmp_path: Path) -> None:
    cutout = in_display_p3(quarters())
    cutout.putalpha(255)
    cutout.paste((0, 0, 0, 0), (40, 24, 56, 40))
    path = tmp_path / "cutout.png"
    cutout.save(path, icc_profile=DISPLAY_P3)
    image = read_photo(path)
    assert_quarters(image, tolerance=ROUNDED)
    assert corner(image, 0.5, 0.5) == [255, 255, 255]


def test_greys_come_as_any_screen_shows_them(tmp_path: Path) -> None:
    path = tmp_path / "scan.png"
    Pillow.new("L", (WIDTH, HEIGHT), 55).save(path, icc_profile=LINEAR_GREY)
    assert corner(read_photo(path), 0.5, 0.5) == pytest.approx([128, 128, 128], abs=1)


@pytest.mark.parametrize(
    ("mode", "profile"),
    [("RGB", DISPLAY_P3[:200]), ("RGB", b"no profile"), ("CMYK", DISPLAY_P3)],
    ids=["cut off", "none at all", "of other colours"],
)
def test_a_colour_profile_that_does_not_work_is_ignored(
    tmp_path: Path, mode: str, profile: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "photo.tif"
    quarters().convert(mode).save(path, icc_profile=profile)
    assert_quarters(read_photo(path), tolerance=1)
    assert "photo.tif: its colour profile does not work and is ignored" in caplog.text


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
    assert "picture 1 of it" in caplog.text


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "avif"])
def test_an_animation_that_fades_in_counts_by_a_picture_in_full_light(tmp_path: Path, suffix: str) -> None:
    full = np.asarray(quarters())
    frames = [Pillow.fromarray((full * light).astype(np.uint8)) for light in (0.0, 0.3, 0.7, 1.0, 1.0, 0.5)]
    path = tmp_path / f"moving.{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)
    assert_quarters(read_photo(path))


def test_an_animation_that_breaks_off_counts_by_what_is_whole(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    path = tmp_path / "moving.gif"
    quarters().save(path, save_all=True, append_images=[Pillow.fromarray(noise)], duration=100)
    path.write_bytes(path.read_bytes()[:-2000])
    assert_quarters(read_photo(path))


def test_of_a_photo_with_its_depth_the_photo_counts(tmp_path: Path) -> None:
    """A phone keeps a second picture in the file (MPO): a gain map, a depth, another eye."""
    noise = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    path = tmp_path / "phone.jpg"
    quarters().save(path, "MPO", save_all=True, append_images=[Pillow.fromarray(noise)], quality=95)
    assert_quarters(read_photo(path))


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


JPEGS = {"plain": {}, "progressive": {"progressive": True}, "restarts": {"restart_marker_rows": 1}}


@pytest.mark.parametrize("kind", JPEGS)
@pytest.mark.parametrize("missing", [1, 2])
def test_a_jpeg_that_lacks_no_more_than_its_end_mark_is_whole(
    tmp_path: Path, kind: str, missing: int
) -> None:
    path = tmp_path / "photo.jpg"
    quarters().save(path, quality=95, **JPEGS[kind])
    whole = read_photo(path)
    path.write_bytes(path.read_bytes()[:-missing])
    assert np.array_equal(read_photo(path), whole)


@pytest.mark.parametrize("kind", JPEGS)
@pytest.mark.parametrize("missing", [16, 100, 1000])
def test_a_jpeg_that_lacks_more_than_its_end_mark_is_cut_off(tmp_path: Path, kind: str, missing: int) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    path = tmp_path / "photo.jpg"
    Pillow.fromarray(noise).save(path, **JPEGS[kind])
    path.write_bytes(path.read_bytes()[:-missing])
    with pytest.raises(BadImage, match="damaged or cut off"):
        read_photo(path)


@pytest.mark.parametrize("kind", ["before a restart mark", "inside an escaped byte"])
def test_a_jpeg_cut_off_at_a_mark_is_cut_off(tmp_path: Path, kind: str) -> None:
    """Decoders look for the next mark there, whatever comes before it."""
    restarts = kind == "before a restart mark"
    noise = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    path = tmp_path / "photo.jpg"
    Pillow.fromarray(noise).save(path, quality=95, restart_marker_blocks=int(restarts))
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"\xff\xd3") if restarts else data.index(b"\xff\0", 3000) + 1])
    with pytest.raises(BadImage, match="damaged or cut off"):
        read_photo(path)


@pytest.mark.parametrize(("at", "brand"), [(8, b"mif1"), (8, b"msf1"), (24, b"heic")])
def test_avif_is_told_from_heic_by_all_its_brands(tmp_path: Path, at: int, brand: bytes) -> None:
    path = tmp_path / "photo.avif"
    quarters().save(path, quality=95)
    data = path.read_bytes()
    path.write_bytes(data[:at] + brand + data[at + 4 :])
    assert_quarters(read_photo(path))


def colour_tiff(bits: int, sample_format: int) -> bytes:
    """A black TIFF of three channels, uncompressed; sample format 1 unsigned, 2 signed, 3 float."""
    tags = {256: WIDTH, 257: HEIGHT, 258: bits, 262: 2, 273: 122, 277: 3, 278: HEIGHT, 339: sample_format}
    entries = b"".join(struct.pack("<HHII", tag, 3, 1, value) for tag, value in tags.items())
    pixels = bytes(WIDTH * HEIGHT * 3 * bits // 8)
    entries += struct.pack("<HHII", 279, 4, 1, len(pixels))
    return b"II*\0" + struct.pack("<IH", 8, len(tags) + 1) + entries + bytes(4) + pixels


@pytest.mark.parametrize(("bits", "sample_format"), [(16, 3), (32, 3), (64, 3), (32, 1), (8, 2)])
def test_a_whole_picture_of_a_rare_kind_is_not_called_damaged(
    tmp_path: Path, bits: int, sample_format: int
) -> None:
    path = tmp_path / "scan.tif"
    path.write_bytes(colour_tiff(8, 1))
    assert read_photo(path).shape == (HEIGHT, WIDTH, 3)
    path.write_bytes(colour_tiff(bits, sample_format))
    with pytest.raises(BadImage, match="is a TIFF of a rare kind.* expected 8 or 16 bits.*save it as JPEG"):
        read_photo(path)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"this is a shopping list\n" * 20, "holds no picture"),
        (b"", "is empty"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n", "holds no picture"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "is a HEIC picture"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "is a HEIC picture"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1jpeg", "holds no picture"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "holds no picture"),
        (b"\xff\xd8\xff\xe0", "damaged or cut off"),
    ],
    ids=["text", "empty", "eps", "heic", "mif1-heic", "mif1-jpeg", "mp4", "jpeg-start"],
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
        ("JPEG", {"exif": exif, "icc_profile": DISPLAY_P3}),
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
