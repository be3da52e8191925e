# SPDX-License-Identifier: MIT
"""Build encoder, mover and generator for GeForce GPUs that are not here, and report sizes and seconds.

    python -m benchmarks.engine_builds --report builds.md

Graphs of directions at real sizes: the shipped generator with its encoder where both are installed, and
StyleGAN2 with random weights. Generators in half precision and int8, the others as they are, by TensorRT-RTX
ahead of time, for compute capability 8.6, 8.9 and 12.0. Building checks operators and types; it says nothing
of speed, and none of these engines has been run on a GPU. The last line is JSON.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from benchmarks.engine import config_of
from engines.graphs import ENCODER
from engines.networks.directions import Directions, DirectionsConfig
from engines.networks.store import Network
from engines.networks.stylegan2 import Synthesis
from export.ffhq_model import load_parts, whole_encoder
from export.live_export import write_live
from export.live_request import LiveRequest
from export.onnx_export import save_graph
from export.tensorrt_rtx import CAPABILITIES
from export.verify import PictureVerification
from face.errors import PuppetError
from realtime.machine import this_machine

IMAGE_GAIN = 0.05  # of the random ToImage: its pictures are then neither black nor white
PACKAGE = "package"


@dataclass(frozen=True, slots=True)
class Row:
    model: str
    graph: str
    graph_mib: float
    psnr_db: float | None  # of a generator's graph in ONNX Runtime to torch in float32
    compute_capability: str
    engine_mib: float
    seconds: float


def networks_of(name: str) -> dict[str, Network]:
    """By role, of "package:256" or "stylegan2:512:32768"."""
    kind, *numbers = name.split(":")
    networks: dict[str, Network]
    if kind == PACKAGE:
        parts = load_parts(int(numbers[0]))
        networks = {"generator": parts.synthesis, "mapping": parts.mapping}
        networks[ENCODER] = whole_encoder(parts.encoder)
    else:
        networks = {"generator": random_synthesis(int(numbers[0]), int(numbers[1]))}
    rows = networks["generator"].inputs[0].shape[1]
    torch.manual_seed(1)
    directions = Directions(DirectionsConfig(15, min(8, rows), 512))
    directions.linear.weight.data.mul_(0.05)  # pictures on which int8 is calibrated are then likely ones
    return {**networks, "directions": directions.eval().requires_grad_(False)}


def random_synthesis(resolution: int, base: int) -> Synthesis:
    torch.manual_seed(0)
    synthesis = Synthesis(config_of(resolution, base)).eval().requires_grad_(False)
    for parameter in synthesis.parameters():
        if parameter.ndim == 0:
            parameter.fill_(0.1)  # noise strengths
    for block in synthesis.blocks.values():
        block.torgb.weight.mul_(IMAGE_GAIN)
    return synthesis


def build(name: str, networks: dict[str, Network], request: LiveRequest) -> list[Row]:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        if ENCODER in networks:
            save_graph(networks[ENCODER], Path(folder) / f"{ENCODER}.onnx")
        made = write_live(
            networks,
            Path(folder),
            request,
            origins=(),
            notes={},
            progress=lambda phase, share: _show(name, phase, share),
        )
        for engine in made.engines:
            graph = Path(folder) / engine.graph
            found = made.verified.get(graph.stem)
            rows.append(
                Row(
                    model=name,
                    graph=engine.graph,
                    graph_mib=graph.stat().st_size / 2**20,
                    psnr_db=found.psnr_db if isinstance(found, PictureVerification) else None,
                    compute_capability=engine.compute_capability,
                    engine_mib=engine.bytes / 2**20,
                    seconds=engine.seconds,
                )
            )
    return rows


def _show(name: str, phase: str, share: float) -> bool:
    if sys.stderr.isatty():
        print(f"\r{name} {phase} {share:.0%}".ljust(60), end="", file=sys.stderr, flush=True)
    return True


def table(rows: list[Row]) -> str:
    lines = [
        "| model | graph | MiB | dB to float32 | compute capability | engine, MiB | seconds |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        quality = "" if row.psnr_db is None else f"{row.psnr_db:.1f}"
        lines.append(
            f"| {row.model} | {row.graph} | {row.graph_mib:.1f} | {quality} "
            f"| {row.compute_capability} | {row.engine_mib:.1f} | {row.seconds:.1f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--models",
        default="package:256,package:1024,stylegan2:256:16384,stylegan2:512:32768,stylegan2:1024:32768",
    )
    parser.add_argument("--capabilities", default=",".join(CAPABILITIES))
    parser.add_argument("--precisions", default="fp16,int8", help="int8 takes minutes at 1024 px")
    parser.add_argument("--report", type=Path, help="Markdown file for the table")
    options = parser.parse_args()
    request = LiveRequest(
        tuple(options.precisions.split(",")), capabilities=tuple(options.capabilities.split(","))
    )
    rows: list[Row] = []
    missing = []
    for name in options.models.split(","):
        try:
            networks = networks_of(name)
        except PuppetError as error:
            missing.append(f"{name}: {error}")
            print(missing[-1])
            continue
        rows += build(name, networks, request)
    text = table(rows)
    print(text)
    if options.report is not None:
        options.report.write_text(text, encoding="utf-8")
    report = {"machine": asdict(this_machine()), "missing": missing, "rows": [asdict(row) for row in rows]}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
