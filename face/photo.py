# SPDX-License-Identifier: MIT
"""Finds photos in a folder and reads one: upright, as sRGB, within bounded memory. Knows nothing of faces."""

import io
import logging
import os
import struct
import warnings
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image as Pillow
from PIL import ImageCms, ImageFile

from face.arrays import Image
from face.errors import BadImage, WrongUse

SMALLEST_SIDE = 16  # pixels; nothing below can hold a face of any use
LONGEST_SIDE = 4096  # pixels; larger pictures are reduced to this while they are read
LARGEST_JPEG_PIXELS = (
    400_000_000  # a baseline JPEG is decoded at a fraction of its size, so that it may be this big
)
LARGEST_PIXELS = 80_000_000  # anything else is decoded whole: about 8 bytes a pixel, 640 MB at most

# Formats that are decoded by Pillow itself; those that start another program (EPS) stay out.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")
SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .mpo .png .apng .webp .gif .bmp .tif .tiff .avif .avifs .jp2 .j2c .j2k .jpc .jpf "
    ".jpx .pbm .pfm .pgm .pnm .ppm".split()
)
EXPECTED = "expected a picture (JPEG, PNG, WebP, AVIF, TIFF, BMP or GIF)"

# What Pillow's decoders raise on a damaged file; MemoryError comes from sizes a damaged header claims.
DECODER_FAULTS = (
    OSError, RuntimeError, SyntaxError, ValueError, TypeError, LookupError, EOFError, ArithmeticError,
    AttributeError, MemoryError, struct.error, zlib.error, Pillow.DecompressionBombError,
)  # fmt: skip

AVIF_BRANDS = frozenset({b"avif", b"avis"})
HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
UNKNOWN_KINDS = ("unknown pixel mode", "unknown data organization", "cannot handle")  # what Pillow says

ANIMATED = ("GIF", "PNG", "WEBP", "AVIF")  # further pictures of other formats are thumbnails, depths, pages
LOOKED_AT = 60  # pictures of an animation
ENOUGH_DETAIL = 0.9  # of the most detailed picture: the first one that has it counts

END_MARK = b"\xff\xd9"  # of a JPEG
ORIENTATION_TAG = 0x0112
UPRIGHT = {  # EXIF orientation -> what turns the stored picture upright
    2: Pillow.Transpose.FLIP_LEFT_RIGHT,
    3: Pillow.Transpose.ROTATE_180,
    4: Pillow.Transpose.FLIP_TOP_BOTTOM,
    5: Pillow.Transpose.TRANSPOSE,
    6: Pillow.Transpose.ROTATE_270,
    7: Pillow.Transpose.TRANSVERSE,
    8: Pillow.Transpose.ROTATE_90,
}

logger = logging.getLogger(__name__)


def photos_in(folder: Path) -> list[Path]:
    """Its files whose endings are a picture's, sorted; hidden ones do not count (a Mac writes a ._me.jpg).

    Raises WrongUse when there is no such folder, BadImage when it may not be read.
    """
    try:
        return sorted(
            entry
            for entry in folder.iterdir()
            if entry.suffix.lower() in SUFFIXES and not entry.name.startswith(".") and entry.is_file()
        )
    except (FileNotFoundError, NotADirectoryError) as error:
        raise WrongUse(f"{folder} does not exist, expected a folder of pictures; check the path") from error
    except PermissionError as error:
        raise BadImage(f"{folder} may not be read by this user; change its permissions") from error


