# SPDX-License-Identifier: MIT
"""Weights in, artefacts out: importers, ONNX graphs, verification."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engines.cache import Progress
from export.live_request import LiveRequest
from face.errors import EngineUnavailable

if TYPE_CHECKING:
    from export.model_export import ExportReport


def export_checkpoint(
    path: Path,
    out: Path,
    *,
    onnx: bool = True,
    safetensors: bool = False,
    others: Sequence[Path] = (),
    live: LiveRequest | None = None,
    progress: Progress = lambda phase, share: True,
) -> "ExportReport":
    """Import public checkpoints and write a model folder; torch is loaded here and not before."""
    try:
        from export import model_export
    except ImportError as error:
        raise EngineUnavailable(
            f"export needs torch, onnx and safetensors ({error}); run: pip install 'facepuppet[export]'"
        ) from error
    return model_export.export_model(
        Path(path), Path(out), onnx=onnx, safetensors=safetensors, others=others, live=live, progress=progress
    )
