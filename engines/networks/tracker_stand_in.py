# SPDX-License-Identifier: MIT
"""The Face Landmarker in torch: pictures to landmarks, scores and rotation, with gradients. Knows no path.

The landmarker's own two networks, and the few lines between them: where the face is cut out, and how its
landmarks become a rotation (MediaPipe's perspective camera of 63 degrees and its weighted fit). The cut
itself is found from the landmarks of a first look instead of by the face detector; no gradient passes there.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engines.networks.crop import crop
from engines.networks.tflite import Graph, TfliteNetwork

CROP_PX = 256
FIELD_OF_VIEW = math.radians(63.0)  # from top to bottom of the picture
CUT_SCALE = 1.5  # of the square around all landmarks
# Where the cut lies on an FFHQ-aligned picture before anything is known: middle and side, in picture widths.
FIRST_CUT = (0.5, 0.6, 0.96)
RIGHT_EYE_OUTER, LEFT_EYE_OUTER = 33, 263  # their line is level in the cut
# The landmarks that the score network reads (MediaPipe, face_blendshapes_graph).
SCORE_LANDMARKS = (
    0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66, 67, 70,
    78, 80, 81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144, 145, 146, 148, 149,
    150, 152, 153, 154, 155, 157, 158, 159, 160, 161, 162, 163, 168, 172, 173, 176, 178, 181, 185, 191, 195,
    197, 234, 246, 249, 251, 263, 267, 269, 270, 276, 282, 283, 284, 285, 288, 291, 293, 295, 296, 297, 300,
    308, 310, 311, 312, 314, 317, 318, 321, 323, 324, 332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375,
    377, 378, 379, 380, 381, 382, 384, 385, 386, 387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454,
    466, 468, 469, 470, 471, 472, 473, 474, 475, 476, 477,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tracks:
    """What the tracker sees in N pictures."""

    landmarks: Tensor  # (N, 478, 3) pixels of the picture; z in the unit of x
    scores: Tensor  # (N, 52)
    rotation: Tensor  # (N, 3) yaw, pitch, roll in degrees, signs as Motion.rotation


class TrackerStandIn(nn.Module):
    """(N, 3, S, S) pictures in [-1, 1], one face each, FFHQ-aligned or nearly so, to Tracks. Frozen.

    `canonical` (468, 3): the landmarker's own face in cm, x right, y down, z away; `weights` (468,): what the
    pose fit trusts.
    """

    def __init__(self, landmarks: Graph, scores: Graph, *, canonical: Tensor, weights: Tensor) -> None:
        super().__init__()
        self.landmarks = TfliteNetwork(landmarks)
        self.scores = TfliteNetwork(scores)
        self.register_buffer("canonical", canonical.double() * torch.tensor([1.0, -1.0, -1.0]).double())
        self.register_buffer("weights", weights.double())
        self.register_buffer("score_landmarks", torch.tensor(SCORE_LANDMARKS))

    def forward(self, images: Tensor, first_look: Tensor | None = None) -> Tracks:
        """`first_look` (N, 478, 2 or 3): landmarks of nearly this face in pixels; spares the first pass."""
        size = images.shape[-1]
        with torch.no_grad():
            if first_look is None:
                first_look = self._look(images, self._first_cut(images))
            cut = cut_around(first_look.detach())
        points = self._look(images, cut)
        (scores,) = self.scores(points[:, self.score_landmarks, :2])
        return Tracks(points, scores, self.rotation(points, size))

    def _look(self, images: Tensor, to_picture: Tensor) -> Tensor:
        """(N, 478, 3) landmarks of the squares that `to_picture` (N, 2, 3) cuts out."""
        pixels = (crop(images, to_picture, CROP_PX) + 1) / 2
        found = self.landmarks(pixels.permute(0, 2, 3, 1))[0].reshape(len(images), -1, 3)
        # the network counts from the square's corner, OpenCV and `crop` from the middle of the first pixel
        flat = found[..., :2] - 0.5
        places = flat @ to_picture[..., :2].transpose(1, 2) + to_picture[:, None, :, 2] + 0.5
        scale = to_picture[:, 0, :2].norm(dim=-1)[:, None, None]
        return torch.cat([places, found[..., 2:] * scale], -1)

    def _first_cut(self, images: Tensor) -> Tensor:
        x, y, side = (amount * images.shape[-1] for amount in FIRST_CUT)
        middle = images.new_tensor([[x, y]]).expand(len(images), -1)
        return square(middle, images.new_full((len(images),), side), images.new_zeros(len(images)))

    def rotation(self, landmarks: Tensor, size: int) -> Tensor:
        """(N, 3) degrees: MediaPipe's conversion of the picture's landmarks to centimetres, then its fit."""
        extent = 2 * math.tan(FIELD_OF_VIEW / 2)  # of the picture at distance 1
        points = landmarks[:, : len(self.canonical)].double() / size
        x = (points[..., 0] - 0.5) * extent
        y = (0.5 - points[..., 1]) * extent
        z = points[..., 2] * extent
        offset = z.mean(1, keepdim=True)
        flat = torch.stack([x, y, -z], -1)
        first = self._fit(flat)[1]
        second = self._fit(_unprojected(x, y, (z - offset + 1) / first[:, None]))[1]
        fitted = self._fit(_unprojected(x, y, (z - offset + 1) / (first * second)[:, None]))[0]
        return _angles(fitted).to(landmarks.dtype)

    def _fit(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Rotation (N, 3, 3) and scale (N,) that take the canonical face nearest to points (N, 468, 3)."""
        share = (self.weights / self.weights.sum())[:, None]
        source = self.canonical - (share * self.canonical).sum(0)
        target = points - (share * points).sum(1, keepdim=True)
        u, singular, vt = torch.linalg.svd((target * share).transpose(1, 2) @ source)
        sign = torch.ones_like(singular)
        sign[:, 2] = torch.sign(torch.linalg.det(u @ vt)).detach()
        scale = (singular * sign).sum(1) / (share * source.square()).sum()
        return (u * sign[:, None]) @ vt, scale


