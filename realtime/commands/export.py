# SPDX-License-Identifier: MIT
"""facepuppet export: public checkpoints to a model folder."""

from pathlib import Path
from typing import Annotated

import typer

from engines.folders import cache_folder
from realtime.commands import options as opt
from realtime.console import StatusLine, last_line, log_to_stderr, note

GEFORCE = ("8.6", "8.9", "12.0")  # compute capabilities of RTX 30, 40, 50

GRAPHS, LIVE, ENGINES = "Graphs", "Live graph", "Engines"

Checkpoint = Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="A published checkpoint: .pkl, .pt.")]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The model folder that is written.")]
Others = Annotated[
    list[Path] | None,
    typer.Option(
        "--with",
        metavar="CHECKPOINT",
        help="A further checkpoint of the same model, as the generator that directions move. Repeatable.",
    ),
]
Onnx = Annotated[
    bool,
    typer.Option("--onnx/--no-onnx", rich_help_panel=GRAPHS, help="Write graphs for ONNX Runtime."),
]
Safetensors = Annotated[
    bool,
    typer.Option(
        "--safetensors/--no-safetensors",
        rich_help_panel=GRAPHS,
        help="Write weights for the torch engine.",
    ),
]
Live = Annotated[
    bool,
    typer.Option(
        "--live",
        rich_help_panel=LIVE,
        help="Write a live run's graphs: motion to latent to picture.",
    ),
]
Precision = Annotated[
    list[str] | None,
    typer.Option(
        "--precision",
        metavar="P",
        rich_help_panel=LIVE,
        help="Of the generator's live graph: fp32 (always), fp16, int8. Repeatable.",
    ),
]
Psi = Annotated[
    float | None,
    typer.Option(
        "--psi",
        min=0,
        max=1,
        show_default=False,
        rich_help_panel=LIVE,
        help="Truncation; without: as its authors have it.",
    ),
]
Limit = Annotated[
    float | None,
    typer.Option(
        "--limit",
        min=0,
        show_default=False,
        rich_help_panel=LIVE,
        help="Bound of each number of the motion.",
    ),
]
TensorrtRtx = Annotated[
    bool,
    typer.Option(
        "--tensorrt-rtx",
        rich_help_panel=ENGINES,
        help="Build the live graphs for GeForce GPUs ahead of time; needs no GPU.",
    ),
]
Capability = Annotated[
    list[str] | None,
    typer.Option(
        "--capability",
        metavar="X.Y",
        rich_help_panel=ENGINES,
        help="Compute capability to build for; without: 8.6, 8.9, 12.0. Repeatable.",
    ),
]


def export(
    checkpoint: Checkpoint, out: Out, others: Others = None,
    onnx: Onnx = True, safetensors: Safetensors = False,
    live: Live = False, precision: Precision = None, psi: Psi = None, limit: Limit = None,
    tensorrt_rtx: TensorrtRtx = False, capability: Capability = None,
    json_line: opt.JsonLine = False, log_level: opt.Logging = "warning",
) -> int:  # fmt: skip
    """Import public checkpoints and write a model folder, each graph verified against torch."""
    # the one place where realtime meets export, and only when asked
    from export import export_checkpoint
    from export.live_request import LiveRequest

    log_to_stderr(log_level)
    wanted: LiveRequest | None = None
    if live or tensorrt_rtx or any(flag is not None for flag in (precision, psi, limit, capability)):
        built_for = tuple(capability or GEFORCE) if tensorrt_rtx or capability else ()
        cache = cache_folder() / "engines"
        wanted = LiveRequest(tuple(precision or ("fp32",)), psi, limit, built_for, cache)
    status = ""  # while importing: an error must stay the only line

    def told(phase: str, share: float) -> bool:
        nonlocal status
        status = f"{phase} {share:.0%}"
        return True

    with StatusLine(lambda: status):
        report = export_checkpoint(
            checkpoint, out, onnx=onnx, safetensors=safetensors, others=tuple(others or ()), live=wanted,
            progress=told,
        )  # fmt: skip
    note(f"{report.folder}: {report.origin}, licence {report.licence}, {report.seconds:.1f} s")
    for engine in report.engines:
        note(f"{engine.file}: {engine.bytes / 2**20:.0f} MiB, {engine.seconds:.1f} s, {engine.runtime}")
    for line in report.notes:
        note(line)
    if json_line:
        last_line(report.as_json())
    return 0
