# SPDX-License-Identifier: MIT
"""The names a checkpoint's pickle may use, and how each is read into plain data.

Tensors are views of the file's bytes: reading a checkpoint of a gigabyte costs no second gigabyte. What is no
tensor of plain numbers (text, objects, eight-bit floats) becomes a Record, which is no error beside weights.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.checkpoints.shown import shown
from export.checkpoints.unpickle import Reader, Record, Table, flat_key, instance
from face.errors import BadCheckpoint

# torch's storage classes by numpy's dtype codes; bfloat16 has none, its bits are widened when asked for. The
# old container tells sizes by these alone, so that those which hold no weights are here too.
STORAGES = {
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "DoubleStorage": "<f8",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
    "BoolStorage": "|b1",
    "ComplexFloatStorage": "<c8",
    "ComplexDoubleStorage": "<c16",
    "QInt8Storage": "|i1",
    "QUInt8Storage": "|u1",
    "QInt32Storage": "<i4",
}
DTYPES = {  # of tensors over bytes, by torch's names
    "float32": "<f4",
    "float16": "<f2",
    "float64": "<f8",
    "bfloat16": "bfloat16",
    "int64": "<i8",
    "int32": "<i4",
    "int16": "<i2",
    "int8": "|i1",
    "uint8": "|u1",
    "uint16": "<u2",
    "uint32": "<u4",
    "uint64": "<u8",
    "bool": "|b1",
}
STORAGE_TYPES = {*STORAGES.values(), *DTYPES.values()}
NUMBERS = "fiub"  # kinds of numpy's dtypes that are weights
NUMPY_TYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")
MAX_DIMENSIONS = 8
MAX_SIZE = 1 << 40


@dataclass(frozen=True, slots=True)
class Storage:
    """The bytes behind one or more tensors."""

    dtype: str
    data: memoryview

    def __post_init__(self) -> None:
        if self.dtype not in STORAGE_TYPES:
            raise BadCheckpoint(f"it holds a storage of {shown(self.dtype)}, expected numbers")

    @property
    def item_size(self) -> int:
        return 2 if self.dtype == "bfloat16" else np.dtype(self.dtype).itemsize


@dataclass(frozen=True, slots=True)
class BFloat16:
    """A bfloat16 tensor by its bits."""

    bits: NDArray[np.uint16]


class NumpyType:
    """A numpy dtype of plain numbers while its byte order is still to come."""

    def __init__(self, code: str) -> None:
        self.dtype = np.dtype(code)

    def take_state(self, state: Any) -> None:
        """(version, byte order, ...), as numpy pickles it."""
        if state[1] not in ("<", ">", "|", "="):
            raise ValueError("byte order")
        self.dtype = self.dtype.newbyteorder(state[1])


def _numpy_type(code: Any, *_: Any) -> NumpyType | Record:
    known = isinstance(code, str) and code in NUMPY_TYPES
    return NumpyType(code) if known else Record(f"numpy.dtype of {shown(code)}")


class NumpyArray:
    """A numpy array while its bytes are still to come; one that is not of plain numbers stays without."""

    def __init__(self, *_: Any) -> None:
        self.values: NDArray[Any] | None = None

    def take_state(self, state: Any) -> None:
        """(version, shape, dtype, Fortran order, bytes), as numpy pickles it."""
        _, shape, dtype, fortran, raw = state
        if isinstance(dtype, NumpyType):
            self.values = _numpy_buffer(raw, dtype, shape, "F" if fortran else "C")


def _shape(sizes: Any) -> tuple[int, ...]:
    if not isinstance(sizes, tuple) or len(sizes) > MAX_DIMENSIONS:
        raise ValueError("shape")
    if not all(type(size) is int and 0 <= size < MAX_SIZE for size in sizes):
        raise ValueError("shape")
    return sizes


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> NDArray[Any] | BFloat16 | Record:
    """torch._utils._rebuild_tensor*: a view of a storage, held to its bounds."""
    if isinstance(storage, Record):
        return Record(storage.name)
    if not isinstance(storage, Storage) or not isinstance(size, tuple):
        raise ValueError("tensor")
    (offset,), shape, strides = _shape((offset,)), _shape(size), _shape(stride)
    if len(shape) != len(strides):
        raise ValueError("tensor strides")
    item = storage.item_size
    numel = 1
    for count in shape:
        numel *= count
    if (offset + numel) * item > len(storage.data):
        raise BadCheckpoint(
            f"it holds a tensor of {numel} numbers in a storage of {len(storage.data) // item}"
        )
    steps = tuple(step * item for step in strides)
    dtype = np.dtype("<u2" if storage.dtype == "bfloat16" else storage.dtype)
    array = np.ndarray(shape, dtype, buffer=storage.data, offset=offset * item, strides=steps)
    return BFloat16(array) if storage.dtype == "bfloat16" else array


def _typed_tensor(
    storage: Any, offset: Any, size: Any, stride: Any, gradient: Any, hooks: Any, dtype: Any, *_: Any
) -> NDArray[Any] | BFloat16 | Record:
    """torch._utils._rebuild_tensor_v3: a view of bytes, for dtypes that have no storage of their own."""
    if isinstance(dtype, Reader):
        return Record(dtype.name)
    if not isinstance(storage, Storage) or not isinstance(dtype, str):
        raise ValueError("tensor")
    return _tensor(Storage(dtype, storage.data), offset, size, stride)


def _with_attributes(rebuild: Any, kind: Any, args: Any, *_: Any) -> Any:
    """torch._tensor._rebuild_from_type_v2: a tensor with attributes, which carry no weights."""
    if not isinstance(rebuild, Reader) or rebuild.name not in ("tensor", "parameter"):
        return Record("torch._tensor._rebuild_from_type_v2")
    return rebuild.call(*args)


def _number(dtype: Any, raw: Any) -> Any:
    """numpy scalar."""
    if not isinstance(dtype, NumpyType):
        return Record("numpy.scalar")
    if not isinstance(raw, bytes):
        raise ValueError("number")
    return np.frombuffer(raw, dtype.dtype, count=1)[0].item()


def _numpy_buffer(raw: Any, dtype: Any, shape: Any, order: Any) -> Any:
    """numpy's protocol 5 form."""
    if not isinstance(dtype, NumpyType):
        return Record("numpy.ndarray")
    if not isinstance(raw, bytes) or order not in ("C", "F"):
        raise ValueError("buffer")
    return np.frombuffer(raw, dtype.dtype).reshape(_shape(shape), order=order)


