# SPDX-License-Identifier: MIT
"""Opens a checkpoint file, whatever wrote it, as plain data and numpy arrays.

Containers: torch.save's zip (since torch 1.6), its older stream, plain pickles (NVIDIA), safetensors.
Sizes are held against the file before anything is read: no part may be larger than what is there.
"""

import io
import mmap
import struct
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

from export.checkpoints.shown import one_line, shown, shown_names
from export.checkpoints.tensors import TENSOR_NAMES, Storage, dictionary
from export.checkpoints.unpickle import Reader, Reading, Record, Table, instance, read_pickle
from face.errors import BadCheckpoint

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # torch.save's first pickle before 1.6
LEGACY_PROTOCOL = 1001
LOCAL_HEADER = struct.Struct("<4sHHHHHIIIHH")
KNOWN = "a torch file (.pt), an NVIDIA pickle (.pkl) or safetensors"
PACKED = {  # what may be wrapped around a checkpoint, by its first bytes
    b"\x1f\x8b": "compressed by gzip (.gz)",
    b"BZh": "compressed by bzip2 (.bz2)",
    b"\xfd7zXZ": "compressed by xz (.xz)",
    b"\x28\xb5\x2f\xfd": "compressed by zstd (.zst)",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive (.7z)",
    b"Rar!": "a RAR archive (.rar)",
}


