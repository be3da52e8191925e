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
    steps: int = flag(200, "Steps of tuning; half as many go before, on the code.", low=1)
    more: int = flag(0, "Tune the enrolment of this photo that ended by so many further steps.", low=0)
    accept: bool = flag(False, "End with status 0 however little the face is like the photo.")
    this_run: Run = Run()


def enroll(options: EnrollOptions) -> int:
    """Invert a portrait once for --method directions: an identity folder that loads at once ever after.

    Two or three minutes on two cores, longer on a busy machine, with the same result; needs the extra [ffhq].
    Ctrl-C leaves no folder; the same command then goes on where it was. Where the face came out little like
    the photo, it is written too, but the status is 1.
    """
    from engines.ffhq_mobile import check_parts, check_size
    from methods.making import enrolments_folder

    check_size(options.size)
    check_parts()
    from methods.enrol import EnrolConfig, enrol

    steps = options.steps
    config = EnrolConfig(code_steps=steps // 2, tune_steps=steps * options.tune)
    with ProgressBars() as progress:
        made = enrol(
            options.portrait,
            options.out,
            size=options.size,
            config=config,
            more=options.more,
            kept_in=enrolments_folder(),
            on_step=progress,
        )
    note(
        f"{made.folder}: {made.seconds:.0f} s, {made.code_steps} steps on the code, {made.tune_steps} on the "
        f"generator, {made.psnr_db:.1f} dB to the photo"
    )
    if made.shortfall:
        again = f"facepuppet enroll {options.portrait} --out {options.out} --size {options.size}"
        goes_on = f"{again} --more {options.steps}"
        note(f"{made.shortfall}; go on with: {goes_on} (or take it as it is: --accept)")
    if options.this_run.json:
        last_line({**asdict(made), "folder": str(made.folder), "like": not made.shortfall})
    return 0 if options.accept or not made.shortfall else 1
