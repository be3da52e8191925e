# SPDX-License-Identifier: MIT
"""Motion: one tracked instant of a driver's face. Knows neither the tracker that made it nor the puppets
that read it.

What each method reads:

    mesh        landmarks of driver and neutral (unposed by a rigid fit), translation, scale, gaze
    directions  rotation, blendshapes (its 3DMM-like parameter vector p), both relative to `neutral`
    landmarks   landmarks of driver and neutral, drawn in the aligned crop
    motion      the driver's picture, cut out at `seen` (methods/crop_reader.py)
    stylespace  rotation, blendshapes
    headgan     landmarks, rotation, scale, translation (the rendered 3D face)
"""

from dataclasses import dataclass, field

from face.arrays import Floats

LANDMARKS = (
    478  # MediaPipe Face Landmarker: 0-467 surface, 468-472 right iris, 473-477 left iris (subject's sides)
)

# Order of the Face Landmarker's scores; Left and Right are the subject's.
BLENDSHAPES: tuple[str, ...] = (
    "_neutral", "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft",
    "eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight",
    "eyeLookUpLeft", "eyeLookUpRight", "eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight",
    "jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose", "mouthDimpleLeft", "mouthDimpleRight",
    "mouthFrownLeft", "mouthFrownRight", "mouthFunnel", "mouthLeft", "mouthLowerDownLeft",
    "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight", "mouthPucker", "mouthRight",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft",
    "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight",
    "noseSneerLeft", "noseSneerRight",
)  # fmt: skip
BLENDSHAPE_INDEX = {name: index for index, name in enumerate(BLENDSHAPES)}


@dataclass(frozen=True, slots=True)
class Motion:
    """One instant of one driver. Arrays are float32 and never written to after construction.

    Picture frame: origin at the top left, x right, y down, seen as the camera sees it (the subject's left is
    on the picture's right unless the source was mirrored).
    """

    captured_s: float  # time.perf_counter() of the frame it was tracked in
    rotation: (
        Floats  # (3,) yaw, pitch, roll in degrees; + = subject's own left, up, towards own left shoulder
    )
    # (2,) centre of the head in units of picture WIDTH, from the picture's centre, x right, y down
    translation: Floats
    scale: float  # outer-eye-corner distance of the head seen frontally, in units of picture width
    blendshapes: Floats  # (52,) scores in [0, 1], order BLENDSHAPES
    landmarks: (
        Floats  # (478, 3) pixels of the tracked picture; z in the same unit, smaller = nearer to the camera
    )
    gaze: Floats  # (2,) yaw, pitch of the eyes against the head in degrees, signs as `rotation`
    confidence: float  # 1 tracked, 0 no face (an idle motion), between while easing from one to the other
    image_size: tuple[int, int]  # width, height in pixels of the tracked picture
    neutral: "Motion | None" = None  # the driver's calibrated rest; None = this motion is meant absolutely
    mirrored: bool = False  # left and right are exchanged against the tracked picture
    # (478, 3) pixels of that picture (of its mirror image where `mirrored`): where the face really is, before
    # gains and gliding; None without a face, and for motions of a script or a file
    seen: Floats | None = field(default=None, repr=False, compare=False)

    def blendshape(self, name: str) -> float:
        """Score of one blendshape by name; KeyError names a stranger."""
        return float(self.blendshapes[BLENDSHAPE_INDEX[name]])
