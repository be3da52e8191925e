# SPDX-License-Identifier: MIT
"""facepuppet config: a settings file with every flag at its default."""

from pathlib import Path
from typing import Annotated

import typer

from face.errors import SinkUnavailable
from realtime.commands.settings import flags_of, sample_config
from realtime.console import put_out


def config(
    context: typer.Context,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.toml", help="Write it there instead of printing it.")
    ] = None,
) -> int:
    """Print a settings file with every flag at its default."""
    text = sample_config({name: flags_of(command) for name, command in context.obj.items()})
    if out is None:
        put_out(text)
        return 0
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise SinkUnavailable(f"{out} is there already and is left alone; name another file") from error
    except OSError as error:
        raise SinkUnavailable(f"{out} cannot be written ({error.strerror}); choose another place") from error
    return 0