OPENVINO = b"<?xml"  # beginning of an OpenVINO graph's description


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file holds: `root` is what was saved; a safetensors file is left to its own library."""

    container: str  # torch | pickle | safetensors
    root: Any
    passed_over: tuple[str, ...] = ()  # names in its pickle of what was read as data and never called


def read_checkpoint(path: Path) -> Contents:
    """Open the file; BadCheckpoint says what was met. Arrays keep the file mapped."""
    try:
        with path.open("rb") as file:
            if path.stat().st_size == 0:
                raise BadCheckpoint(f"it is empty, expected {KNOWN}; download it again")
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return _open(mapped)
    except OSError as error:
        raise BadCheckpoint(
            f"cannot read {path}: {error.strerror or error}; give the path of a checkpoint"
        ) from error


def check_readable(path: Path) -> None:
    """BadCheckpoint for what no importer could read, without torch; what is in it is not looked at."""
    try:
        with path.open("rb") as file:
            if file.read(len(OPENVINO)) == OPENVINO:
                return
        read_checkpoint(path)
    except OSError as error:
        raise BadCheckpoint(
            f"cannot read {path}: {error.strerror or error}; give the path of a checkpoint"
        ) from error
    except BadCheckpoint as error:
        reason = one_line(str(error))
        raise BadCheckpoint(reason if path.name in reason else f"{path.name}: {reason}") from error
    except (AttributeError, TypeError, ValueError, LookupError, ArithmeticError, RuntimeError):
        return  # the importer says how it differs from its kind


def _open(mapped: mmap.mmap) -> Contents:
    stream = cast("BinaryIO", mapped)
    head = mapped[:64]
    size = len(mapped)
    reading = Reading(size)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):  # the second of an empty zip
        return Contents("torch", _read_zip(mapped, reading), tuple(reading.strangers))
    if size > 9 and head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] <= size - 8:
        return Contents("safetensors", None)
    if size < 2 or head[0] != 0x80 or not 2 <= head[1] <= 5:
        packed = _packing(mapped)
        if packed is not None:
            raise BadCheckpoint(f"it is {packed}, expected {KNOWN}; unpack it and give what is in it")
        raise BadCheckpoint(f"it starts with {shown(head[:8])}, expected {KNOWN}{_hint(head)}")
    container, root = "pickle", read_pickle(stream, _pickle_names(reading), reading)
    if type(root) is int and root == LEGACY_MAGIC:
        container, root = "torch", _read_legacy(stream, memoryview(mapped), reading)
    return Contents(container, root, tuple(reading.strangers))


def _packing(mapped: mmap.mmap) -> str | None:
    """What is wrapped around the file, None where nothing is."""
    for magic, what in PACKED.items():
        if mapped[: len(magic)] == magic:
            return what
    try:
        tarfile.TarInfo.frombuf(mapped[: tarfile.BLOCKSIZE], "latin1", "replace")  # holds its checksum
    except tarfile.HeaderError:
        return None
    return "a tar archive (.tar)"


def _hint(head: bytes) -> str:
    if head.lstrip()[:1] == b"<" or head[:1] == b"{":
        return "; this is a web page or text saved under that name, download the file itself"
    if head.startswith(b"version https://git"):
        return "; this is a pointer of git-lfs, fetch the file itself"
    return "; download it again"


# ---- torch.save since 1.6: a zip of data.pkl and one entry a storage, all of them stored as they are


def _read_zip(mapped: mmap.mmap, reading: Reading) -> Any:
    entries = _entries(mapped)
    pickles = [name for name in entries if name.endswith("/data.pkl") or name == "data.pkl"]
    if len(pickles) != 1:
        raise BadCheckpoint(
            f"it is a zip of {len(entries)} files ({shown_names(entries)}), expected one written by "
            "torch.save; where a checkpoint is in it, unpack it and give that"
        )
    prefix = pickles[0][: -len("data.pkl")]
    if bytes(entries.get(f"{prefix}byteorder", b"little")) != b"little":
        raise BadCheckpoint("it was written on a big-endian machine, expected little-endian; save it again")
    if f"{prefix}constants.pkl" in entries:
        raise BadCheckpoint(
            "it is a TorchScript archive, expected a state dict; export the weights it came from"
        )

    def storage(key: Any) -> Storage | Record:
        kind, dtype, name, _, numel = key
        if kind != "storage" or not isinstance(name, str) or type(numel) is not int:
            raise ValueError("storage")
        if isinstance(dtype, Reader):  # of numbers that are read nowhere
            return Record(dtype.name)
        if not isinstance(dtype, str):
            raise ValueError("storage")
        data = entries.get(f"{prefix}data/{name}")
        if data is None:
            raise BadCheckpoint(f"it names a storage {shown(name)} that is not in it; download it again")
        result = Storage(dtype, data)
        if len(data) != numel * result.item_size:
            raise BadCheckpoint(
                f"its storage {shown(name)} has {len(data)} bytes, expected {shown(numel)} numbers"
            )
        return result

    return read_pickle(io.BytesIO(entries[pickles[0]]), TENSOR_NAMES, reading, storage)


def _entries(mapped: mmap.mmap) -> dict[str, memoryview]:
    """The zip's files as views of the mapping, checked by size and checksum."""
    try:
        with zipfile.ZipFile(cast("BinaryIO", mapped)) as archive:  # an mmap reads and seeks like a file
            infos = archive.infolist()
    except (zipfile.BadZipFile, ValueError, IndexError, struct.error, NotImplementedError, OSError) as error:
        raise BadCheckpoint(f"it is a damaged zip ({one_line(str(error), 60)}); download it again") from error
    total = sum(info.file_size for info in infos)
    if total > len(mapped) or any(info.compress_type != zipfile.ZIP_STORED for info in infos):
        raise BadCheckpoint(
            f"it is a compressed zip of {total} bytes in {len(mapped)}, expected one that torch.save wrote; "
            "load and save it again with torch"
        )
    view = memoryview(mapped)
    return {info.filename: _entry(view, info) for info in infos}


def _entry(view: memoryview, info: zipfile.ZipInfo) -> memoryview:
    start = info.header_offset
    header = bytes(view[start : start + LOCAL_HEADER.size]) if start >= 0 else b""
    if len(header) < LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
        raise BadCheckpoint("it is a damaged zip (an entry is not where it should be); download it again")
    *_, name_length, extra_length = LOCAL_HEADER.unpack(header)
    start += LOCAL_HEADER.size + name_length + extra_length
    data = view[start : start + info.file_size]
    if len(data) != info.file_size or info.compress_size != info.file_size or zlib.crc32(data) != info.CRC:
        raise BadCheckpoint(
            f"it is a damaged zip ({shown(info.filename)} is not what it says); download it again"
        )
    return data


# ---- torch.save before 1.6: four pickles, then the storages one after the other


