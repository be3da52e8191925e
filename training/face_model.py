# SPDX-License-Identifier: MIT
"""Fit face/face_model.npz (mean face, triangles, expression basis, modes) to tracked stills and clips.

    facepuppet train mesh --stills ../shared/data/faces256 --clips ../shared/data/driving

The numbers that come out hold no picture of anybody: averages and regressions over all of them. Vertex order
and triangles are those of MediaPipe's canonical face (Apache-2.0), read from the landmarker's own model file.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.progress import track

from engines.face_task import canonical_from_task
from engines.mediapipe_reader import Face, StillReader, VideoReader
from engines.package_models import landmarker_model
from face.arrays import Floats
from face.errors import WrongUse
from face.face_model import SURFACE, FaceModel
from face.mouth_reader import MouthReader
from face.pose import similarity_fit

# Points of the canonical pose fit that neither jaw nor lips move, with the weights of MediaPipe's own solver.
RIGID_WEIGHTS = {
    4: 0.0709, 6: 0.0321, 10: 0.00845, 33: 0.0587, 263: 0.0587, 54: 0.00767, 284: 0.00767, 67: 0.00908,
    297: 0.00908, 117: 0.00979, 346: 0.00979, 119: 0.01457, 348: 0.01457, 121: 0.0185, 350: 0.0185, 127:
    0.0052, 356: 0.0052, 129: 0.12063, 358: 0.12063, 133: 0.05329, 362: 0.05329, 143: 0.01482, 372: 0.01482,
    198: 0.02546, 420: 0.02546,
}  # fmt: skip
RIDGE = 3.0  # of the expression regression, in units of squared scores summed over samples
PROBES = 80  # expressions a portrait is tried with at enrolment
MODES = 64  # principal motions kept for compact clips: 99.9 % of the variance
Tracked = tuple[Floats, Floats]  # (478, 3) landmarks in pixels, (52,) scores; or N of each


def track_stills(folder: Path) -> Tracked:
    """(N, 478, 3) pixel landmarks and (N, 52) scores of the pictures in which there is a face."""
    with StillReader() as reader:
        found = [
            reader.one(np.asarray(cv2.imread(str(path)))[..., ::-1])  # OpenCV gives BGR
            for path in track(sorted(folder.glob("*.jpg")), description="stills")
        ]
    return _stacked([face for face in found if face is not None])


def track_clip(path: Path) -> Tracked:
    capture = cv2.VideoCapture(str(path))
    faces: list[Face] = []
    with VideoReader() as reader:
        while True:
            ok, picture = capture.read()
            if not ok:
                break
            if (face := reader(picture[..., ::-1])) is not None:
                faces.append(face)
    capture.release()
    return _stacked(faces)


def _stacked(faces: list[Face]) -> Tracked:
    return np.array([face.landmarks for face in faces]), np.array([face.blendshapes for face in faces])


def unpose(landmarks: Floats, mean: Floats, weights: Floats) -> Floats:
    """(N, 478, 3) shapes in the mean face's frame and unit."""
    shapes = np.empty_like(landmarks)
    for index, points in enumerate(landmarks):
        rotation, scale, shift = similarity_fit(mean, points, weights)
        shapes[index] = (points - shift) @ rotation / scale
    return shapes


def normalise(mean: Floats) -> Floats:
    """Origin between the outer eye corners (33, 263), whose distance becomes 1."""
    mean = mean - (mean[33] + mean[263]) / 2
    return mean / np.linalg.norm(mean[33] - mean[263])


