# SPDX-License-Identifier: MIT
"""What models and identities are at hand, and what each says of itself. Makes none."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engines import model_folder
from engines.ffhq_mobile import INSTALL, SOURCE, TERMS, missing_parts
from engines.ffhq_mobile import NAME as FFHQ
from engines.folders import cache_folder
from face.errors import ModelUnavailable
from methods.identity import INDEX, is_identity, read_identity
from methods.making import ffhq_folder


@dataclass(frozen=True, slots=True)
class Held:
    """One model or identity at hand."""

    name: str
    kind: str  # generator, model, identity
    state: str
    licence: str
    path: Path | None

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "path": None if self.path is None else str(self.path)}


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


def verify(path: Path) -> None:
    """Hold a folder's files against their sha256; ModelUnavailable for one that is cut short or altered."""
    if is_identity(path):
        read_identity(path)
    else:
        model_folder.verify_model(model_folder.read_model(path))


def path_of(name: str) -> Path:
    """A folder by its path or by its name in the cache; ModelUnavailable where there is none."""
    for path in (Path(name), *(cache_folder() / kind / name for kind in ("models", "identities"))):
        if path.is_dir():
            return path
    known = ", ".join(each.name for each in held())
    raise ModelUnavailable(f"no model {name!r} is here, expected a folder or one of: {known}")


def facts_of(name: str) -> dict[str, Any]:
    """What is known of a generator, or what a folder's index says, the graphs by their names only."""
    if name == FFHQ:
        made = str(ffhq_folder(256)) if ffhq_folder(256).is_dir() else "at first use"
        return {**held()[0].as_json(), "source": SOURCE, "made": made}
    path = path_of(name)
    if is_identity(path):
        read_identity(path)
        index: dict[str, Any] = json.loads((path / INDEX).read_text(encoding="utf-8"))
        index["quad"] = len(index["quad"])
        index["generators"] = [each["model"] for each in index["generators"]]
        return {"path": str(path), **index}
    model = model_folder.read_model(path)
    return {"path": str(path), **model.index, "graphs": list(model.graphs)}
