# SPDX-License-Identifier: MIT
"""Flags of the export command. Knows no checkpoint."""

from pathlib import Path
from typing import Annotated

import typer

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
    typer.Option("--live", rich_help_panel=LIVE, help="Write the graph of a live run: motion to picture."),
]
Precision = Annotated[
    list[str] | None,
    typer.Option(
        "--precision",
        metavar="P",
        rich_help_panel=LIVE,
        help="Of the live graph: fp32 (always), fp16, int8. Repeatable.",
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
        help="Build the live graph for GeForce GPUs ahead of time; needs no GPU.",
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
