# SPDX-License-Identifier: MIT
"""The playable model of the shipped generator: its graphs and those of our own weights for it.

Nothing of the package's weights is kept in this project; the folder is made on the user's machine.
"""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

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
    own_file,
    package_folder,
)
from engines.model_folder import sha256_of
from engines.networks.directions import Directions
from engines.networks.face_embedding import read_face_embedding
from engines.networks.feature_encoder import FeatureEncoder
from engines.networks.mobile_stylegan import MobileSynthesis
from engines.networks.store import Network, build_network, load_network, save_network
from engines.networks.stylegan2 import Mapping
from engines.package_models import recogniser_model
from export.checkpoints.ffhq_mobile import read_ffhq_mobile
from export.live_export import describe, write_live
from export.live_request import LiveRequest
from export.model_folder import new_folder, write_index
from export.onnx_export import save_graph
from export.verify import verify_graph
from face.direction_parameters import NAMES
from face.errors import ModelUnavailable, SinkUnavailable

logger = logging.getLogger(__name__)
STEPS = 4

Step = Callable[[str, int, int], None]  # what is done, how many, of how many


@dataclass(frozen=True, slots=True)
class Parts:
    """The networks of one size, as they are."""

    synthesis: MobileSynthesis
    mapping: Mapping
    directions: Directions
    encoder: FeatureEncoder  # without its recogniser
    w_mean: torch.Tensor  # (w_dim,)
    key: str  # of the generator at this size


def load_parts(size: int) -> Parts:
    """Generator, mapping, directions and encoder of a size; ModelUnavailable names what is missing."""
    imported = read_ffhq_mobile(package_folder(), size=size)
    generator, mapping = imported.networks["generator"], imported.networks["mapping"]
    assert isinstance(generator, MobileSynthesis) and isinstance(mapping, Mapping)
    directions = load_network(own_file(DIRECTIONS), Directions)
    stored = load_network(own_file(ENCODER), FeatureEncoder)
    config = replace(stored.config, rows=generator.config.rows)
    encoder = build_network(FeatureEncoder, config, stored.state_dict())
    digest = hashlib.sha256(f"{NAME} {VERSION} {size}".encode())
    for text in (*SHA256.values(), *([sha256_of(own_file(HEADS[size]))] if size in HEADS else [])):
        digest.update(text.encode())
    w_mean = mapping.w_avg.detach().reshape(-1, generator.config.w_dim)[0]
    return Parts(generator.eval(), mapping.eval(), directions.eval(), encoder, w_mean, digest.hexdigest())


def whole_encoder(encoder: FeatureEncoder) -> FeatureEncoder:
    """The encoder with the recogniser it looks through; ModelUnavailable where its package is missing."""
    return encoder.attach(read_face_embedding(recogniser_model().read_bytes()))


def make_model(out: Path, *, size: int, on_step: Step | None = None) -> Path:
    """Write the model folder: graphs, held against torch, and weights for torch. A failure leaves nothing."""

    def step(done: int) -> None:
        if on_step is not None:
            on_step("making", done, STEPS)

    step(0)
    parts = load_parts(size)
    notes = {"origin": PACKAGE, "licence": LICENCE}
    single: list[Network] = [parts.mapping]
    said = [NOTE]
    try:
        single.append(whole_encoder(parts.encoder))
    except ModelUnavailable as error:
        said.append(f"the folder has no encoder graph: {error}")
        logger.warning(said[-1])
    step(1)
    with new_folder(out) as folder:
        try:
            moved = (parts.synthesis, parts.mapping, parts.directions)
            networks = {network.role: network for network in moved}
            live = write_live(networks, folder, LiveRequest(("fp16",)), origins=(), notes=notes)
            step(2)
            described: dict[str, Any] = live.described()
            for network in single:
                path = folder / f"{network.role}.onnx"
                save_graph(network, path, notes=notes)
                described[network.role] = describe(network, verify_graph(network, path))
            step(3)
            for network in (live.live.generator, live.live.mover, parts.mapping):
                save_network(network, folder / f"{network.role}.safetensors", notes=notes)
            index = {
                "name": f"{NAME}-{size}",
                "key": parts.key,
                "origin": PACKAGE,
                "licence": LICENCE,
                "notes": said,
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
