# SPDX-License-Identifier: MIT
"""Weights in, artefacts out: importers, ONNX graphs, verification. Knows no camera and no training."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from face.errors import EngineUnavailable

if TYPE_CHECKING:
    from engines.cache import Progress
    from export.model_export import ExportReport


@dataclass(frozen=True, slots=True)
class LiveRequest:
    """What is asked of live graphs, one call a frame for a method."""

    precisions: tuple[str, ...] = ("fp32",)
    psi: float | None = None  # None: as the method's authors have it
    limit: float | None = None  # of each number of the motion
    capabilities: tuple[str, ...] = ()  # of GPUs to build engines for with TensorRT-RTX
    engine_cache: Path | None = None  # the player's, where engines go too


def export_checkpoint(
    path: Path,
    out: Path,
    *,
    onnx: bool = True,
    safetensors: bool = False,
    others: Sequence[Path] = (),
    live: LiveRequest | None = None,
    progress: "Progress" = lambda phase, share: True,
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