def read_photo(path: str | os.PathLike[str]) -> Image:
    """The photo in a file, (H, W, 3) uint8 RGB, upright, no side longer than LONGEST_SIDE.

    Colours are brought to sRGB, transparent parts lie over white, 16-bit pictures keep their upper 8 bits, of
    an animation the first picture counts that shows as much as any (not a black one it fades in from). Raises
    WrongUse when there is no such file, BadImage when it is no picture of use.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise BadImage(f"{path} is a folder, {EXPECTED}; name a file in it")
        if path.exists() and not path.is_file():
            raise BadImage(f"{path} is a device or a pipe, {EXPECTED}; name a file")
        stream = path.open("rb")
    except FileNotFoundError as error:
        raise WrongUse(f"{path} does not exist, {EXPECTED}; check the path") from error
    except PermissionError as error:
        raise BadImage(f"{path} may not be read by this user, {EXPECTED}; change its permissions") from error
    except (OSError, ValueError) as error:  # a name too long or with a NUL in it, a loop of links
        raise WrongUse(f"{str(path)[:200]!r} is no usable path, {EXPECTED}; check the path") from error
    with stream:
        return decode_photo(stream, str(path))


def decode_photo(stream: BinaryIO, name: str) -> Image:
    """The photo in a seekable binary stream (an upload); `name` is how errors call it. As `read_photo`."""
    try:
        with warnings.catch_warnings():  # Pillow warns of damaged metadata, which is no matter here
            warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
            image = _open(stream, name)
            stored = image.size
            _reduce_while_decoding(image)
            _check_size(image, stored, name)
            _choose_picture(image, name)
            array = _upright_rgb(_loaded(image, stream, name), name)
    except DECODER_FAULTS as error:
        raise BadImage(f"{name} is damaged or cut off, expected a whole picture; copy it again") from error
    if min(array.shape[:2]) < SMALLEST_SIDE:
        raise BadImage(
            f"{name} is {stored[0]} x {stored[1]} pixels, expected at least {SMALLEST_SIDE} a side; "
            "use a larger picture"
        )
    return array


def _open(stream: BinaryIO, name: str) -> ImageFile.ImageFile:
    """The picture with its header read and its pixels not.

    Pillow's own open() refuses large pictures before a JPEG could be asked for a smaller decoding; here
    `_check_size` does that work.
    """
    prefix = stream.read(256)
    if not prefix:
        raise BadImage(f"{name} is empty, {EXPECTED}; copy it again")
    brands = _brands(prefix)
    if brands & HEIC_BRANDS and not brands & AVIF_BRANDS:
        raise BadImage(f"{name} is a HEIC picture, expected JPEG, PNG or WebP; export it as JPEG")
    Pillow.init()
    for wanted in FORMATS:
        factory, accept = Pillow.OPEN.get(wanted, (None, None))
        if factory is None or accept is None or accept(prefix) is not True:
            continue
        if wanted == "AVIF" and not brands & AVIF_BRANDS:
            continue
        stream.seek(0)
        try:
            return factory(stream, "")
        except SyntaxError as error:
            if not str(error).startswith(UNKNOWN_KINDS):
                raise
            raise BadImage(
                f"{name} is a {wanted} of a rare kind ({error}: floats in colour?), expected 8 or 16 bits a "
                "channel; save it as JPEG or PNG"
            ) from error
    raise BadImage(f"{name} holds no picture whatever its name says, {EXPECTED}; choose another file")


def _brands(prefix: bytes) -> set[bytes]:
    """What a file of the ISO base media format says it is; the first brand may only name the container."""
    if prefix[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(prefix[:4], "big"), len(prefix))
    return {prefix[8:12], *(prefix[at : at + 4] for at in range(16, end, 4))}


def _choose_picture(image: ImageFile.ImageFile, name: str) -> None:
    """Goes to the picture of an animation that counts; others stay as they are."""
    if image.format not in ANIMATED or not getattr(image, "is_animated", False):
        return
    details: list[float] = []
    for number in range(min(LOOKED_AT, 1 + LARGEST_PIXELS // max(1, image.size[0] * image.size[1]))):
        try:
            image.seek(number)
            details.append(_detail(image))
        except DECODER_FAULTS:  # it has no more, or is damaged from here on
            break
    enough = ENOUGH_DETAIL * max(details, default=0.0)
    chosen = next((number for number, detail in enumerate(details) if detail >= enough), 0)
    logger.info("%s is animated: picture %d of it is taken", name, chosen + 1)
    image.seek(chosen)


def _detail(image: Pillow.Image) -> float:
    """How much there is to see: the mean step between neighbours in a small grey version."""
    grey = image.convert("L")
    grey.thumbnail((256, 256))
    values = np.asarray(grey, np.float32)  # (h, w)
    return float(np.abs(np.diff(values, axis=0)).mean() + np.abs(np.diff(values, axis=1)).mean())


def _loaded(image: ImageFile.ImageFile, stream: BinaryIO, name: str) -> ImageFile.ImageFile:
    """The picture with its pixels; also a JPEG whose end mark alone is missing.

    With the mark put behind it the decoder takes any JPEG, and fills in what is missing. What is whole stays
    the same whatever else lies before the mark.
    """
    try:
        image.load()
        return image
    except OSError:
        if image.format != "JPEG":
            raise
        stream.seek(0)
        data = stream.read().rstrip(b"\xff")
        noise = bytes(range(1, 128))
        more = b"".join(noise + bytes([0xFF, 0xD0 + number]) for number in range(8))  # restart marks 0 to 7
        whole, other = (_open(io.BytesIO(data + rest + END_MARK), name) for rest in (b"", more))
        for each in (whole, other):
            _reduce_while_decoding(each)
            each.load()
        if whole.tobytes() != other.tobytes():
            raise
        logger.info("%s lacks its end mark, but is whole", name)
        return whole


def _reduce_while_decoding(image: ImageFile.ImageFile) -> None:
    """Has a baseline JPEG decoded at 1/2, 1/4 or 1/8 where that stays at or above LONGEST_SIDE.

    A progressive one is left alone: its decoder holds every coefficient at full size whatever is asked for.
    """
    if image.format in ("JPEG", "MPO") and not image.info.get("progressive"):
        shrink = max(1.0, max(image.size) / LONGEST_SIDE)
        width, height = image.size
        if width * height <= LARGEST_JPEG_PIXELS:
            image.draft(None, (max(1, int(width / shrink)), max(1, int(height / shrink))))


def _check_size(image: ImageFile.ImageFile, stored: tuple[int, int], name: str) -> None:
    """Refuses what would take too much memory; `image` has the size it will be decoded at."""
    if image.size[0] * image.size[1] > LARGEST_PIXELS:
        raise BadImage(
            f"{name} is {stored[0]} x {stored[1]} pixels, expected at most {LARGEST_PIXELS // 10**6} million "
            f"({LARGEST_JPEG_PIXELS // 10**6} million in a baseline JPEG); make it smaller first"
        )


def _upright_rgb(image: ImageFile.ImageFile, name: str) -> Image:
    """The decoded picture as (H, W, 3) sRGB, turned by its EXIF orientation, within LONGEST_SIDE."""
    orientation = _orientation(image)
    profile = None if image.mode == "LAB" else image.info.get("icc_profile")
    flat = image.copy() if image.mode == "CMYK" else _flatten(image)
    flat.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Pillow.Resampling.LANCZOS, reducing_gap=2.0)
    rgb = _in_srgb(flat, profile, name) if profile else flat.convert("RGB")
    if orientation in UPRIGHT:
        rgb = rgb.transpose(UPRIGHT[orientation])
    return np.array(rgb, dtype=np.uint8)


def _in_srgb(picture: Pillow.Image, profile: bytes, name: str) -> Pillow.Image:
    """A picture whose colours a profile describes as sRGB; a profile that does not work is ignored."""
    try:
        described = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        grey = described.profile.xcolor_space.strip() == "GRAY"
        converted = ImageCms.profileToProfile(
            picture.convert("L") if grey else picture,
            described,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        assert converted is not None  # only a conversion in place returns nothing
        return converted
    except (ImageCms.PyCMSError, *DECODER_FAULTS) as error:
        logger.warning("%s: its colour profile does not work and is ignored (%s)", name, error)
        return picture.convert("RGB")


def _orientation(image: ImageFile.ImageFile) -> int:
    """EXIF orientation, 1 to 8; 1 (upright) where the EXIF block is missing or damaged."""
    try:
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    except DECODER_FAULTS as error:
        logger.info("its EXIF block is damaged and ignored: %s", error)
        return 1


def _flatten(image: Pillow.Image) -> Pillow.Image:
    """Any mode as RGB: alpha over white, 16-bit and float greys scaled to 8 bit."""
    if image.mode.startswith("I") or image.mode == "F":
        return _eight_bit(image).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Pillow.new("RGB", rgba.size, (255, 255, 255))
        white.paste(rgba, mask=rgba.getchannel("A"))
        return white
    return image.convert("RGB")


def _eight_bit(image: Pillow.Image) -> Pillow.Image:
    """A grey picture of 16 or 32 bit or of floats (0 to 1, or 0 to its own largest) as 8 bit grey."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float32), posinf=0.0, neginf=0.0)  # (H, W)
    top = float(values.max(initial=0.0))
    if image.mode == "F":
        full = max(1.0, top)
    elif image.mode == "I" and top <= 255.0:
        full = 255.0
    else:
        full = max(65535.0, top)
    return Pillow.fromarray((values.clip(0.0) * (255.0 / full) + 0.5).astype(np.uint8))
