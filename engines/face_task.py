# SPDX-License-Identifier: MIT
"""Detector, canonical face and pose weights that the face landmarker's .task file carries."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face.arrays import Floats
from face.face_model import SURFACE

METADATA = "geometry_pipeline_metadata_landmarks.binarypb"


def detector_from_task(path: Path) -> bytes:
    """The short-range face detector, a .tflite file."""
    with zipfile.ZipFile(path) as archive:
        return archive.read("face_detector.tflite")


def canonical_from_task(path: Path) -> tuple[Floats, NDArray[np.int32]]:
    """(468, 3) vertices in cm, x right, y down, z away, and (898, 3) triangles."""
    mesh = _messages(_metadata(path), 1)[0]
    vertices = np.array(_numbers(mesh, 3), np.float32).reshape(-1, 5)[:, :3]  # x, y, z, u, v
    triangles = np.array(_numbers(mesh, 4), np.int32).reshape(-1, 3)
    return vertices * np.array([1, -1, -1], np.float32), triangles


def pose_weights_from_task(path: Path) -> Floats:
    """(468,) the weights of the landmarker's own pose fit."""
    weights = np.zeros(SURFACE, np.float32)
    for pair in _messages(_metadata(path), 2):
        weights[int(_numbers(pair, 1)[0])] = _numbers(pair, 2)[0]
    return weights


def _metadata(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read(METADATA)


def _messages(message: bytes, wanted: int) -> list[bytes]:
    return [value for number, value in _fields(message) if number == wanted and isinstance(value, bytes)]


def _numbers(message: bytes, wanted: int) -> list[float]:
    return [value for number, value in _fields(message) if number == wanted and not isinstance(value, bytes)]


def _fields(message: bytes) -> Iterator[tuple[int, bytes | float]]:
    """Field numbers and values of a serialised protocol-buffer message, in its order."""
    position = 0

    def varint() -> int:
        nonlocal position
        result = shift = 0
        while True:
            byte = message[position]
            position += 1
            result |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return result

    while position < len(message):
        key = varint()
        value: bytes | float
        if key & 7 == 0:
            value = varint()
        elif key & 7 == 2:
            length = varint()
            value = message[position : position + length]
            position += length
        elif key & 7 == 5:
            value = float(np.frombuffer(message, "<f4", 1, position)[0])
            position += 4
        else:
            raise ValueError(f"wire type {key & 7} in the mesh metadata, expected 0, 2 or 5")
        yield key >> 3, value
