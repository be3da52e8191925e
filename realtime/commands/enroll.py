# SPDX-License-Identifier: MIT
"""facepuppet enroll: a photo brought into a generator, once."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from realtime.commands import options as opt
from realtime.console import StepProgress, last_line, log_to_stderr, note


def enroll(
    portrait: Annotated[Path, typer.Argument(metavar="PORTRAIT", help="Photo of one face.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="The identity folder that is written.")
    ],
    size: Annotated[
        int, typer.Option("--size", metavar="PIXELS", help="Side of the generated picture: 256, 512, 1024.")
    ] = 256,
    tune: Annotated[
        bool, typer.Option("--tune/--no-tune", help="Tune the generator on this portrait, as in LOR.")
    ] = True,
    limit: Annotated[
        float,
        typer.Option("--limit", metavar="S", min=5, help="Seconds the search may take; less when done."),
    ] = 150.0,
    json_line: opt.JsonLine = False,
    log_level: opt.Logging = "warning",
) -> int:
    """Invert a portrait once for --method directions: an identity folder that loads at once ever after.

    Two or three minutes on two cores; needs the extra [ffhq]. Ctrl-C leaves nothing behind.
    """
    from engines.ffhq_mobile import check_parts, check_size

    log_to_stderr(log_level)
    check_size(size)
    check_parts()
    from methods.enrol import EnrolConfig, enrol

    config = EnrolConfig(limit_s=limit, tune_steps=EnrolConfig().tune_steps if tune else 0)
    with StepProgress() as progress:
        made = enrol(portrait, out, size=size, config=config, on_step=progress)
    note(
        f"{made.folder}: {made.seconds:.0f} s, {made.code_steps} steps on the code, {made.tune_steps} on the "
        f"generator, {made.psnr_db:.1f} dB to the photo"
    )
    if json_line:
        last_line({**asdict(made), "folder": str(made.folder)})
    return 0
