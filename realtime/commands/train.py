# SPDX-License-Identifier: MIT
"""The commands that make what ships as data; each passes its arguments on to a recipe, which parses them."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

import typer

from face.errors import ModelUnavailable
from methods.registry import METHODS, find_method


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

app = typer.Typer(
    name="train",
    help="Run a recipe, of a method or of the generator; one that was interrupted goes on where it was.",
    epilog="Example: facepuppet train directions --samples samples --out run; arguments: train NAME --help",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


def _command(recipe: Recipe) -> Callable[[typer.Context], int]:
    def train(context: typer.Context) -> int:
        missing = [name for name in recipe.needs if find_spec(name) is None]
        if missing:
            raise ModelUnavailable(
                f"{context.command_path} needs the extra [ffhq], and {', '.join(missing)} is not installed; "
                "run: pip install 'facepuppet[ffhq]'"
            )
        try:
            import_module(recipe.module).main(context.args)
        except SystemExit as end:  # argparse has shown its help or what is wrong
            return int(end.code or 0)
        return 0

    return train


for _name, _recipe in RECIPES.items():
    app.command(
        _name,
        help=_recipe.makes,
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(_command(_recipe))