def _read_legacy(stream: BinaryIO, view: memoryview, reading: Reading) -> Any:
    """What follows the magic number. The main pickle is read twice: dry for its storages, then with them."""
    if read_pickle(stream, TENSOR_NAMES, reading) != LEGACY_PROTOCOL:
        raise BadCheckpoint(
            "it is a torch file of an unknown protocol, expected 1001; save it again with torch"
        )
    system = read_pickle(stream, TENSOR_NAMES, reading)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise BadCheckpoint("it was written on a big-endian machine, expected little-endian; save it again")
    start = stream.tell()
    found: dict[str, str] = {}

    def dry(key: Any) -> Any:
        if _is_class(key):
            return key[1]
        kind, dtype, name, _, _, view_of = key
        if kind != "storage" or view_of is not None or not isinstance(name, str):
            raise ValueError("storage")
        if isinstance(dtype, Reader):
            raise BadCheckpoint(
                f"it holds a storage of {shown(dtype)}; save it again with torch 1.6 or later"
            )
        if not isinstance(dtype, str):
            raise ValueError("storage")
        found[name] = dtype
        return None

    def storage(key: Any) -> Any:
        return key[1] if _is_class(key) else storages[key[2]]

    read_pickle(stream, DRY_NAMES, reading, dry)
    keys = read_pickle(stream, TENSOR_NAMES, reading)
    storages = _legacy_storages(view, stream.tell(), keys, found)
    stream.seek(start)
    return read_pickle(stream, TENSOR_NAMES, reading, storage)


def _is_class(key: Any) -> bool:
    """Whether a persistent id is a class and its source text, as whole models are saved with."""
    return isinstance(key, tuple) and len(key) == 4 and key[0] == "module"


def _legacy_storages(view: memoryview, position: int, keys: Any, found: dict[str, str]) -> dict[str, Storage]:
    named = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
    if not named or sorted(keys) != sorted(found):
        raise BadCheckpoint("its list of storages is not the one its tensors use; download it again")
    storages = {}
    for key in keys:
        storage = Storage(found[key], view[:0])
        if position + 8 > len(view):
            raise BadCheckpoint("it ends early; download it again")
        (numel,) = struct.unpack("<q", view[position : position + 8])
        position += 8
        end = position + numel * storage.item_size
        if numel < 0 or end > len(view):
            raise BadCheckpoint(f"it names a storage of {numel} numbers and ends before; download it again")
        storages[key] = Storage(storage.dtype, view[position:end])
        position = end
    return storages


def _storage_of_bytes(reading: Reading, raw: Any) -> Storage:
    """torch.storage._load_from_bytes: one storage as a legacy torch file inside a plain pickle."""
    if not isinstance(raw, bytes):
        raise ValueError("storage bytes")
    stream = io.BytesIO(raw)
    if read_pickle(stream, TENSOR_NAMES, reading) != LEGACY_MAGIC:
        raise BadCheckpoint("it holds a storage that is no torch storage; nothing was run")
    storage = _read_legacy(stream, memoryview(raw), reading)
    if not isinstance(storage, Storage):
        raise BadCheckpoint("it holds a storage that is none; nothing was run")
    return storage


def _pickle_names(reading: Reading) -> Table:
    """What plain pickles may name: all that torch files may, and what NVIDIA's training code adds."""
    containers = ("ModuleList", "ModuleDict", "Sequential", "ParameterList", "ParameterDict")
    return {
        **TENSOR_NAMES,
        ("torch.storage", "_load_from_bytes"): Reader("storage", partial(_storage_of_bytes, reading)),
        ("dnnlib.util", "EasyDict"): Reader("EasyDict", dictionary),
        ("dnnlib.tflib.network", "Network"): instance("Network"),
        ("torch_utils.persistence", "_reconstruct_persistent_obj"): instance("persistent"),
        **{("torch.nn.modules.container", name): instance(name) for name in containers},
    }


def _dry_names() -> Table:
    """TENSOR_NAMES with tensors left out, for a pass before the storages are known."""

    def nothing(*_: Any) -> None:
        return None

    readers = {key: reader for key, reader in TENSOR_NAMES.items() if isinstance(reader, Reader)}
    silent = {key: Reader("tensor", nothing) for key, reader in readers.items() if reader.name == "tensor"}
    return {**TENSOR_NAMES, **silent}


DRY_NAMES: Table = _dry_names()