def _encoded(text: Any, codec: Any) -> bytes:
    """bytes, as protocols before 3 spell them."""
    if not isinstance(text, str) or codec != "latin1":
        raise ValueError("codec")
    return text.encode("latin1")


def dictionary(items: Any = ()) -> dict[Any, Any]:
    if isinstance(items, dict):
        return dict(items)
    if not isinstance(items, list | tuple):
        raise ValueError("dictionary")
    return {flat_key(key): value for key, value in items}


def _collection(kind: type) -> Callable[..., Any]:
    def read(items: Any = ()) -> Any:
        if not isinstance(items, list | tuple):
            raise ValueError("collection")
        return kind(map(flat_key, items) if kind is set else items)

    return read


def _device(kind: Any, index: Any = 0) -> Any:
    return kind if isinstance(kind, str) else Record("torch.device")


def _defaultdict(factory: Any = None, items: Any = ()) -> dict[Any, Any]:
    return dictionary(items)


def _deque(items: Any = (), length: Any = None) -> list[Any]:
    return list(items) if isinstance(items, list | tuple) else []


def _reconstructed(reader: Any, base: Any, state: Any = None) -> Any:
    """copyreg._reconstructor: an instance as protocols before 2 spell it."""
    if not isinstance(reader, Reader):
        raise ValueError("instance")
    return reader.call(*(() if state is None else (state,)))


