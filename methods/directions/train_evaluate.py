# SPDX-License-Identifier: MIT
"""What a matrix of directions does to faces it never saw, as tables and a sheet.

    python -m methods.directions.train_evaluate --out evaluation \\
        --directions engines/weights/ffhq-mobile/directions.safetensors \\
        --second fr_feature.onnx --driving ../shared/data/driving

One attribute at a time is taken to its targets; the real tracker says what came of it, and what else moved.
The plain closed form (made of --samples) and real pairs of one person (frames of --driving) stand beside it.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track

from engines.networks.directions import Directions
from engines.networks.store import load_network
from evaluation.recognisers import SecondRecogniser
from face.alignment import aligned_crop
from face.arrays import Floats
from face.direction_parameters import ANGLES, INDEX, NAMES
from methods.directions.train_closed_form import plain_directions
from methods.directions.train_measured import (
    Aim,
    Bench,
    Face,
    Measured,
    driven,
    identities,
    judge,
    measure,
    open_bench,
)
from methods.directions.train_table import FULL_SMILE, PairFloor, report
from training.judges import to_pictures
from training.samples import load_samples
from training.shards import joined, load_shards, save_shard

FIRST_SEED = 7_000_000  # of the identities; samples for training have seeds from 0 on
CHUNK = 10  # identities between two saves
LIDS = ("blink_left", "blink_right")
# What is asked of each face: attribute, names, range; three targets each, drawn evenly.
RANGES: tuple[tuple[str, tuple[str, ...], float, float], ...] = (
    ("yaw", ("yaw",), -20, 20),
    ("pitch", ("pitch",), -12, 15),
    ("jawOpen", ("jaw_open",), 0, 0.4),
    ("smile", ("smile",), 0, 1),
    ("blink", LIDS, 0, 0.6),
)
TARGETS_EACH = 3
FIXED = (
    Aim("yaw -15", ("yaw",), -15, relative=True),
    Aim("yaw +15", ("yaw",), 15, relative=True),
    Aim("yaw at -15", ("yaw",), -15),
    Aim("yaw at +15", ("yaw",), 15),
    Aim("full smile", ("smile",), FULL_SMILE),
    Aim("jaw +0.3", ("jaw_open",), 0.3, relative=True),
)
SHEET = (
    Aim("yaw -15", ("yaw",), -15), Aim("yaw +15", ("yaw",), 15), Aim("pitch -12", ("pitch",), -12),
    Aim("pitch +15", ("pitch",), 15), Aim("smile 0", ("smile",), 0), Aim("smile 1", ("smile",), 1),
    Aim("jaw +0.3", ("jaw_open",), 0.3, relative=True), Aim("shut", LIDS, 0.6),
    Aim("pucker", ("pucker",), 0.7), Aim("brows up", ("brow_up",), 0.6), Aim("gaze +15", ("gaze_x",), 15),
)  # fmt: skip
SHEET_FACES, SHEET_PX = 8, 128
LEAST_TURN, MOST_TURN = 12.0, 18.0  # degrees apart that count as a pair at 15


def aims_of(identity: int) -> list[Aim]:
    """Drawn targets, the same for every matrix, and the fixed ones."""
    rng = np.random.default_rng((FIRST_SEED, identity))
    drawn = [
        Aim(label, names, float(rng.uniform(low, high)))
        for label, names, low, high in RANGES
        for _ in range(TARGETS_EACH)
    ]
    return [*drawn, *FIXED]


def measure_in_pieces(bench: Bench, directions: Directions, people: Floats, out: Path, name: str) -> Measured:
    """All people; what an interrupted run has measured is read back."""
    starts = range(0, len(people), CHUNK)
    paths = [out / f"{name}-{start:04d}.npz" for start in starts]
    for start, path in track(list(zip(starts, paths, strict=True)), description=name):
        if not path.exists():
            chunk = [
                measure(bench, directions, people[index][None], aims_of(index), first=index)
                for index in range(start, min(start + CHUNK, len(people)))
            ]
            save_shard(joined(chunk), path)
    return load_shards(Measured, paths)


def sheet(bench: Bench, directions: Directions, people: Floats) -> NDArray[np.uint8]:
    """Rows of faces: undriven, then each aim of SHEET."""
    rows = []
    for w in people:
        with torch.no_grad():
            picture = to_pictures(bench.generator(torch.from_numpy(w)[None]))[0]
        face = judge(bench, picture)
        if face is not None:
            moved = [shown for _, shown in driven(bench, directions, w, face, list(SHEET))]
            rows.append(np.hstack([cv2.resize(p, (SHEET_PX,) * 2) for p in (picture, *moved)]))
    return np.asarray(np.vstack(rows), np.uint8)


def pair_floor(bench: Bench, folder: Path, *, every: int = 3) -> list[PairFloor]:
    """What the same measures say of real frames of one person: the floor under the table."""
    floors = []
    for path in track(sorted(folder.glob("*.mp4")), description="real pairs"):
        faces = _faces_of(bench, path, every)
        if not faces:
            continue
        numbers = np.array([face.numbers for face in faces])
        yaw, p = numbers[:, 0], numbers[:, ANGLES:]
        calm = int((np.abs(yaw) / 10 + p[:, INDEX["smile"]] + 2 * p[:, INDEX["jaw_open"]]).argmin())
        turned = np.abs(yaw - yaw[calm])
        level = turned < 6
        for label, chosen in (
            ("yaw 15", (turned > LEAST_TURN) & (turned < MOST_TURN)),
            ("full smile", level & (p[:, INDEX["smile"]] - p[calm, INDEX["smile"]] > 0.6)),
            ("jaw +0.3", level & (np.abs(p[:, INDEX["jaw_open"]] - p[calm, INDEX["jaw_open"]] - 0.3) < 0.1)),
        ):
            for index in np.flatnonzero(chosen):
                dlib = float(np.linalg.norm(faces[index].dlib - faces[calm].dlib))
                second = 1 - float(faces[index].second @ faces[calm].second)
                floors.append(PairFloor(label, path.name, dlib, second))
    return floors


def _faces_of(bench: Bench, path: Path, every: int) -> list[Face]:
    """Aligned crops of a clip, judged."""
    capture = cv2.VideoCapture(str(path))
    faces = []
    index = 0
    while True:
        ok, frame = capture.read()
        if not ok:
            break
        if index % every == 0:
            picture = np.ascontiguousarray(frame[..., ::-1])  # OpenCV gives BGR
            seen = bench.tracker.one(picture)
            face = judge(bench, aligned_crop(picture, seen.landmarks).image) if seen else None
            if face is not None:
                faces.append(face)
        index += 1
    capture.release()
    return faces


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--directions", type=Path, required=True)
    parser.add_argument("--samples", type=Path, help="makes the plain closed form to compare with")
    parser.add_argument("--second", type=Path, help="the second recogniser's ONNX file")
    parser.add_argument("--driving", type=Path, help="clips for the floor of real pairs")
    parser.add_argument("--identities", type=int, default=100)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    trained = load_network(options.directions, Directions)
    matrices = {"trained": trained}
    if options.samples is not None:
        matrices["closed form"] = plain_directions(load_samples(options.samples))
    second = SecondRecogniser(options.second) if options.second else None
    with open_bench(second) as bench:
        people = identities(bench.generator, options.identities, first_seed=FIRST_SEED)
        for name, matrix in matrices.items():
            shown = sheet(bench, matrix, people[:SHEET_FACES])
            cv2.imwrite(str(options.out / f"{name.replace(' ', '-')}.jpg"), shown[..., ::-1])
        measured = {
            name: measure_in_pieces(bench, matrix, people, options.out, name.replace(" ", "-"))
            for name, matrix in matrices.items()
        }
        floors = pair_floor(bench, options.driving) if options.driving else []
    text = report(measured, floors)
    (options.out / "directions.md").write_text(text, encoding="utf-8")
    print(text)
    print(f"numbers of p: {', '.join(NAMES)}")


if __name__ == "__main__":
    main()
