# SPDX-License-Identifier: MIT
"""The playable model of the installed extra: the package's generator, our image head and directions.

Nothing of the package's weights is kept in this project; the folder is made on the user's machine.
"""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from engines.ffhq_mobile import (
    DIRECTIONS,
    ENCODER,
    HEADS,
    LICENCE,
    NAME,
    NOTE,
    PACKAGE,
    SHA256,
    VERSION,
    WEIGHTS,
    own_file,
    package_folder,
)
from engines.model_folder import sha256_of
from engines.networks.directions import Directions
from engines.networks.feature_encoder import FeatureEncoder
from engines.networks.half import half_live
from engines.networks.live_store import save_live
from engines.networks.mobile_stylegan import MobileSynthesis
from engines.networks.store import load_network, save_network
from engines.networks.stylegan2 import Mapping
from export.checkpoints.ffhq_mobile import read_ffhq_mobile
from export.live_graph import directions_live
from export.model_folder import new_folder, write_index
from export.onnx_export import save_graph
from export.verify import PictureVerification, Verification, verify_graph, verify_live
from face.direction_parameters import NAMES
from face.errors import SinkUnavailable

STEPS = 5

Step = Callable[[str, int, int], None]  # what is done, how many, of how many


@dataclass(frozen=True, slots=True)
class Parts:
    """The networks of one size, as they are."""

    synthesis: MobileSynthesis
    mapping: Mapping
    directions: Directions
    encoder: FeatureEncoder | None
    w_mean: torch.Tensor  # (w_dim,)
    key: str


def load_parts(size: int) -> Parts:
    """Generator, mapping, directions and encoder of a size; ModelUnavailable names what is missing."""
    imported = read_ffhq_mobile(package_folder(), size=size)
    generator, mapping = imported.networks["generator"], imported.networks["mapping"]
    directions = load_network(own_file(DIRECTIONS), Directions)
    assert isinstance(generator, MobileSynthesis) and isinstance(mapping, Mapping)
    own = [DIRECTIONS, *([HEADS[size]] if size in HEADS else [])]
    encoder = load_network(own_file(ENCODER), FeatureEncoder)
    digest = hashlib.sha256(f"{NAME} {VERSION} {size}".encode())
    for text in (*SHA256.values(), *(sha256_of(WEIGHTS / name) for name in own)):
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
    notes = {"origin": PACKAGE, "licence": LICENCE}
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
                "origin": PACKAGE,
                "licence": LICENCE,
                "notes": [NOTE],
                "source": {"package": f"{PACKAGE} {VERSION}", "sha256": SHA256["SynthesisNetwork.bin"]},
                "parameters": list(NAMES),
                "graphs": described,
                "made_with": {"torch": torch.__version__},
            }
            write_index(folder, index)
        except OSError as error:
            raise SinkUnavailable(f"cannot write {out} ({error.strerror}); free space there") from error
    step(STEPS)
    return out
