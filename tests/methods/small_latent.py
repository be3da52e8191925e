# SPDX-License-Identifier: MIT
"""A small random generator as a model folder, and an identity of it: real files and graphs, no face in it."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from skimage import data

from face.alignment import aligned_crop, ffhq_quad
from face.direction_parameters import NAMES
from methods.crop_reader import motion_in_crop
from methods.identity import INDEX, READ_PX, Code, Identity, write_identity
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
    mover: str = "mover",
) -> Path:
    """A model folder as the exporter writes it; every delta changes the picture."""
    import torch
    from live_graphs import directions_live

    from engines.networks.directions import Directions, DirectionsConfig
    from engines.networks.mobile_stylegan import MobileSynthesis, MobileSynthesisConfig
    from export.model_folder import new_folder, write_index
    from export.onnx_export import save_graph

    torch.manual_seed(0)
    synthesis = MobileSynthesis(MobileSynthesisConfig((16, 16, 16, 8), w_dim=W_DIM)).eval()
    directions = Directions(DirectionsConfig(parameters=len(parameters), rows=4, w_dim=W_DIM, bias=False))
    graphs = directions_live(synthesis, directions)
    described = {}
    with new_folder(folder) as scratch:
        for role, network in {"generator_live": graphs.generator, mover: graphs.mover}.items():
            save_graph(network, scratch / f"{role}.onnx")
            described[role] = {
                "inputs": [asdict(spec) for spec in network.inputs],
                "outputs": [asdict(spec) for spec in network.outputs],
            }
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
    crop = aligned_crop(portrait.image, portrait.landmarks, READ_PX)
    motion = motion_in_crop(crop.image, crop.points(portrait.landmarks), "astronaut")
    w = np.random.default_rng(0).standard_normal((ROWS, W_DIM)).astype(np.float32)
    identity = Identity(
        name="astronaut.png",
        portrait=portrait.image,
        alpha=portrait.alpha,
        landmarks=portrait.landmarks,
        motion=motion,
        codes=(Code("ffhq-mobile-small", key, SIZE, w),),
    )
    folder.mkdir(parents=True)
    write_identity(
        folder,
        identity,
        quad=ffhq_quad(portrait.landmarks),
        portrait_sha256=hashlib.sha256(portrait.image.tobytes()).hexdigest(),
        facts={},
    )
    return folder


def first_format(folder: Path) -> Path:
    """An identity folder as the version before wrote it."""
    folder.mkdir()
    files = []
    for name in ("identity.npz", "live.onnx", "portrait.png", "mask.png", "thumbnail.jpg"):
        (folder / name).write_bytes(name.encode())
        files.append({"name": name, "bytes": len(name), "sha256": hashlib.sha256(name.encode()).hexdigest()})
    index = {
        "format": "facepuppet-identity-1",
        "method": "directions",
        "model": {"name": "ffhq-mobile-256", "key": KEY},
        "portrait": {"name": "me.jpg", "sha256": "0" * 64},
        "size": 256,
        "tuned": True,
        "files": files,
    }
    (folder / INDEX).write_text(json.dumps(index))
    return folder
