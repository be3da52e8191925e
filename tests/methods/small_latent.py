# SPDX-License-Identifier: MIT
"""A small random generator as a model folder, and an identity of it: real files and graph, no face in it."""

import hashlib
from dataclasses import asdict
from pathlib import Path

import numpy as np
from skimage import data

from face.alignment import aligned_crop, ffhq_quad
from face.direction_parameters import NAMES, parameters_of
from methods.crop_reader import motion_in_crop
from methods.identity import Identity, write_identity
from methods.portrait import Portrait, open_portrait

SIZE, ROWS, W_DIM = 64, 8, 512
KEY = "5ma11" * 8


def write_model(
    folder: Path,
    *,
    key: str = KEY,
    name: str = "ffhq-mobile-small",
    parameters: tuple[str, ...] = NAMES,
    live: bool = True,
) -> Path:
    """A model folder as the exporter writes it; every delta changes the picture."""
    import torch

    from engines.networks.directions import Directions, DirectionsConfig
    from engines.networks.mobile_stylegan import MobileSynthesis, MobileSynthesisConfig
    from export.live_graph import directions_live
    from export.model_folder import new_folder, write_index
    from export.onnx_export import save_graph

    torch.manual_seed(0)
    synthesis = MobileSynthesis(MobileSynthesisConfig((16, 16, 16, 8), w_dim=W_DIM)).eval()
    directions = Directions(DirectionsConfig(parameters=len(parameters), rows=4, w_dim=W_DIM, bias=False))
    graph = directions_live(synthesis, directions)
    described = {
        "live": {
            "inputs": [asdict(spec) for spec in graph.inputs],
            "outputs": [asdict(spec) for spec in graph.outputs],
        }
    }
    with new_folder(folder) as scratch:
        save_graph(graph, scratch / "live.onnx")
        index = {
            "name": name,
            "key": key,
            "origin": "a test",
            "licence": "none needed",
            "notes": [],
            "parameters": list(parameters),
            "graphs": described if live else {},
        }
        write_index(scratch, index)
    return folder


def astronaut() -> Portrait:
    return open_portrait(data.astronaut(), longest=512)


def write_small_identity(folder: Path, portrait: Portrait, *, key: str = KEY) -> Path:
    """An identity folder of the small model; its code is random, its portrait real."""
    crop = aligned_crop(portrait.image, portrait.landmarks, 256)
    shrink = float(np.hypot(*crop.to_crop[:, 0]))
    flat = portrait.landmarks[:, :2] @ crop.to_crop[:, :2].T + crop.to_crop[:, 2]
    landmarks = np.column_stack((flat, portrait.landmarks[:, 2] * shrink)).astype(np.float32)
    motion = motion_in_crop(crop.image, landmarks, "astronaut")
    identity = Identity(
        name="astronaut.png",
        model=key,
        size=SIZE,
        w_plus=np.random.default_rng(0).standard_normal((ROWS, W_DIM)).astype(np.float32),
        p_source=parameters_of(motion),
        portrait=portrait.image,
        alpha=portrait.alpha,
        landmarks=portrait.landmarks,
        blendshapes=motion.blendshapes,
        live=None,
    )
    folder.mkdir(parents=True)
    write_identity(
        folder,
        identity,
        quad=ffhq_quad(portrait.landmarks),
        portrait_sha256=hashlib.sha256(portrait.image.tobytes()).hexdigest(),
        model={"name": "small", "key": key},
        facts={},
    )
    return folder
