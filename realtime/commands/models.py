# SPDX-License-Identifier: MIT
"""facepuppet models: what is installed and made; list, show, verify, make."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from engines import model_folder
from engines.ffhq_mobile import INSTALL, NOTE, SOURCE, TERMS, check_parts, check_size, missing_parts
from engines.ffhq_mobile import NAME as FFHQ
from engines.folders import cache_folder
from face.errors import ModelUnavailable, PuppetError, WrongUse
from methods.identity import INDEX, is_identity, read_identity
from methods.making import DEFAULT_SIZE, ffhq_folder
from realtime.commands import options as opt
from realtime.console import StepProgress, last_line, log_to_stderr, note, show_table

ModelName = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help=f"{FFHQ}, a model folder, an identity folder, or a name that list shows."
    ),
]

app = typer.Typer(
    name="models",
    help="What is installed and made: licence, provenance, sha256.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


@dataclass(frozen=True, slots=True)
class Held:
    """One model or identity at hand."""

    name: str
    kind: str  # generator, model, identity
    state: str
    licence: str
    path: Path | None


def held() -> list[Held]:
    """The installable generator first, then what lies in the cache."""
    missing = missing_parts()
    state = f"not installed ({', '.join(missing)} missing): {INSTALL}" if missing else "installed"
    found = [Held(FFHQ, "generator", state, TERMS, None)]
    for folder in _folders("models"):
        try:
            model = model_folder.read_model(folder)
            found.append(Held(folder.name, "model", "ready", model.licence, folder))
        except ModelUnavailable as error:
            found.append(Held(folder.name, "model", f"damaged: {error}", "", folder))
    for folder in _folders("identities"):
        found.append(Held(folder.name, "identity", "ready" if is_identity(folder) else "damaged", "", folder))
    return found


def _folders(kind: str) -> list[Path]:
    place = cache_folder() / kind
    if not place.is_dir():
        return []
    return sorted(path for path in place.iterdir() if path.is_dir() and not path.name.startswith("."))


@app.command("list", epilog="Example: facepuppet models list")
def list_models(json_line: opt.JsonLine = False, log_level: opt.Logging = "warning") -> int:
    """List the generators, model folders and identities at hand."""
    log_to_stderr(log_level)
    found = held()
    rows = [(each.name, each.kind, each.state, str(each.path or "")) for each in found]
    show_table(("name", "what", "state", "where"), rows, texts=True)
    if json_line:
        last_line({"models": [_values(each) for each in found]})
    return 0


@app.command(epilog=f"Example: facepuppet models show {FFHQ}")
def show(name: ModelName, json_line: opt.JsonLine = False, log_level: opt.Logging = "warning") -> int:
    """Show one model's licence, provenance and files."""
    log_to_stderr(log_level)
    if name == FFHQ:
        chosen = held()[0]
        facts: dict[str, Any] = {
            **_values(chosen),
            "source": SOURCE,
            "made": str(ffhq_folder(256)) if ffhq_folder(256).is_dir() else "at first use",
        }
    else:
        facts = _facts(_path_of(name))
    rows = [(key, _plain(value)) for key, value in facts.items() if key != "files"]
    rows += [
        ("file", f"{f['name']}  {f['bytes']} bytes  sha256 {f['sha256']}") for f in facts.get("files", [])
    ]
    show_table(("", ""), rows, texts=True)
    if json_line:
        last_line(facts)
    return 0


@app.command(epilog="Example: facepuppet models verify")
def verify(
    name: Annotated[str | None, typer.Argument(metavar="MODEL", help="One of them; without: all.")] = None,
    json_line: opt.JsonLine = False,
    log_level: opt.Logging = "warning",
) -> int:
    """Hold every file against its sha256. Exit status 1 when one is missing, cut short or altered."""
    log_to_stderr(log_level)
    paths = [each.path for each in held() if each.path] if name is None else [_path_of(name)]
    wrong = []
    for path in paths:
        try:
            _verify(path)
            note(f"{path}: whole")
        except PuppetError as error:
            wrong.append(str(path))
            note(f"{path}: {error}")
    if not paths:
        note(f"nothing was made yet in {cache_folder()}")
    if json_line:
        last_line({"verified": len(paths), "wrong": wrong})
    return 1 if wrong else 0


def _verify(path: Path) -> None:
    if is_identity(path):
        read_identity(path)
    else:
        model_folder.verify_model(model_folder.read_model(path))


def _path_of(name: str) -> Path:
    """A folder by its path or by its name in the cache; ModelUnavailable where there is none."""
    for path in (Path(name), *(cache_folder() / kind / name for kind in ("models", "identities"))):
        if path.is_dir():
            return path
    known = ", ".join(each.name for each in held())
    raise ModelUnavailable(f"no model {name!r} is here, expected a folder or one of: {known}")


def _facts(path: Path) -> dict[str, Any]:
    """What the index of a folder says, the graphs by their names only."""
    import json

    if is_identity(path):
        read_identity(path)
        index: dict[str, Any] = json.loads((path / INDEX).read_text(encoding="utf-8"))
        index["quad"] = len(index["quad"])
        index["generators"] = [each["model"] for each in index["generators"]]
        return {"path": str(path), **index}
    model = model_folder.read_model(path)
    return {"path": str(path), **model.index, "graphs": list(model.graphs)}


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(each)}" for key, each in value.items())
    if isinstance(value, list):
        return ", ".join(_plain(each) for each in value)
    return str(value)


def _values(each: Held) -> dict[str, Any]:
    return {
        "name": each.name,
        "kind": each.kind,
        "state": each.state,
        "licence": each.licence,
        "path": None if each.path is None else str(each.path),
    }


@app.command(epilog="Example: facepuppet models make ffhq-mobile")
def make(
    name: Annotated[str, typer.Argument(metavar="MODEL", help="An installed generator: ffhq-mobile.")],
    size: Annotated[
        int, typer.Option("--size", metavar="PIXELS", help="Side of the generated picture: 256, 512, 1024.")
    ] = DEFAULT_SIZE,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Without: the cache, where runs look.")
    ] = None,
    json_line: opt.JsonLine = False,
    log_level: opt.Logging = "warning",
) -> int:
    """Write the live graphs of an installed generator, which the first run otherwise does."""

    log_to_stderr(log_level)
    if name != FFHQ:
        raise WrongUse(f"model {name!r} cannot be made, expected {FFHQ}; checkpoints: facepuppet export")
    check_size(size)
    check_parts()
    from export.ffhq_model import make_model

    with StepProgress() as progress:
        folder = make_model(out or ffhq_folder(size), size=size, on_step=progress)
    note(NOTE)
    note(f"{folder}: {name} at {size} px, ready for --method directions")
    if json_line:
        last_line({"folder": str(folder), "size": size})
    return 0
