# SPDX-License-Identifier: MIT
"""Make the README's picture: the built-in portrait, moved by the scripted driver. Knows no tracker.

python -m benchmarks.picture --out .github/demo.jpg
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as Pillow
from skimage import data

from face.face_model import face_model
from face.scripted import scripted_clip
from methods.mesh.puppet import MeshPuppet
from methods.portrait import open_portrait

FPS = 30
TILE = 288  # pixels a side
HEAD = (0.0, 0.42, 0.24, 0.70)  # top, bottom, left, right of what is shown, as shares of the picture


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path(".github/demo.jpg"))
    options = parser.parse_args()
    photo = cv2.resize(data.astronaut(), (1024, 1024), interpolation=cv2.INTER_CUBIC)
    portrait = open_portrait(np.ascontiguousarray(photo))
    puppet = MeshPuppet(portrait)
    driver = (110 * face_model().mean + [320, 220, 0]).astype(np.float32)
    motions = list(scripted_clip(driver, (640, 480), fps=FPS))
    scores = np.stack([motion.blendshapes for motion in motions])
    yaw = np.array([motion.rotation[0] for motion in motions])
    roll = np.array([motion.rotation[2] for motion in motions])
    jaw, smile, blink = scores[:, 25], scores[:, 44], scores[:, 9]
    calm = np.where(jaw > 0.1, 0, yaw)
    moments = [jaw.argmax(), calm.argmax(), calm.argmin(), (smile - blink).argmax(), (blink - jaw).argmax()]
    moments.append((np.abs(roll) - blink).argmax())
    pictures = [portrait.image, *(puppet(motions[int(moment)]) for moment in moments)]
    top, bottom, left, right = (round(share * 1024) for share in HEAD)
    tiles = [
        cv2.resize(picture[top:bottom, left:right], (TILE, TILE * (bottom - top) // (right - left)))
        for picture in pictures
    ]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(np.hstack(tiles)).save(options.out, quality=88)
    print(f"{options.out}: the photo, then speech, two turns, a smile, a blink, a tilt")


if __name__ == "__main__":
    main()
