# SPDX-License-Identifier: MIT
"""Runs an ONNX graph with ONNX Runtime on the CPU. Knows no other runtime."""

from pathlib import Path
from typing import Self

import numpy as np
import onnxruntime as ort

from engines.base import Array, Provenance, TensorSpec, check_arrays
from face.errors import ModelUnavailable

DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}
ERRORS_ONLY = 3  # ONNX Runtime's log severity; what matters is raised


class OnnxEngine:
    """An ONNX graph held by one ONNX Runtime session."""

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Spinning workers take the cores that capture and tracking need: measured slower than sleeping ones.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        options.log_severity_level = ERRORS_ONLY
        try:
            session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime's own errors have no common base but Exception
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ModelUnavailable(
                f"{path.name} is no graph ONNX Runtime {ort.__version__} can run ({reason}); export it again"
            ) from error
        self._session: ort.InferenceSession | None = session
        self.inputs = tuple(_spec(value) for value in session.get_inputs())
        self.outputs = tuple(_spec(value) for value in session.get_outputs())
        self._output_names = [spec.name for spec in self.outputs]
        cores = "all cores" if threads == 0 else f"{threads} thread{'s' if threads > 1 else ''}"
        self.provenance = Provenance(path, "onnx", f"onnxruntime {ort.__version__}", f"CPU, {cores}")

    def run(self, **arrays: Array) -> dict[str, Array]:
        """One call of the graph; TypeError and ValueError say which input does not fit."""
        if self._session is None:
            raise ValueError("this engine is closed")
        check_arrays(self.inputs, arrays)
        values = self._session.run(self._output_names, arrays)
        return dict(zip(self._output_names, (np.asarray(value) for value in values), strict=True))

    def close(self) -> None:
        self._session = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _spec(value: ort.NodeArg) -> TensorSpec:
    if value.type not in DTYPES:
        raise ModelUnavailable(
            f"the graph's {value.name} is {value.type}, expected one of: {', '.join(DTYPES)}"
        )
    shape = tuple(size if isinstance(size, int) else str(size) for size in value.shape)
    return TensorSpec(value.name, shape, DTYPES[value.type])


def check() -> str:
    """What would run it."""
    return f"onnxruntime {ort.__version__}, CPU"


def open_artefact(path: Path, threads: int) -> OnnxEngine:
    """What the registry calls."""
    return OnnxEngine(path, threads=threads)
