# SPDX-License-Identifier: MIT
"""What is seen in an aligned crop: the person's matte, frame by frame, and the face as a motion. Knows no
generator.
"""

from typing import Self

import mediapipe as mp
import numpy as np
from mediapipe.tasks.python import vision
from mediapipe.tasks.python.core.base_options import BaseOptions
from numpy.typing import NDArray

from engines.package_models import segmenter_model
from face.alignment import aligned_crop
from face.arrays import Floats, Image
from face.errors import BadPortrait
from face.face_model import face_model
from face.frame import Frame
from face.gaze import gaze_of
from face.matte import refine_matte
from face.motion import Motion
from face.motion_vector import motion_of, vector_of
from methods.portrait import FaceReader

CROP_PX = 256  # of the driver's aligned picture
REACH = 0.016  # of the crop's side: how far the matte's edge may be moved to the picture's
FRESH = 0.6  # share of a new matte; the rest is the last one's, which takes the flicker out of its edge,
MOVED = 0.3  # unless it changed by this much: then the edge has moved on


class PersonMatte:
    """Alpha of the person in successive pictures of one crop. One thread at a time; whoever opens closes."""

    def __init__(self) -> None:
        options = vision.ImageSegmenterOptions(
            base_options=BaseOptions(model_asset_buffer=segmenter_model().read_bytes()),
            output_confidence_masks=True,
        )
        self._segmenter = vision.ImageSegmenter.create_from_options(options)
        self._last: Floats | None = None

    def __call__(self, image: Image) -> Floats:
        """(H, W) 1 = person."""
        picture = mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(image))
        mask = self._segmenter.segment(picture).confidence_masks[0].numpy_view()
        coarse = mask.reshape(image.shape[:2]).astype(np.float32)
        alpha = refine_matte(image, coarse, radius=max(2, round(REACH * image.shape[0])))
        if self._last is not None and self._last.shape == alpha.shape:
            change = alpha - self._last
            alpha = np.where(np.abs(change) < MOVED, self._last + FRESH * change, alpha)
        self._last = alpha
        return alpha

    def close(self) -> None:
        self._segmenter.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def driver_crop(motion: Motion, frame: Frame) -> tuple[Image, Floats] | None:
    """FFHQ-aligned driver picture (256, 256, 3) uint8 RGB, and its landmarks (478, 3) in pixels of the crop,
    mirrored as the motion is; None for a motion that was not tracked in a picture.
    """
    if motion.seen is None:
        return None
    image = np.ascontiguousarray(frame.image[:, ::-1]) if motion.mirrored else frame.image
    crop = aligned_crop(image, motion.seen, CROP_PX)
    return crop.image, crop.points(motion.seen)


def motion_in_crop(crop: Image, landmarks: NDArray[np.floating], name: str) -> Motion:
    """The face of a crop as a motion without neutral; `landmarks` (478, 3) are its pixels.

    Raises BadPortrait where the tracker, which reads the driver too, finds no face in it.
    """
    with FaceReader() as reader:
        read = reader.with_rotation(np.ascontiguousarray(crop))
    if read is None:
        raise BadPortrait(f"{name}: no face found in its aligned square; use a clearer or closer photo")
    scores, rotation = read
    shape = face_model().unpose(landmarks)[0]
    gaze, _ = gaze_of(shape, scores)
    size = (crop.shape[1], crop.shape[0])
    vector = vector_of(landmarks, size, rotation=rotation, gaze=gaze, blendshapes=scores)
    return motion_of(vector, size, captured_s=0.0)
