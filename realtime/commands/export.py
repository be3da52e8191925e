# SPDX-License-Identifier: MIT
"""facepuppet export: public checkpoints to a model folder."""

from dataclasses import dataclass
from pathlib import Path

from realtime.console import StatusLine, last_line, note
from realtime.options import NUMBER, PATH, REQUIRED, TEXT, Run, argument, flag

GEFORCE = ("8.6", "8.9", "12.0")  # compute capabilities of RTX 30, 40, 50

GRAPHS, LIVE, ENGINES = "Graphs", "Live graph", "Engines"


@dataclass(frozen=True, slots=True)
class ExportOptions:
    checkpoint: Path = argument(REQUIRED, "A published checkpoint: .pkl, .pt.", "CHECKPOINT")
    out: Path = flag(REQUIRED, "The model folder that is written.", kind=PATH, short="o", metavar="DIR")
    others: tuple[Path, ...] = flag(
        (),
        "A further checkpoint of the same model, as the generator that directions move. Repeatable.",
        kind=PATH,
        name="with",
        metavar="CHECKPOINT",
        many=True,
    )
    onnx: bool = flag(True, "Write graphs for ONNX Runtime.", group=GRAPHS)
    safetensors: bool = flag(False, "Write weights for the torch engine.", group=GRAPHS)
    live: bool = flag(False, "Write a live run's graphs: motion to latent to picture.", group=LIVE)
    precision: tuple[str, ...] = flag(
        (),
        "Of the generator's live graph: fp32 (always), fp16, int8. Repeatable.",
        kind=TEXT,
        metavar="P",
        many=True,
        group=LIVE,
    )
    psi: float | None = flag(
        None, "Truncation; without: as its authors have it.", kind=NUMBER, low=0, high=1, group=LIVE
    )
    limit: float | None = flag(None, "Bound of each number of the motion.", kind=NUMBER, low=0, group=LIVE)
    tensorrt_rtx: bool = flag(
        False, "Build the live graphs for GeForce GPUs ahead of time; needs no GPU.", group=ENGINES
    )
    capability: tuple[str, ...] = flag(
        (),
        "Compute capability to build for; without: 8.6, 8.9, 12.0. Repeatable.",
        kind=TEXT,
        metavar="X.Y",
        many=True,
        group=ENGINES,
    )
    this_run: Run = Run()

    @property
    def asks_live(self) -> bool:
        wishes = (self.precision, self.capability, self.psi is not None, self.limit is not None)
        return self.live or self.tensorrt_rtx or any(wishes)


def export(options: ExportOptions) -> int:
    """Import public checkpoints and write a model folder, each graph verified against torch."""
    # the one place where realtime meets export, and only when asked
    from engines.folders import cache_folder
    from export import export_checkpoint
    from export.live_request import LiveRequest

    wanted: LiveRequest | None = None
    if options.asks_live:
        built_for = (options.capability or GEFORCE) if options.tensorrt_rtx or options.capability else ()
        wanted = LiveRequest(
            options.precision or ("fp32",),
            options.psi,
            options.limit,
            built_for,
            cache_folder() / "engines",
        )
    status = ""  # while importing: an error must stay the only line

    def told(phase: str, share: float) -> bool:
        nonlocal status
        status = f"{phase} {share:.0%}"
        return True

    with StatusLine(lambda: status):
        report = export_checkpoint(
            options.checkpoint,
            options.out,
            onnx=options.onnx,
            safetensors=options.safetensors,
            others=options.others,
            live=wanted,
            progress=told,
        )
    note(f"{report.folder}: {report.origin}, licence {report.licence}, {report.seconds:.1f} s")
    for engine in report.engines:
        note(f"{engine.file}: {engine.bytes / 2**20:.0f} MiB, {engine.seconds:.1f} s, {engine.runtime}")
    for line in report.notes:
        note(line)
    if options.this_run.json:
        last_line(report.as_json())
    return 0
