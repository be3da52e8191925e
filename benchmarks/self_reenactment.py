# SPDX-License-Identifier: MIT
"""A person moved by their own video: the first frame is the portrait, the rest are driver and truth.

python -m benchmarks.self_reenactment --driving DIR [--clips d0,d3] [--against CHECKOUT] [--out out/self]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.drawn_frames import save_motions
from benchmarks.driving import EMBED_EVERY, find_clips
from benchmarks.raw_track import RawTracker, clip_frames
from benchmarks.sheets import contact_sheet, mouth_and_eyes
from engines.quiet import quiet_natives
from evaluation.against_truth import apart, squares
from evaluation.perceptual import open_lite0, perceptual
from evaluation.recognisers import DlibRecogniser
from evaluation.tables import Section, markdown, number
from face.arrays import Floats, Image
from face.errors import BadPortrait, BadVideo, PuppetError, WrongUse
from face.motion import Motion
from realtime.machine import CHECKOUT, this_machine
from realtime.tracker.face_tracker import FaceTracker

MEASURES = ("face dB", "mouth dB", "face Lite0", "mouth Lite0", "sharpness", "identity")
HIGHER = np.array([1, 1, -1, -1, 0, -1])  # what is better; sharpness is best at 1
SHOWN, NEXT_TO = 8, 5  # worst frames on a sheet, and measured frames between two of them
TIMEOUT_S = 1800


@dataclass(frozen=True, slots=True)
class Own:
    """A clip as portrait, driver and truth; N measured frames, the first frame not among them."""

    name: str
    photo: Image
    motions: list[Motion]  # (1 + N), the photo's own first
    truth: list[Image]  # (N)
    landmarks: list[Floats]  # (N) of (478, 3), pixels of the truth


def own_clip(path: Path, every: int) -> Own:
    """Tracked in every frame, as a render does, and against its first frame as rest. Raises BadVideo."""
    motions: list[Motion] = []
    pictures: list[Image] = []
    raw = RawTracker()
    with FaceTracker(raw) as tracker:
        for frame in clip_frames(path):
            motion = replace(tracker(frame), captured_s=float(frame.media_s or 0.0), neutral=None)
            if frame.index == 0 or (frame.index % every == 0 and raw.seen[-1] is not None):
                motions.append(motion)
                pictures.append(frame.image)
    seen = [face.landmarks for index, face in enumerate(raw.seen) if index % every == 0 and face is not None]
    if raw.seen[0] is None or len(seen) < 2:
        raise BadVideo(f"{path} shows no face in its first frame or later, expected one; choose another file")
    return Own(path.stem, pictures[0], motions, pictures[1:], seen[1:])


def drawn(own: Own, checkout: Path, *, longest: int, refine: bool) -> tuple[NDArray[np.uint8], str]:
    """(N, H, W, 3) the clip's motions by the puppet of a checkout, and its commit. Raises BadPortrait."""
    with tempfile.TemporaryDirectory() as folder:
        photo, motions, out = (Path(folder, name) for name in ("photo.png", "motions.npz", "out.npy"))
        cv2.imwrite(str(photo), cv2.cvtColor(own.photo, cv2.COLOR_RGB2BGR))
        save_motions(motions, own.motions)
        line = [sys.executable, str(CHECKOUT / "benchmarks" / "drawn_frames.py"), str(photo), str(motions)]
        line += [str(out), f"--longest={longest}", *(["--refine"] if refine else [])]
        done = subprocess.run(
            line, cwd=checkout, env=os.environ | {"PYTHONPATH": str(checkout)},
            capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
        if done.returncode:
            told = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
            raise BadPortrait(f"{own.name}: {checkout} could not draw it ({told[0]}); choose another clip")
        return np.load(out), str(json.loads(done.stdout.splitlines()[-1])["commit"])


class Judges:
    """The networks that compare a drawing with the truth, opened once."""

    def __init__(self) -> None:
        self._lite0, self._dlib = open_lite0(), DlibRecogniser()

    def __call__(self, own: Own, pictures: NDArray[np.uint8]) -> Floats:
        """(N, 6) MEASURES of drawings (N, H, W, 3); identity NaN but in every fifth."""
        rows = []
        for index, (truth, picture) in enumerate(zip(own.truth, pictures, strict=True)):
            truth, points = at_size(truth, own.landmarks[index], picture)
            found = apart(picture, truth, points)
            one, other = squares(picture, points), squares(truth, points)
            unlike = [perceptual(self._lite0, *pair) for pair in zip(one, other, strict=True)]
            identity = np.nan
            if index % EMBED_EVERY == 0:
                identity = float(np.linalg.norm(self._dlib(picture, points) - self._dlib(truth, points)))
            rows.append([found.face_db, found.mouth_db, *unlike, found.sharpness, identity])
        return np.array(rows, np.float32)


def at_size(truth: Image, landmarks: Floats, drawing: Image) -> tuple[Image, Floats]:
    """Truth and its landmarks at the size of a drawing."""
    height, width = drawing.shape[:2]
    scale = width / truth.shape[1]
    if scale == 1:
        return truth, landmarks
    return cv2.resize(truth, (width, height), interpolation=cv2.INTER_AREA), landmarks * np.float32(scale)


def worst_frames(rows: Floats, count: int) -> list[int]:
    """Frames whose mouth is farthest from the truth, worst first, none beside another."""
    left = rows[:, MEASURES.index("mouth dB")].copy()
    found: list[int] = []
    while len(found) < count and np.isfinite(left).any():
        found.append(int(np.nanargmin(left)))
        left[max(found[-1] - NEXT_TO, 0) : found[-1] + NEXT_TO + 1] = np.nan
    return found


def write_sheet(path: Path, own: Own, drawings: dict[str, NDArray[np.uint8]], rows: Floats) -> None:
    """The truth's and each drawing's mouth and eyes in the worst frames of the first drawing."""
    first = next(iter(drawings.values()))
    shown = worst_frames(rows, SHOWN)
    titles = [f"{index}: mouth {rows[index, 1]:.1f} dB, sharp {rows[index, 4]:.2f}" for index in shown]
    truths = [at_size(own.truth[index], own.landmarks[index], first[0]) for index in shown]
    lines = [("truth", [mouth_and_eyes(*each) for each in truths])]
    for name, pictures in drawings.items():
        cuts = [mouth_and_eyes(pictures[k], truth[1]) for k, truth in zip(shown, truths, strict=True)]
        lines.append((name, cuts))
    contact_sheet(path, titles, lines, cell=(320, 400))


def better(here: Floats, there: Floats) -> list[int]:
    """Of clips (C, 6) measured by two checkouts: in how many the first one is better, by measure."""
    sharp = MEASURES.index("sharpness")
    gained = (here - there) * HIGHER
    gained[:, sharp] = np.abs(np.log(there[:, sharp])) - np.abs(np.log(here[:, sharp]))
    return [int(count) for count in (gained > 0).sum(0)]


def table(names: Sequence[str], measured: dict[str, Floats]) -> Section:
    """A line a clip and checkout."""
    digits = (2, 2, 3, 3, 2, 3)
    rows = [["clip", "checkout", *MEASURES]]
    for k, clip in enumerate(names):
        for tree, values in measured.items():
            rows.append([clip, tree, *(number(float(v), d) for v, d in zip(values[k], digits, strict=True))])
    note = "Means over frames. Lite0: distance in EfficientNet-Lite0's features; sharpness: 1 as the truth."
    return Section("Self-reenactment", note, rows)


def run(options: argparse.Namespace) -> tuple[list[str], dict[str, Floats], dict[str, str]]:
    """Clips, per checkout the means (C, 6) over their frames, and the checkouts' commits."""
    paths = find_clips(options.driving)
    wanted = options.clips.split(",") if options.clips else [path.stem for path in paths]
    if strange := set(wanted) - {path.stem for path in paths}:
        raise WrongUse(f"no clip in {options.driving} is called {', '.join(sorted(strange))}; see --clips")
    checkouts = {"here": CHECKOUT}
    if options.against is not None:
        if not (options.against / "realtime").is_dir():
            raise WrongUse(f"{options.against} is no checkout of facepuppet, expected one; see --against")
        checkouts["against"] = options.against.resolve()
    judges = Judges()
    names: list[str] = []
    measured: dict[str, list[Floats]] = {tree: [] for tree in checkouts}
    commits: dict[str, str] = {}
    for path in paths:
        if path.stem not in wanted:
            continue
        own = own_clip(path, options.every)
        drawings: dict[str, NDArray[np.uint8]] = {}
        frames: dict[str, Floats] = {}
        for tree, place in checkouts.items():
            drawings[tree], commits[tree] = drawn(own, place, longest=options.longest, refine=options.refine)
            frames[tree] = judges(own, drawings[tree])
            measured[tree].append(np.nanmean(frames[tree], axis=0))
            told = ", ".join(f"{n} {v:.3f}" for n, v in zip(MEASURES, measured[tree][-1], strict=True))
            print(f"{own.name} {tree}: {told}", file=sys.stderr, flush=True)
        names.append(own.name)
        write_sheet(options.out / f"self_{own.name}.png", own, drawings, frames["here"])
        np.savez(options.out / f"self_{own.name}.npz", **frames)
    return names, {tree: np.array(rows) for tree, rows in measured.items()}, commits


def last_line(measured: dict[str, Floats], commits: dict[str, str]) -> dict[str, object]:
    line: dict[str, object] = {"commits": commits}
    for tree, values in measured.items():
        line[tree] = {n: round(float(v), 4) for n, v in zip(MEASURES, np.median(values, axis=0), strict=True)}
    if "against" in measured:
        here, there = measured["here"], measured["against"]
        line["better"] = dict(zip(MEASURES, better(here, there), strict=True))
        line["mouth dB gained, median"] = round(float(np.median(here[:, 1] - there[:, 1])), 3)
    return line


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.self_reenactment", description=__doc__)
    parser.add_argument("--driving", type=Path, required=True, help="folder of clips, searched below too")
    parser.add_argument("--clips", default="", help="only these, by name without suffix, separated by commas")
    parser.add_argument("--against", type=Path, help="another checkout, drawn and measured beside this one")
    parser.add_argument(
        "--every", type=int, default=1, help="measure every so many-th frame; all are tracked"
    )
    parser.add_argument("--longest", type=int, default=512, help="longer side of the drawing, pixels")
    parser.add_argument("--refine", action="store_true", help="as `facepuppet render`; without: as live")
    parser.add_argument("--out", type=Path, default=Path("out/self"))
    return parser


def main() -> int:
    """Exit status 0, or 1 and 2 as the error says."""
    options = _arguments().parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    begun, machine = time.perf_counter(), this_machine()
    try:
        with quiet_natives():
            names, measured, commits = run(options)
    except PuppetError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    text = markdown([table(names, measured)])
    (options.out / "self.md").write_text(text, encoding="utf-8")
    print(text)
    line = {"clips": len(names), "refined": options.refine} | last_line(measured, commits)
    line |= {"took_s": round(time.perf_counter() - begun, 1), "machine": asdict(machine)}
    print(json.dumps(line))
    return 0


if __name__ == "__main__":
    sys.exit(main())
