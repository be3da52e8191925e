# SPDX-License-Identifier: MIT
"""Checkpoints to one model folder: import, graphs, verification, index. Knows the order, no part."""

import hashlib
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import onnx as onnx_package
import torch

from engines.cache import Progress
from engines.model_folder import sha256_of
from engines.networks.store import Network, save_network
from export.checkpoints.identify import import_checkpoint
from export.checkpoints.imported import Imported
from export.live_export import LiveGraphs, check_request, describe, write_live
from export.live_request import LiveRequest
from export.model_folder import new_folder, write_index
from export.onnx_export import save_graph
from export.style_parts import style_parts
from export.tensorrt_rtx import BuiltEngine
from export.verify import PictureVerification, Verification, verify_graph
from face.errors import SinkUnavailable, WrongUse

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export made, for the last line of the command."""

    folder: Path
    origin: str
    licence: str
    notes: tuple[str, ...]
    graphs: dict[str, Verification | PictureVerification]  # by role; empty where no ONNX was asked for
    seconds: float
    engines: tuple[BuiltEngine, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "folder": str(self.folder)}


def export_model(
    path: Path,
    out: Path,
    *,
    onnx: bool = True,
    safetensors: bool = False,
    others: Sequence[Path] = (),
    live: LiveRequest | None = None,
    progress: Progress = lambda phase, share: True,
) -> ExportReport:
    """Write `out` with a graph for each network of the checkpoint, each held against torch first.

    onnx: write graphs; safetensors: write weights for the torch engine. others: checkpoints with further
    networks of the same model. live: write the method's live graphs too. Nothing is left behind on failure.
    """
    if not (onnx or safetensors or live is not None):
        raise WrongUse("found neither --onnx nor --safetensors, expected one of them; ask for an output")
    if live is not None:
        check_request(live)
    start = time.perf_counter()
    paths = (path, *others)
    parts = tuple(import_checkpoint(each) for each in paths)
    imported = _merged(paths, parts)
    sources = [{"file": p.name, "bytes": p.stat().st_size, "sha256": sha256_of(p)} for p in paths]
    digests = ", ".join(str(source["sha256"]) for source in sources)
    notes = {"origin": imported.origin, "licence": imported.licence, "source_sha256": digests}
    graphs: dict[str, Verification | PictureVerification] = {}
    lively: LiveGraphs | None = None
    with new_folder(out) as folder:
        try:
            for role, network in imported.networks.items():
                network.eval().requires_grad_(False)
                if safetensors:
                    save_network(network, folder / f"{role}.safetensors", notes=notes)
                if onnx:
                    graphs[role] = _graph(network, folder / f"{role}.onnx", notes)
            described = {r: describe(n, graphs.get(r)) for r, n in imported.networks.items()}
            if live is not None:
                origins = tuple(part.origin for part in parts)
                lively = write_live(
                    imported.networks, folder, live, origins=origins, notes=notes, progress=progress
                )
                if safetensors:
                    for network in (lively.live.generator, lively.live.mover):
                        save_network(network, folder / f"{network.role}.safetensors", notes=notes)
                graphs |= lively.verified
                described |= lively.described()
            index = {
                "origin": imported.origin,
                "licence": imported.licence,
                "notes": list(imported.notes),
                "source": sources[0] if len(sources) == 1 else sources,
                "graphs": described,
                "engines": [asdict(engine) for engine in lively.engines] if lively else [],
                "made_with": _versions(),
            }
            write_index(folder, index | (_playable(parts, sources, imported) if lively else {}))
        except OSError as error:
            raise SinkUnavailable(
                f"cannot write {out} ({error.strerror}); free space or choose another --out"
            ) from error
    seconds = round(time.perf_counter() - start, 2)
    engines = lively.engines if lively else ()
    return ExportReport(out, imported.origin, imported.licence, imported.notes, graphs, seconds, engines)


def _graph(network: Network, path: Path, notes: dict[str, str]) -> Verification:
    """Write a network's graph and hold it against torch."""
    save_graph(network, path, notes=notes)
    found = verify_graph(network, path)
    logger.info("%s agrees with torch", path.name)
    return found


def _merged(paths: Sequence[Path], parts: Sequence[Imported]) -> Imported:
    """All networks as if they came from one file; two of one role are an error."""
    networks: dict[str, Network] = {}
    for path, part in zip(paths, parts, strict=True):
        twice = sorted(set(networks) & set(part.networks))
        if twice:
            raise WrongUse(
                f"{path.name} has a {twice[0]}, and so has a checkpoint before it, expected one of each; "
                "leave one of them out"
            )
        networks |= part.networks
    networks |= style_parts(networks)
    origin = " + ".join(dict.fromkeys(part.origin for part in parts))
    licence = "; ".join(dict.fromkeys(part.licence for part in parts))
    notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
    meant = [part.parameters for part in parts if part.parameters is not None]
    return Imported(origin, licence, networks, notes, meant[0] if meant else None)


def _playable(
    parts: Sequence[Imported], sources: Sequence[dict[str, Any]], imported: Imported
) -> dict[str, Any]:
    """What a player asks of a folder with live graphs: a key of the generator, and what moves it."""
    used = sorted(
        str(source["sha256"])
        for part, source in zip(parts, sources, strict=True)
        if "generator" in part.networks
    )
    found: dict[str, Any] = {"key": hashlib.sha256(" ".join(used).encode()).hexdigest()}
    if imported.parameters is not None:
        meant = asdict(imported.parameters)
        found |= {"parameters": meant["names"], "ranges": meant["ranges"], "scales": meant["scales"]}
    return found


def _versions() -> dict[str, str]:
    try:
        own = version("facepuppet")
    except PackageNotFoundError:
        own = "a checkout"
    return {"facepuppet": own, "torch": torch.__version__, "onnx": onnx_package.__version__}
