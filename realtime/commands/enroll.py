# SPDX-License-Identifier: MIT
"""facepuppet enroll: a photo brought into a generator, once."""

from dataclasses import asdict, dataclass
from pathlib import Path

from realtime.console import ProgressBars, last_line, note
from realtime.options import GENERATED_SIZE, PATH, REQUIRED, Run, argument, flag


@dataclass(frozen=True, slots=True)
class EnrollOptions:
    portrait: Path = argument(REQUIRED, "Photo of one face.", "PORTRAIT")
    out: Path = flag(REQUIRED, "The identity folder that is written.", kind=PATH, short="o", metavar="DIR")
    size: int = flag(256, GENERATED_SIZE, metavar="PIXELS")
    tune: bool = flag(True, "Tune the generator on this portrait, as in LOR.")
    limit: float = flag(150.0, "Seconds the search may take; less when done.", metavar="S", low=5)
    this_run: Run = Run()


def enroll(options: EnrollOptions) -> int:
    """Invert a portrait once for --method directions: an identity folder that loads at once ever after.

    Two or three minutes on two cores; needs the extra [ffhq]. Ctrl-C leaves nothing behind.
    """
    from engines.ffhq_mobile import check_parts, check_size

    check_size(options.size)
    check_parts()
    from methods.enrol import EnrolConfig, enrol

    config = EnrolConfig(limit_s=options.limit, tune_steps=EnrolConfig().tune_steps * options.tune)
    with ProgressBars() as progress:
        made = enrol(options.portrait, options.out, size=options.size, config=config, on_step=progress)
    note(
        f"{made.folder}: {made.seconds:.0f} s, {made.code_steps} steps on the code, {made.tune_steps} on the "
        f"generator, {made.psnr_db:.1f} dB to the photo"
    )
    if options.this_run.json:
        last_line({**asdict(made), "folder": str(made.folder)})
    return 0
