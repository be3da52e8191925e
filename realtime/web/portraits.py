# SPDX-License-Identifier: MIT
"""Portrait files as the page sees them: thumbnails out, uploads in. Knows no network and no puppet."""

import hashlib
import io
import re
import threading
from collections import OrderedDict
from pathlib import Path

import cv2

from face.errors import BadImage
from face.photo import decode_photo, read_photo

LARGEST_UPLOAD = 30_000_000  # bytes; a 50 megapixel phone photo has about 25 million
LONGEST_NAME, LONGEST_SUFFIX = 80, 8  # bytes: file systems count these, and some take no more than 143
# what Windows takes for devices, in any folder
DEVICES = re.compile(r"(con|prn|aux|nul|(com|lpt)[\d¹²³])\s*(\.|$)", re.IGNORECASE)
THUMBNAIL_SIDE = 192  # pixels, the shorter one
KEPT = 128  # thumbnails in memory, about 10 kB each


def key_of(path: Path) -> str:
    """A short name for a file that changes when the file does; for the browser's cache."""
    try:
        stamp = path.stat().st_mtime_ns
    except OSError:
        stamp = 0
    return hashlib.sha256(f"{path}{stamp}".encode("utf-8", "surrogateescape")).hexdigest()[:16]


def safe_name(name: str) -> str:
    """A file name without folders, controls or a leading dot; what comes in is anybody's text."""
    last = re.split(r"[\\/]", name)[-1]
    plain = re.sub(r"[^\w .()-]", "_", last).strip(" ._")
    stem, dot, suffix = plain.rpartition(".")
    if not dot:
        stem, suffix = plain, "jpg"
    if DEVICES.match(stem):
        stem = f"_{stem}"
    return f"{_cut(stem, LONGEST_NAME) or 'portrait'}.{_cut(suffix, LONGEST_SUFFIX)}"


def _cut(text: str, most: int) -> str:
    """The text's beginning, in at most that many bytes of UTF-8."""
    return text.encode()[:most].decode(errors="ignore")


class Shelf:
    """Thumbnails of portraits, kept in memory, and a folder for uploads. From any thread."""

    def __init__(self, folder: Path, *, largest_upload: int = LARGEST_UPLOAD) -> None:
        self.largest_upload = largest_upload
        self._folder = folder
        self._lock = threading.Lock()
        self._thumbnails: OrderedDict[str, bytes] = OrderedDict()

    def thumbnail(self, path: Path) -> bytes:
        """JPEG of a portrait photo, or of an identity folder's own thumbnail; else a PuppetError."""
        key = key_of(path)
        with self._lock:
            kept = self._thumbnails.get(key)
        if kept is not None:
            return kept
        image = read_photo(path / "thumbnail.jpg" if path.is_dir() else path)
        height, width = image.shape[:2]
        scale = THUMBNAIL_SIDE / min(height, width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        done, buffer = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        if not done:
            raise BadImage(f"{path.name} gives no thumbnail, expected a photo; choose another file")
        jpeg: bytes = buffer.tobytes()
        with self._lock:
            self._thumbnails[key] = jpeg
            while len(self._thumbnails) > KEPT:
                self._thumbnails.popitem(last=False)
        return jpeg

    def receive(self, name: str, data: bytes) -> Path:
        """Keep an uploaded photo; the file's new path. BadImage, and nothing kept, for what is none."""
        name = safe_name(name)
        if len(data) > self.largest_upload:
            raise BadImage(f"{name} has {len(data) / 1e6:.0f} MB, {self.upload_limit}; choose a smaller one")
        decode_photo(io.BytesIO(data), name)
        with self._lock:
            path = self._folder / name
            number = 2
            while path.exists():
                path = self._folder / f"{Path(name).stem} {number}{Path(name).suffix}"
                number += 1
            path.write_bytes(data)
        return path

    @property
    def upload_limit(self) -> str:
        """For an error line."""
        return f"expected at most {self.largest_upload / 1e6:.0f} MB"
