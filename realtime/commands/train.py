# SPDX-License-Identifier: MIT
"""The commands that make what ships as data; each passes its arguments on to a recipe, which parses them."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

from face.errors import ModelUnavailable, WrongUse
from methods.registry import METHODS, find_method
from realtime.commands.help import overview
from realtime.console import put_out


@dataclass(frozen=True, slots=True)
class Recipe:
    """A module with `main(arguments)`; it is imported when it is asked for."""

    module: str
    makes: str
    needs: tuple[str, ...]  # packages, all of them of the extra [ffhq]


TORCH = ("torch", "safetensors")
GENERATOR = (*TORCH, "random_face")
JUDGED = (*GENERATOR, "face_recognition_models")
RECIPES = {
    **{
        name: Recipe(
            f"{package}.train", f"What method {name} plays with.", JUDGED * find_method(name).networks
        )
        for name, package in METHODS.items()
    },
    "encoder": Recipe("training.encoder", "The inversion encoder of ffhq-mobile.", JUDGED),
    "image-head": Recipe("training.image_head", "An image head of ffhq-mobile for 256 or 512 px.", GENERATOR),
    "samples": Recipe("training.samples", "Generated and measured faces to train with.", JUDGED),
}


def train(words: Sequence[str]) -> int:
    """Hand the words behind a recipe's name to the recipe."""
    name, program = (words[0] if words else ""), "facepuppet train"
    if name in ("", "--help", "-h"):
        example = f"{program} directions --samples samples --out run; arguments: {program} NAME --help"
        put_out(overview({name: recipe.makes for name, recipe in RECIPES.items()}, program, example=example))
        return 0 if name else 2
    if name not in RECIPES:
        raise WrongUse(
            f"there is no recipe {name!r}, expected one of {', '.join(RECIPES)}; see: {program} --help"
        )
    missing = [package for package in RECIPES[name].needs if find_spec(package) is None]
    if missing:
        raise ModelUnavailable(
            f"{program} {name} needs the extra [ffhq], and {', '.join(missing)} is not installed; "
            "run: pip install 'facepuppet[ffhq]'"
        )
    from engines.quiet import quiet_natives

    try:
        with quiet_natives():
            import_module(RECIPES[name].module).main(list(words[1:]))
    except SystemExit as end:  # argparse has shown its help or what is wrong
        return int(end.code or 0)
    return 0
