# SPDX-License-Identifier: MIT
"""What judges a picture with gradients: the tracker's stand-in and dlib's recogniser in torch.

The tracker itself, which measures, is engines/mediapipe_reader.py.
"""

import zipfile

import numpy as np
import torch
from torch import Tensor

from engines.face_task import canonical_from_task, pose_weights_from_task
from engines.networks.face_embedding import FaceEmbedding, read_face_embedding
from engines.networks.tflite import read_graph
from engines.networks.tracker_stand_in import TrackerStandIn
from engines.package_models import landmarker_model, recogniser_model
from face.arrays import Image
from face.direction_parameters import TABLE


def open_stand_in() -> TrackerStandIn:
    """The tracker in torch, built from the landmarker's own file."""
    task = landmarker_model()
    with zipfile.ZipFile(task) as archive:
        graphs = [
            read_graph(archive.read(f"{name}.tflite"))
            for name in ("face_landmarks_detector", "face_blendshapes")
        ]
    canonical, _ = canonical_from_task(task)
    weights = torch.from_numpy(pose_weights_from_task(task))
    network = TrackerStandIn(*graphs, canonical=torch.from_numpy(canonical), weights=weights)
    network.eval().requires_grad_(False)
    return network


def open_embedding() -> FaceEmbedding:
    """dlib's recogniser in torch; ModelUnavailable when its package is missing or altered."""
    return read_face_embedding(recogniser_model().read_bytes())


def parameters_seen(rotation: Tensor, scores: Tensor) -> Tensor:
    """(N, 15) the motion vector of face/direction_parameters.py, with gradients."""
    table = torch.from_numpy(TABLE).to(rotation)
    return torch.cat([rotation, scores], 1) @ table.T


def to_pictures(images: Tensor) -> Image:
    """(N, H, W, 3) uint8 of images (N, 3, H, W) in about [-1, 1]."""
    levels = ((images.detach().clamp(-1, 1) + 1) * 127.5 + 0.5).to(torch.uint8)
    return np.asarray(levels.permute(0, 2, 3, 1).contiguous().numpy(), np.uint8)


def to_images(pictures: Image) -> Tensor:
    """(N, 3, H, W) in [-1, 1] of pictures (N, H, W, 3) uint8."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
