# SPDX-License-Identifier: MIT
"""facepuppet models: what is installed and made; list, show, verify, make."""

from dataclasses import dataclass
from pathlib import Path

from face.errors import PuppetError, WrongUse
from realtime.console import ProgressBars, last_line, note, show_table
from realtime.options import GENERATED_SIZE, PATH, REQUIRED, TEXT, Plain, Run, argument, flag


@dataclass(frozen=True, slots=True)
class ShowOptions:
    name: str = argument(
        REQUIRED,
        "ffhq-mobile, a model folder, an identity folder, or a name that list shows.",
        "MODEL",
        kind=TEXT,
    )
    this_run: Run = Run()


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    name: str | None = argument(None, "One of them; without: all.", "MODEL", kind=TEXT)
    this_run: Run = Run()


@dataclass(frozen=True, slots=True)
class MakeOptions:
    name: str = argument(REQUIRED, "An installed generator: ffhq-mobile.", "MODEL", kind=TEXT)
    size: int = flag(256, GENERATED_SIZE, metavar="PIXELS")
    out: Path | None = flag(None, "Without: the cache, where runs look.", kind=PATH, short="o", metavar="DIR")
    this_run: Run = Run()


def list_models(options: Plain) -> int:
    """List the generators, model folders and identities at hand."""
    from realtime.inventory import held

    found = held()
    rows = [(each.name, each.kind, each.state, str(each.path or "")) for each in found]
    show_table(("name", "what", "state", "where"), rows, texts=True)
    if options.this_run.json:
        last_line({"models": [each.as_json() for each in found]})
    return 0


def show(options: ShowOptions) -> int:
    """Show one model's licence, provenance and files."""
    from realtime.inventory import facts_of

    facts = facts_of(options.name)
    rows = [(key, _plain(value)) for key, value in facts.items() if key != "files" and value is not None]
    rows += [
        ("file", f"{f['name']}  {f['bytes']} bytes  sha256 {f['sha256']}") for f in facts.get("files", [])
    ]
    show_table(("", ""), rows, texts=True)
    if options.this_run.json:
        last_line(facts)
    return 0


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(each)}" for key, each in value.items())
    if isinstance(value, list):
        return ", ".join(_plain(each) for each in value)
    return str(value)


def verify(options: VerifyOptions) -> int:
    """Hold every file against its sha256. Exit status 1 when one is missing, cut short or altered."""
    from engines.folders import cache_folder
    from realtime import inventory

    named = options.name
    paths = (
        [each.path for each in inventory.held() if each.path] if named is None else [inventory.path_of(named)]
    )
    wrong = []
    for path in paths:
        try:
            inventory.verify(path)
            note(f"{path}: whole")
        except PuppetError as error:
            wrong.append(str(path))
            note(f"{path}: {error}")
    if not paths:
        note(f"nothing was made yet in {cache_folder()}")
    if options.this_run.json:
        last_line({"verified": len(paths), "wrong": wrong})
    return 1 if wrong else 0


def make(options: MakeOptions) -> int:
    """Write the live graphs of an installed generator, which the first run otherwise does."""
    from engines.ffhq_mobile import NAME, NOTE, check_parts, check_size
    from methods.making import ffhq_folder

    name, size = options.name, options.size
    if name != NAME:
        raise WrongUse(f"model {name!r} cannot be made, expected {NAME}; checkpoints: facepuppet export")
    check_size(size)
    check_parts()
    from export.ffhq_model import make_model

    with ProgressBars() as progress:
        folder = make_model(options.out or ffhq_folder(size), size=size, on_step=progress)
    note(NOTE)
    note(f"{folder}: {name} at {size} px, ready for --method directions")
    if options.this_run.json:
        last_line({"folder": str(folder), "size": size})
    return 0
