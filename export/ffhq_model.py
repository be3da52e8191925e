# SPDX-License-Identifier: MIT
"""The playable model of the installed extra: the package's generator, our image head and directions.

Nothing of the package's weights is kept in this project; the folder is made on the user's machine.
"""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

import engines
from engines.model_folder import sha256_of
from engines.networks.directions import Directions
from engines.networks.encoder import Encoder
from engines.networks.feature_encoder import FeatureEncoder
from engines.networks.half import half_live
from engines.networks.live_store import save_live
from engines.networks.mobile_stylegan import MobileHead, MobileSynthesis, cut_short
from engines.networks.store import load_network, save_network
from engines.networks.stylegan2 import Mapping
from export.checkpoints.ffhq_mobile import (
    LICENCE,
    ORIGIN,
    SHA256,
    VERSION,
    find_ffhq_mobile,
    read_ffhq_mobile,
)
from export.live_graph import directions_live
from export.model_folder import new_folder, write_index
from export.onnx_export import save_graph
from export.verify import PictureVerification, Verification, verify_graph, verify_live
from face.direction_parameters import NAMES
from face.errors import ModelUnavailable, SinkUnavailable

NAME = "ffhq-mobile"
SIZES = (256, 512, 1024)
STEPS = 5
DIRECTIONS, ENCODER = "directions.safetensors", "encoder.safetensors"
TERMS = (
    "ffhq-mobile: its weights were distilled from NVIDIA's StyleGAN2-FFHQ: research and evaluation only, "
    "not for commercial use"
)

Step = Callable[[str, int, int], None]  # what is done, how many, of how many


@dataclass(frozen=True, slots=True)
class Parts:
    """The networks of one size, as they are."""

    synthesis: MobileSynthesis
    mapping: Mapping
    directions: Directions
    encoder: Encoder | FeatureEncoder | None
    w_mean: torch.Tensor  # (w_dim,)
    key: str


def weights_folder() -> Path:
    """Our own weights beside the package's."""
    return Path(next(iter(engines.__path__))) / "weights" / NAME


def load_parts(size: int) -> Parts:
    """Generator, mapping, directions and encoder of a size; ModelUnavailable names what is missing."""
    imported = read_ffhq_mobile(find_ffhq_mobile())
    generator, mapping = imported.networks["generator"], imported.networks["mapping"]
    directions = load_network(_ours(DIRECTIONS))
    assert isinstance(generator, MobileSynthesis) and isinstance(mapping, Mapping)
    assert isinstance(directions, Directions)
    own = [DIRECTIONS]
    if size != generator.config.size:
        head = load_network(_ours(_head(size)))
        assert isinstance(head, MobileHead)
        generator = cut_short(generator, head, size=size)
        own.append(_head(size))
    encoder = load_network(_ours(ENCODER)) if (weights_folder() / ENCODER).is_file() else None
    assert encoder is None or isinstance(encoder, Encoder | FeatureEncoder)
    digest = hashlib.sha256(f"{NAME} {VERSION} {size}".encode())
    for text in (*SHA256.values(), *(sha256_of(weights_folder() / name) for name in own)):
        digest.update(text.encode())
    w_mean = mapping.w_avg.detach().reshape(-1, generator.config.w_dim)[0]
    return Parts(generator.eval(), mapping.eval(), directions.eval(), encoder, w_mean, digest.hexdigest())


def make_model(out: Path, *, size: int, on_step: Step | None = None) -> Path:
    """Write the model folder: graphs, held against torch, and weights for torch. A failure leaves nothing."""

    def step(done: int) -> None:
        if on_step is not None:
            on_step("making", done, STEPS)

    step(0)
    parts = load_parts(size)
    live = directions_live(parts.synthesis, parts.directions)
    notes = {"origin": ORIGIN, "licence": LICENCE}
    step(1)
    with new_folder(out) as folder:
        try:
            save_graph(live, folder / "live.onnx", notes=notes)
            save_graph(half_live(live), folder / "live-fp16.onnx", notes=notes)
            save_live(live, folder / "live.safetensors", notes=notes)
            step(2)
            save_graph(parts.mapping, folder / "mapping.onnx", notes=notes)
            save_network(parts.mapping, folder / "mapping.safetensors", notes=notes)
            step(3)
            checked: dict[str, PictureVerification | Verification] = {}
            checked["live"] = verify_live(live, folder / "live.onnx")
            checked["live-fp16"] = verify_live(live, folder / "live-fp16.onnx", precision="fp16")
            step(4)
            checked["mapping"] = verify_graph(parts.mapping, folder / "mapping.onnx")
            described = {
                role: {
                    "inputs": [asdict(spec) for spec in network.inputs],
                    "outputs": [asdict(spec) for spec in network.outputs],
                    "verified": asdict(checked[role]),
                }
                for role, network in (("live", live), ("live-fp16", live), ("mapping", parts.mapping))
            }
            index = {
                "name": f"{NAME}-{size}",
                "key": parts.key,
                "origin": ORIGIN,
                "licence": LICENCE,
                "notes": [TERMS],
                "source": {"package": f"random-face {VERSION}", "sha256": SHA256["SynthesisNetwork.bin"]},
                "parameters": list(NAMES),
                "graphs": described,
                "made_with": {"torch": torch.__version__},
            }
            write_index(folder, index)
        except OSError as error:
            raise SinkUnavailable(f"cannot write {out} ({error.strerror}); free space there") from error
    step(STEPS)
    return out


def _head(size: int) -> str:
    return f"head{size}.safetensors"


def _ours(name: str) -> Path:
    path = weights_folder() / name
    if not path.is_file():
        raise ModelUnavailable(f"{path} is missing, expected a file of this version; reinstall facepuppet")
    return path
