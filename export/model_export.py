# SPDX-License-Identifier: MIT
"""One checkpoint to one model folder: import, graphs, verification, index. Knows the order, no part."""

import logging
import time
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import onnx as onnx_package
import torch

from engines.model_folder import sha256_of
from engines.networks.store import Network, kind_of, save_network
from export.checkpoints.identify import import_checkpoint
from export.model_folder import new_folder, write_index
from export.onnx_export import save_graph
from export.verify import Verification, verify_graph
from face.errors import SinkUnavailable, WrongUse

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export made, for the last line of the command."""

    folder: Path
    origin: str
    licence: str
    notes: tuple[str, ...]
    graphs: dict[str, Verification]  # by role; empty where no ONNX was asked for
    seconds: float

    def as_json(self) -> dict[str, Any]:
        graphs = {role: asdict(verification) for role, verification in self.graphs.items()}
        return {**asdict(self), "folder": str(self.folder), "graphs": graphs}


def export_model(path: Path, out: Path, *, onnx: bool = True, safetensors: bool = False) -> ExportReport:
    """Write `out` with a graph for each network of the checkpoint, each held against torch first.

    onnx: write graphs; safetensors: write weights for the torch engine. Nothing is left behind on failure.
    """
    if not (onnx or safetensors):
        raise WrongUse("found neither --onnx nor --safetensors, expected one of them; ask for an output")
    start = time.perf_counter()
    imported = import_checkpoint(path)
    source = {"file": path.name, "bytes": path.stat().st_size, "sha256": sha256_of(path)}
    notes = {"origin": imported.origin, "licence": imported.licence, "source_sha256": str(source["sha256"])}
    graphs: dict[str, Verification] = {}
    with new_folder(out) as folder:
        try:
            for role, network in imported.networks.items():
                network.eval().requires_grad_(False)
                if safetensors:
                    save_network(network, folder / f"{role}.safetensors", notes=notes)
                if onnx:
                    save_graph(network, folder / f"{role}.onnx", notes=notes)
                    graphs[role] = verify_graph(network, folder / f"{role}.onnx")
                    logger.info("%s.onnx agrees with torch to %.1e", role, graphs[role].max_difference)
            index = {
                "origin": imported.origin,
                "licence": imported.licence,
                "notes": list(imported.notes),
                "source": source,
                "graphs": {r: _described(n, graphs.get(r)) for r, n in imported.networks.items()},
                "made_with": _versions(),
            }
            write_index(folder, index)
        except OSError as error:
            raise SinkUnavailable(
                f"cannot write {out} ({error.strerror}); free space or choose another --out"
            ) from error
    seconds = round(time.perf_counter() - start, 2)
    return ExportReport(out, imported.origin, imported.licence, imported.notes, graphs, seconds)


def _described(network: Network, verification: Verification | None) -> dict[str, Any]:
    """What a player must know to use a network, and how it was verified."""
    return {
        "kind": kind_of(network),
        "inputs": [asdict(spec) for spec in network.inputs],
        "outputs": [asdict(spec) for spec in network.outputs],
        "config": asdict(network.config),
        "verified": None if verification is None else asdict(verification),
    }


def _versions() -> dict[str, str]:
    try:
        own = version("facepuppet")
    except PackageNotFoundError:
        own = "a checkout"
    return {"facepuppet": own, "torch": torch.__version__, "onnx": onnx_package.__version__}
