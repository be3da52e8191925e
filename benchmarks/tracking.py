# SPDX-License-Identifier: MIT
"""What the tracker finds, how still and how late it is, and its cost: this tree's and another one's.

    python -m benchmarks.tracking [--against TREE] [--still PICTURE] [CLIP...]

Each part is run by turns in either tree, in a process of its own on one core. Sizes are the distance of the
outer eye corners, in picture widths. Leaning back goes from 10 to 4 % in 300 frames of 1280x720. Shimmer is
the step of a delivered landmark from frame to frame, root mean square in px, of a still with fresh camera
noise (640x480, JPEG). Lag is the shift in time at which what was delivered fits best what single pictures
show, over the quarter of the frames in which it moves fastest: yaw, place, lips, width of the mouth, lids.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.mediapipe_reader import Face, StillReader
from face.arrays import Floats, Image
from face.motion_vector import CENTRE, vector_of
from realtime.machine import this_machine
from realtime.sources import open_source

HERE = Path(__file__).resolve().parents[1]
WIDTH, HEIGHT, FPS = 1280, 720, 30
LEANING, STILL, CLIP, SEARCH, COST = 300, 90, 200, 60, 120  # frames
NOISE, QUALITY, SETTLING = 5.0, 85, 15  # grey levels, JPEG, frames left out at the start
WHERE = (0.7, 0.4)  # of the picture: where the face is
TURNS = 3  # of the cost, by turns

# Tracks the pictures of a folder in the tree it is started in, on one core; older trees have other modules.
CHILD = """
import os, sys, time
from pathlib import Path
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import cv2, numpy as np
try:
    from face.frame import Frame
    from realtime.tracker.face_tracker import FaceTracker
except ImportError:
    from realtime.frame import Frame
    from realtime.tracker import FaceTracker
folder, fps = Path(sys.argv[1]), float(sys.argv[2])
motions, spent = [], []
with FaceTracker(relative=False) as tracker:
    for index, path in enumerate(sorted(folder.glob("*.png"))):
        frame = Frame(np.ascontiguousarray(cv2.imread(str(path))[..., ::-1]), index / fps, index)
        begun = time.process_time()
        motions.append(tracker(frame))
        spent.append(time.process_time() - begun)
np.savez(folder / "tracked.npz", seconds=spent, landmarks=[m.landmarks for m in motions],
         rotation=[m.rotation for m in motions], found=[m.confidence for m in motions])
