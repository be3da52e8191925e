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
    steps: Annotated[
        int,
        typer.Option(
            "--steps", metavar="N", min=1, help="Steps of tuning; half as many go before, on the code."
        ),
    ] = 200,
    more: Annotated[
        int,
        typer.Option(
            "--more",
            metavar="N",
            min=0,
            help="Tune the enrolment of this photo that ended by so many further steps.",
        ),
    ] = 0,
    accept: Annotated[
        bool,
        typer.Option("--accept", help="End with status 0 however little the face is like the photo."),
    ] = False,
    json_line: opt.JsonLine = False,
    log_level: opt.Logging = "warning",
) -> int:
    """Invert a portrait once for --method directions: an identity folder that loads at once ever after.

    Two or three minutes on two cores, longer on a busy machine, with the same result; needs the extra [ffhq].
    Ctrl-C leaves no folder; the same command then goes on where it was. Where the face came out little like
    the photo, it is written too, but the status is 1.
    """
    from engines.ffhq_mobile import check_parts, check_size
    from methods.making import enrolments_folder

    log_to_stderr(log_level)
    check_size(size)
    check_parts()
    from methods.enrol import EnrolConfig, enrol

    config = EnrolConfig(code_steps=steps // 2, tune_steps=steps if tune else 0)
    with StepProgress() as progress:
        made = enrol(
            portrait, out, size=size, config=config, more=more, kept_in=enrolments_folder(), on_step=progress
        )
    note(
        f"{made.folder}: {made.seconds:.0f} s, {made.code_steps} steps on the code, {made.tune_steps} on the "
        f"generator, {made.psnr_db:.1f} dB to the photo"
    )
    if made.shortfall:
        goes_on = f"facepuppet enroll {portrait} --out {out} --size {size} --more {steps}"
        note(f"{made.shortfall}; go on with: {goes_on} (or take it as it is: --accept)")
    if json_line:
        last_line({**asdict(made), "folder": str(made.folder), "like": not made.shortfall})
    return 0 if accept or not made.shortfall else 1