def cut_around(landmarks: Tensor) -> Tensor:
    """(N, 2, 3) crop pixels to picture pixels: a square around all landmarks, the eyes level."""
    points = landmarks[..., :2]
    across = points[:, LEFT_EYE_OUTER] - points[:, RIGHT_EYE_OUTER]
    angle = torch.atan2(across[:, 1], across[:, 0])
    low, high = points.amin(1), points.amax(1)
    side = CUT_SCALE * (high - low).amax(1)
    return square((low + high) / 2, side, angle)


def square(middle: Tensor, side: Tensor, angle: Tensor) -> Tensor:
    """(N, 2, 3) crop pixels to picture pixels of squares, given in picture pixels and radians."""
    step = side / CROP_PX
    cosine, sine = torch.cos(angle) * step, torch.sin(angle) * step
    linear = torch.stack([torch.stack([cosine, -sine], -1), torch.stack([sine, cosine], -1)], 1)
    # middles of pixels are whole numbers: the square's middle is pixel (CROP_PX - 1) / 2
    centre = torch.full((2, 1), (CROP_PX - 1) / 2, dtype=middle.dtype, device=middle.device)
    return torch.cat([linear, middle[..., None] - 0.5 - linear @ centre], -1)


def _unprojected(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Points on the picture at distance 1, moved out to depth z; then right-handed, z towards the viewer."""
    return torch.stack([x * z, y * z, -z], -1)


def _angles(turn: Tensor) -> Tensor:
    """(N, 3) yaw, pitch, roll in degrees of (N, 3, 3) rotations, x right, y up, z towards the viewer."""
    # as face/pose.py, whose frame is this one turned by diag(1, -1, -1) on both sides
    yaw = torch.asin((-turn[:, 2, 0]).clamp(-1 + 1e-9, 1 - 1e-9))
    pitch = -torch.atan2(turn[:, 2, 1], turn[:, 2, 2])
    roll = torch.atan2(-turn[:, 1, 0], turn[:, 0, 0])
    return torch.rad2deg(torch.stack([yaw, pitch, roll], -1))
