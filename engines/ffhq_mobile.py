# SPDX-License-Identifier: MIT
"""The shipped generator, ffhq-mobile: MobileStyleGAN of the package random-face, and our own weights for it.

The package is located, never imported; what reads its graphs is export/checkpoints/ffhq_mobile.py.
"""

from importlib.util import find_spec
from pathlib import Path

from face.errors import ModelUnavailable, WrongUse

NAME = "ffhq-mobile"
PACKAGE, VERSION = "random-face", "2021.7.21.1"
MODULE = "random_face"
SOURCE = f"{PACKAGE} {VERSION}: MobileStyleGAN FFHQ, 1024 px, 10.1 M parameters"
NEEDED = (MODULE, "torch", "onnx", "safetensors")  # modules that making a model or an identity imports
INSTALL = "pip install 'facepuppet[ffhq]'"
SIZES = (256, 512, 1024)
FULL_SIZE = 1024
SYNTHESIS, MAPPING = "SynthesisNetwork", "MappingNetwork"
SHA256 = {  # of the package's files
    "MappingNetwork.xml": "73e2096cad6e696e4af47df2477e048ab4c42c0e0dec83c7c66604822689e55b",
    "MappingNetwork.bin": "212dd716bdb556e18db603ea97300d4fa3c872b878c726b2402fea80820e7305",
    "SynthesisNetwork.xml": "7918fce515243954d3e06628cb39a23902d6b1d5d02932cc0c2faee7a2aeeedd",
    "SynthesisNetwork.bin": "c7da15fa22d508c82e1c30dd6b4cdf67fe3ccdddaf85b310ee764dbf0c289645",
}

_USE = (
    "its weights were distilled from NVIDIA's StyleGAN2-FFHQ: research and evaluation only, "
    "not for commercial use"
)
TERMS = f"the package says Apache-2.0, but {_USE}; facepuppet does not redistribute them"
NOTE = f"{NAME}: {_USE}"
LICENCE = (  # as it is written into files made from the package's
    "package: Apache-2.0; weights distilled from NVIDIA's StyleGAN2-FFHQ, so research and evaluation only, "
    "non-commercial; never redistributed here"
)
OWN_LICENCE = (  # of our own weights
    f"only for {NAME}, distilled from NVIDIA's StyleGAN2-FFHQ: research and evaluation, non-commercial"
)

# Our own weights, described in MODEL_CARD.md beside them.
WEIGHTS = Path(__file__).parent / "weights" / NAME
DIRECTIONS, ENCODER = "directions.safetensors", "encoder.safetensors"
HEADS = {256: "head256.safetensors", 512: "head512.safetensors"}  # the full size has the package's own


def missing_parts() -> tuple[str, ...]:
    """Modules of the extra that are not installed; found without importing them."""
    return tuple(name for name in NEEDED if find_spec(name) is None)


def check_parts() -> None:
    """ModelUnavailable with the line that installs what is missing."""
    missing = missing_parts()
    if missing:
        raise ModelUnavailable(
            f"--method directions needs the extra [ffhq], and {', '.join(missing)} is not installed; "
            f"run: {INSTALL}"
        )


def check_size(size: int) -> None:
    """WrongUse for a picture the generator does not make."""
    if size not in SIZES:
        raise WrongUse(f"size is {size}, expected one of {', '.join(map(str, SIZES))}")


def package_folder() -> Path:
    """Folder with the package's graphs; ModelUnavailable says how to install it."""
    spec = find_spec(MODULE)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(place) / "data"
        if (folder / f"{SYNTHESIS}.xml").is_file():
            return folder
    raise ModelUnavailable(
        f"the generator {NAME} needs {PACKAGE} {VERSION}, which is not installed; run: {INSTALL}"
    )


def own_file(name: str) -> Path:
    """A file of our own weights; ModelUnavailable where it is missing."""
    path = WEIGHTS / name
    if not path.is_file():
        raise ModelUnavailable(f"{path} is missing, expected a file of this version; reinstall facepuppet")
    return path
