# SPDX-License-Identifier: MIT
"""Reads one photo from a file or stream, upright, as RGB, within bounded memory. Knows nothing of faces."""

import logging
import os
import struct
import warnings
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image as Pillow
from PIL import ImageFile

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
SUFFIXES = frozenset(".jpg .jpeg .jpe .mpo .png .webp .gif .bmp .tif .tiff .avif .jp2 .ppm .pgm".split())
EXPECTED = "expected a picture (JPEG, PNG, WebP, AVIF, TIFF, BMP or GIF)"

# What Pillow's decoders raise on a damaged file; MemoryError comes from sizes a damaged header claims.
DECODER_FAULTS = (
    OSError, RuntimeError, SyntaxError, ValueError, TypeError, LookupError, EOFError, ArithmeticError,
    AttributeError, MemoryError, struct.error, zlib.error, Pillow.DecompressionBombError,
)  # fmt: skip

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


def read_photo(path: str | os.PathLike[str]) -> Image:
    """The photo in a file, (H, W, 3) uint8 RGB, upright, no side longer than LONGEST_SIDE.

    Transparent parts are laid over white, 16-bit pictures keep their upper 8 bits, of an animation the first
    picture counts. Raises WrongUse when there is no such file, BadImage when it is no picture of use.
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
            if getattr(image, "is_animated", False):
                logger.info("%s is animated: its first picture is taken", name)
            image.load()
            array = _upright_rgb(image)
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
    prefix = stream.read(16)
    if not prefix:
        raise BadImage(f"{name} is empty, {EXPECTED}; copy it again")
    if prefix[4:8] == b"ftyp" and prefix[8:12] in (b"heic", b"heix", b"hevc", b"mif1", b"msf1"):
        raise BadImage(f"{name} is a HEIC picture, expected JPEG, PNG or WebP; export it as JPEG")
    Pillow.init()
    for wanted in FORMATS:
        factory, accept = Pillow.OPEN.get(wanted, (None, None))
        if factory is not None and accept is not None and accept(prefix) is True:
            stream.seek(0)
            return factory(stream, "")
    raise BadImage(f"{name} holds no picture whatever its name says, {EXPECTED}; choose another file")


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


def _upright_rgb(image: ImageFile.ImageFile) -> Image:
    """The decoded picture as (H, W, 3), turned by its EXIF orientation, within LONGEST_SIDE."""
    orientation = _orientation(image)
    rgb = _flatten(image)
    rgb.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Pillow.Resampling.LANCZOS, reducing_gap=2.0)
    if orientation in UPRIGHT:
        rgb = rgb.transpose(UPRIGHT[orientation])
    return np.array(rgb, dtype=np.uint8)


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
