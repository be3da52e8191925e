# SPDX-License-Identifier: MIT
"""Runs an ONNX graph with OpenVINO on the CPU. Knows no other runtime.

Pictures are computed in bfloat16 where the processor does so natively: twice as fast, 50 dB from float32 on
the shipped generator (0.4 grey levels on average). Graphs that give numbers stay float32.
"""

from pathlib import Path
from typing import Any, Self

import numpy as np
import openvino as ov

from engines.base import Array, Provenance, TensorSpec, check_arrays
from face.errors import ModelUnavailable

VERSION = ov.__version__.partition("-")[0]
FREE = "n"  # what all our graphs call their free dimension; OpenVINO forgets names


class OpenVinoEngine:
    """An ONNX graph compiled for this processor."""

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        core = ov.Core()
        try:
            model = core.read_model(str(path))
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            raise ModelUnavailable(
                f"{path.name} is no graph OpenVINO {VERSION} can read ({reason}); export it again"
            ) from error
        self.inputs = tuple(_spec(port) for port in model.inputs)
        self.outputs = tuple(_spec(port) for port in model.outputs)
        pictures = all(spec.dtype == "uint8" for spec in self.outputs)
        native = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        precision = "bf16" if pictures and native else "f32"
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads,  # 0: all
            "ENABLE_CPU_PINNING": False,  # capture and tracking need the cores too
            "INFERENCE_PRECISION_HINT": precision,
        }
        self._request: Any = core.compile_model(model, "CPU", settings).create_infer_request()
        cores = "all cores" if threads == 0 else f"{threads} thread{'s' if threads > 1 else ''}"
        self.provenance = Provenance(path, "openvino", f"openvino {VERSION}", f"CPU, {cores}, {precision}")

    def run(self, **arrays: Array) -> dict[str, Array]:
        """One call of the graph; TypeError and ValueError say which input does not fit."""
        if self._request is None:
            raise ValueError("this engine is closed")
        check_arrays(self.inputs, arrays)
        # not all by ascontiguousarray: it makes a scalar one-dimensional
        given = {name: a if a.flags.c_contiguous else np.ascontiguousarray(a) for name, a in arrays.items()}
        made = self._request.infer(given, share_inputs=True)  # outputs are copied: the caller's own
        return {spec.name: made[index] for index, spec in enumerate(self.outputs)}

    def close(self) -> None:
        self._request = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _spec(port: Any) -> TensorSpec:
    shape = tuple(FREE if size.is_dynamic else size.get_length() for size in port.get_partial_shape())
    return TensorSpec(port.get_any_name(), shape, np.dtype(port.get_element_type().to_dtype()).name)


def check() -> str:
    """What would run it."""
    return f"openvino {VERSION}, CPU"


def open_artefact(path: Path, threads: int) -> OpenVinoEngine:
    """What the registry calls."""
    return OpenVinoEngine(path, threads=threads)