"""


@dataclass(frozen=True, slots=True)
class Tracked:
    """What a tracker delivered of N pictures."""

    seconds: NDArray[np.float64]  # (N,) processor time
    landmarks: NDArray[np.float32]  # (N, 478, 3)
    rotation: NDArray[np.float32]  # (N, 3)
    found: NDArray[np.bool_]  # (N,) tracked in this very picture, or eased to it


def track(pictures: Iterable[Image], tree: Path) -> Tracked:
    with tempfile.TemporaryDirectory() as name:
        for index, picture in enumerate(pictures):
            cv2.imwrite(f"{name}/{index:04}.png", picture[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
        subprocess.run(
            [sys.executable, "-c", CHILD, name, str(FPS)], cwd=tree, env=_environment(tree), check=True
        )
        with np.load(f"{name}/tracked.npz") as told:
            rising = np.diff(told["found"], prepend=0) > 0
            found = rising | (told["found"] >= 1)
            return Tracked(told["seconds"], told["landmarks"], told["rotation"], found)


def _environment(tree: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(tree)}


def scene(portrait: Image, eyes: tuple[Floats, float], share: float) -> Image:
    """(720, 1280, 3) the portrait so small that its eyes are `share` of the width apart."""
    random = np.random.default_rng(0)
    room = np.clip(random.normal(120, 40, (9, 16, 3)), 0, 255).astype(np.uint8)
    canvas = cv2.resize(room, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    middle, apart = eyes
    scale = share * WIDTH / apart
    move = np.array(
        ((scale, 0, WHERE[0] * WIDTH - scale * middle[0]), (0, scale, WHERE[1] * HEIGHT - scale * middle[1]))
    )
    smaller = cv2.GaussianBlur(portrait, (0, 0), 0.4 / scale) if scale < 1 else portrait
    cv2.warpAffine(smaller, move, (WIDTH, HEIGHT), canvas, cv2.INTER_LINEAR, cv2.BORDER_TRANSPARENT)
    return np.asarray(canvas, np.uint8)


def noisy(image: Image, frames: int) -> Iterator[Image]:
    random = np.random.default_rng(0)
    for _ in range(frames):
        grainy = np.clip(image + random.normal(0, NOISE, image.shape), 0, 255).astype(np.uint8)
        coded = cv2.imencode(".jpg", grainy, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
        yield np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)


def leaning(portrait: Image, eyes: tuple[Floats, float], tree: Path) -> dict[str, float]:
    shares = np.geomspace(0.1, 0.04, LEANING)
    return {"leaning_found": int(track((scene(portrait, eyes, float(s)) for s in shares), tree).found.sum())}


def search(portrait: Image, eyes: tuple[Floats, float], tree: Path) -> dict[str, float]:
    """Frames until a face is found that was small from the start; SEARCH for never."""
    found = track([scene(portrait, eyes, 0.05)] * SEARCH, tree).found
    return {"frames_to_find": int(found.argmax()) if found.any() else SEARCH}


def shimmer(portrait: Image, eyes: tuple[Floats, float], tree: Path) -> dict[str, float]:
    still = np.full((480, 640, 3), 90, np.uint8)
    still[40:440, 120:520] = cv2.resize(
        portrait[: portrait.shape[1]], (400, 400), interpolation=cv2.INTER_AREA
    )
    points = track(noisy(still, STILL), tree).landmarks[SETTLING:, :, :2]
    return {"shimmer_px": float(np.sqrt((np.diff(points, axis=0) ** 2).sum(-1).mean()))}


def cost(portrait: Image, eyes: tuple[Floats, float], tree: Path) -> dict[str, float]:
    """Processor time of a frame with a face of usual size."""
    spent = 1000 * track(noisy(scene(portrait, eyes, 0.12), COST), tree).seconds[20:]
    return {"cost_ms": float(spent.mean()), "cost_p50_ms": float(np.median(spent))}


def clip_pictures(clip: Path) -> tuple[list[Image], list[Face | None]]:
    """The pictures, and what each shows when it is read alone."""
    with open_source(str(clip), live=False) as source:
        pictures = [frame.image for frame, _ in zip(source, range(CLIP), strict=False)]
    with StillReader() as reader:
        return pictures, [reader.one(picture) for picture in pictures]


def lag(pictures: list[Image], faces: list[Face | None], tree: Path) -> dict[str, float]:
    delivered = track(pictures, tree)
    size = (pictures[0].shape[1], pictures[0].shape[0])
    kept = [(i, face) for i, face in enumerate(faces) if face is not None and delivered.found[i]]
    shown = [_signals(delivered.landmarks[i], size, delivered.rotation[i]) for i, _ in kept]
    seen = [_signals(face.landmarks, size, face.rotation) for _, face in kept]
    times = np.array([i for i, _ in kept]) / FPS
    names = ("yaw", "x", "lips", "width", "lids")
    pairs = zip(names, np.array(seen).T, np.array(shown).T, strict=True)
    return {f"lag_{name}_ms": _shift_ms(raw, late, times) for name, raw, late in pairs}


def _signals(landmarks: Floats, size: tuple[int, int], rotation: Floats) -> tuple[float, ...]:
    vector = vector_of(landmarks, size, rotation=rotation, gaze=np.zeros(2), blendshapes=np.zeros(52))
    apart = np.linalg.norm(landmarks[33] - landmarks[263])
    gaps = [
        np.linalg.norm(landmarks[a] - landmarks[b]) / apart
        for a, b in ((13, 14), (61, 291), (159, 145), (386, 374))
    ]
    return float(rotation[0]), float(vector[CENTRE.start]), gaps[0], gaps[1], gaps[2] + gaps[3]


def _shift_ms(raw: NDArray[np.float64], late: NDArray[np.float64], times: NDArray[np.float64]) -> float:
    speed = np.abs(np.gradient(raw, times))
    fast = speed > np.percentile(speed, 75)
    fast[:5] = fast[-5:] = False
    shifts = np.arange(-0.02, 0.12, 0.001)
    errors = [np.square(np.interp(times[fast] - s, times, raw) - late[fast]).mean() for s in shifts]
    return float(shifts[int(np.argmin(errors))] * 1000)


PARTS = (leaning, search, shimmer, *[cost] * TURNS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="*", type=Path)
    parser.add_argument("--against", type=Path, help="another checkout of this project")
    parser.add_argument("--still", type=Path, help="a portrait; default: scikit-image's astronaut")
    asked = parser.parse_args()
    if asked.still is None:
        from skimage.data import astronaut

        portrait = np.asarray(astronaut()[:300, 70:370])
    else:
        portrait = cv2.cvtColor(cv2.imread(str(asked.still)), cv2.COLOR_BGR2RGB)
    with StillReader() as reader:
        face = reader.one(portrait)
    if face is None:
        parser.error(f"{asked.still} shows no face, expected one; choose another picture")
    corners = face.landmarks[[33, 263], :2]
    eyes = corners.mean(0), float(np.linalg.norm(corners[1] - corners[0]))
    trees = [HERE, *([asked.against.resolve()] if asked.against else [])]
    report: list[dict[str, list[float]]] = [{} for _ in trees]

    def note(values: list[dict[str, float]]) -> None:
        for known, told in zip(report, values, strict=True):
            for name, value in told.items():
                known.setdefault(name, []).append(round(value, 4))
        print(
            "  ".join(f"{name} {' | '.join(str(told[name]) for told in values)}" for name in values[0]),
            flush=True,
        )

    for part in PARTS:
        note([part(portrait, eyes, tree) for tree in trees])
    for clip in asked.clips:
        pictures, faces = clip_pictures(clip)
        note([lag(pictures, faces, tree) for tree in trees])
    print(json.dumps({"machine": asdict(this_machine()), "trees": report}))


if __name__ == "__main__":
    main()