def _names() -> dict[tuple[str, str], Any]:
    """What torch's own files name."""
    table: dict[tuple[str, str], Any] = {
        ("collections", "OrderedDict"): Reader("OrderedDict", dictionary),
        ("collections", "Counter"): Reader("Counter", dictionary),
        ("collections", "defaultdict"): Reader("defaultdict", _defaultdict),
        ("collections", "deque"): Reader("deque", _deque),
        ("argparse", "Namespace"): instance("Namespace"),
        ("types", "SimpleNamespace"): instance("Namespace"),
        ("_codecs", "encode"): Reader("encode", _encoded),
        ("torch", "Size"): Reader("Size", _collection(tuple)),
        ("torch", "device"): Reader("device", _device),
        ("torch._utils", "_rebuild_tensor"): Reader("tensor", _tensor),
        ("torch._utils", "_rebuild_tensor_v2"): Reader("tensor", _tensor),
        ("torch._utils", "_rebuild_tensor_v3"): Reader("tensor", _typed_tensor),
        ("torch._utils", "_rebuild_parameter"): Reader("parameter", lambda data, *_: data),
        ("torch._utils", "_rebuild_parameter_with_state"): Reader("parameter", lambda data, *_: data),
        ("torch._tensor", "_rebuild_from_type_v2"): Reader("attributes", _with_attributes),
        ("torch.storage", "UntypedStorage"): "|u1",
        ("numpy", "dtype"): Reader("dtype", _numpy_type),
        ("torch", "Tensor"): "Tensor",
        ("torch.nn.parameter", "Parameter"): "Parameter",
        ("numpy", "ndarray"): "ndarray",
    }
    for module in ("builtins", "__builtin__"):
        table[(module, "object")] = "object"
        for kind in (set, list, tuple, dict):
            read = dictionary if kind is dict else _collection(kind)
            table[(module, kind.__name__)] = Reader(kind.__name__, read)
        table[(module, "frozenset")] = Reader("set", _collection(set))
        table[(module, "bytearray")] = Reader("bytes", lambda raw=b"": raw if isinstance(raw, bytes) else b"")
    for module in ("copyreg", "copy_reg"):
        table[(module, "_reconstructor")] = Reader("instance", _reconstructed)
    for package in ("numpy.core", "numpy._core"):
        table[(f"{package}.multiarray", "_reconstruct")] = Reader("array", NumpyArray)
        table[(f"{package}.multiarray", "scalar")] = Reader("number", _number)
        table[(f"{package}.numeric", "_frombuffer")] = Reader("array", _numpy_buffer)
    for name, dtype in STORAGES.items():
        table[("torch", name)] = dtype
    for name, dtype in DTYPES.items():
        table[("torch", name)] = dtype
    return table


TENSOR_NAMES: Table = _names()


def stored_array(value: Any) -> NDArray[Any] | None:
    """The array of plain numbers behind a tensor or array as it is in the file, bfloat16 as its bits."""
    if isinstance(value, BFloat16):
        return value.bits
    if isinstance(value, NumpyArray):
        value = value.values
    return value if isinstance(value, np.ndarray) and value.dtype.kind in NUMBERS else None


def as_array(value: Any) -> NDArray[Any] | None:
    """The array of plain numbers behind a tensor or array, None for anything else."""
    array = stored_array(value)
    if array is None or not isinstance(value, BFloat16):
        return array
    return (array.astype(np.uint32) << 16).view(np.float32)


def as_dict(value: Any) -> dict[Any, Any] | None:
    """The options behind a dictionary or an instance of any class, None for anything else."""
    if isinstance(value, Record):
        value = value.state if value.items is None else value.items
    return value if isinstance(value, dict) else None