def fit(stills: Tracked, clips: list[Tracked]) -> dict[str, Any]:
    """The arrays of face_model.npz by name."""
    canonical, triangles = canonical_from_task(landmarker_model())
    right_iris, left_iris = (
        np.repeat(canonical[list(corners)].mean(0, keepdims=True), 5, axis=0)
        for corners in ((33, 133), (263, 362))
    )
    mean = normalise(np.concatenate([canonical, right_iris, left_iris]))
    weights = np.zeros(478, np.float32)
    weights[list(RIGID_WEIGHTS)] = list(RIGID_WEIGHTS.values())
    for _ in range(3):  # generalised Procrustes: fit, average, again
        mean = normalise(unpose(stills[0], mean, weights).mean(0))

    deltas, scores = [], []
    for landmarks, score in clips:  # centred per clip, so that what differs between people drops out
        shapes = unpose(landmarks, mean, weights)
        deltas.append(shapes - shapes.mean(0))
        scores.append(score - score.mean(0))
    motion = np.concatenate(deltas).reshape(-1, 478 * 3)
    # stills: rare expressions (smiles, screams), people averaged out
    shapes = unpose(stills[0], mean, weights)
    still_share = 0.3  # a still counts less than a clip frame: identity is noise in it
    x = np.concatenate([*scores, still_share * (stills[1] - stills[1].mean(0))])
    y = np.concatenate([motion, still_share * (shapes - shapes.mean(0)).reshape(-1, 478 * 3)])
    basis = np.linalg.solve(x.T @ x + RIDGE * np.eye(52), x.T @ y)
    _, _, modes = np.linalg.svd(motion[:: max(1, len(motion) // 3000)], full_matrices=False)
    lost = motion - motion @ modes[:MODES].T @ modes[:MODES]
    missed = motion - x[: len(motion)] @ basis
    print(f"{len(stills[0])} stills, {len(motion)} clip frames")
    print(f"{MODES} modes hold {1 - (lost**2).sum() / (motion**2).sum():.3%} of the clips' motion")
    print(f"the expression basis explains {1 - (missed**2).sum() / (motion**2).sum():.1%} of it")
    model = FaceModel(
        mean=mean.astype(np.float32),
        triangles=triangles.astype(np.int32),
        rigid_weights=weights,
        basis=basis.reshape(52, 478, 3).astype(np.float32),
        modes=modes[:MODES].reshape(MODES, 478, 3).astype(np.float32),
        probes=np.zeros((0, MODES), np.float32),
    )
    return {
        "probes": real_probes(model, deltas, scores).astype(np.float16),
        "mean": mean.astype(np.float32),
        "triangles": triangles.astype(np.int16),
        "rigid_weights": weights,
        "basis": basis.reshape(52, 478, 3).astype(np.float16),
        "modes": modes[:MODES].reshape(MODES, 478, 3).astype(np.float16),
    }


def real_probes(model: FaceModel, deltas: list[Floats], scores: list[Floats]) -> Floats:
    """(PROBES, MODES) expressions that people really make, their mouths far apart from one another, as
    amounts of modes.
    """
    reader = MouthReader(model)
    mouths, expressions = [], []
    for delta, score in zip(deltas, scores, strict=True):
        from_calm = (delta - delta[np.abs(score).sum(1).argmin()])[::2]
        mouths.append(np.array([reader(shape[:SURFACE]) for shape in from_calm]))
        expressions.append(from_calm.reshape(len(from_calm), -1) @ model.modes.reshape(MODES, -1).T)
    pool = np.concatenate(mouths)
    spread = pool / pool.std(0)
    chosen = [int((spread**2).sum(1).argmin())]
    distance = ((spread - spread[chosen[0]]) ** 2).sum(1)
    while len(chosen) < PROBES:
        outliers = distance > np.percentile(distance, 99.7)  # tracking errors
        candidate = np.where(outliers, 0, distance)
        chosen.append(int(candidate.argmax()))
        distance = np.minimum(distance, ((spread - spread[chosen[-1]]) ** 2).sum(1))
    return np.concatenate(expressions)[chosen]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        "facepuppet train mesh",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--stills", type=Path, required=True)
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("face/face_model.npz"))
    options = parser.parse_args(arguments)
    for folder in (options.stills, options.clips):
        if not folder.is_dir():
            raise WrongUse(f"{folder} is no folder, expected pictures for --stills and videos for --clips")
    videos = sorted(p for p in options.clips.rglob("*") if p.suffix in (".mp4", ".mpg"))
    clips = [track_clip(path) for path in track(videos, description="clips")]
    np.savez_compressed(options.out, **fit(track_stills(options.stills), clips))
    print(f"{options.out}: {options.out.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
