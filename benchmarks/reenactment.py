# SPDX-License-Identifier: MIT
"""Does a portrait do what its driver does, and stay itself? Knows every part of the line, but not live.

python -m benchmarks.reenactment --portraits DIR --driving DIR [--method mesh] [--out out/reenactment]
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.driving import EMBED_EVERY, Clip, driver_details, find_clips, load_clip, shapes_seen
from benchmarks.raw_track import RawTracker, track_still
from benchmarks.report import sections, write_csv, write_series
from benchmarks.sheets import around_face, contact_sheet, mouth_and_eyes, time_plot
from engines.quiet import quiet_natives
from evaluation.distances import track_of
from evaluation.follow import BLINK, SIGNALS, SMILE, Pair, follow, summarise, worst_first
from evaluation.recognisers import DlibRecogniser, Recogniser, Spread, spread
from evaluation.shape_follow import (
    FOLLOWED,
    LIDS,
    LIPS,
    ShapeFollow,
    follow_shapes,
    rates,
    summarise_shape,
    unlike,
)
from evaluation.tables import markdown, page
from face.arrays import Floats, Image
from face.errors import BadPortrait, PuppetError, WrongUse
from face.photo import SUFFIXES, read_photo
from methods.method import Opening, Puppet
from methods.registry import METHODS, open_puppet
from methods.subject import resolve
from realtime.machine import this_machine

PLOTS = 8  # time plots of the worst pairs
WORST_FRAMES, NEXT_TO = 3, 8  # of a pair, whose mouth and eyes are shown; frames between two of them
WORST_SHOWN = 8  # of a clip


@dataclass(frozen=True, slots=True)
class Unlike:
    """One output frame whose mouth or lids are not as the driver's."""

    away: float  # see evaluation.shape_follow.unlike
    index: int
    caption: str
    picture: Image  # mouth and eyes enlarged


@dataclass(frozen=True, slots=True)
class Sitter:
    """A portrait opened as a puppet, and what its photo itself measures."""

    name: str
    puppet: Puppet
    photo: Image  # at the puppet's size
    signals: Floats  # (6,) of the photo
    shapes: Floats  # (4,)
    landmarks: Floats  # (478, 3) of the photo
    embedding: Floats  # (128,)
    head: tuple[int, int, int, int]  # left, top, right, bottom of what the contact sheet shows


def open_sitter(path: Path, method: str, longest: int, embedder: Recogniser) -> Sitter:
    """Raises BadPortrait for a photo the method refuses."""
    puppet = open_puppet(method, resolve(path), Opening(longest))
    photo = _resized(read_photo(path), puppet.size)
    face = track_still(photo)
    if face is None:
        raise BadPortrait(
            f"{path.name}: no face found at {puppet.size[0]}x{puppet.size[1]}; use a larger photo"
        )
    head = around_face(face.landmarks, puppet.size)
    embedding = embedder(photo, face.landmarks)
    signals, shapes = track_of([face]).signals[0], shapes_seen([face])[0]
    return Sitter(path.stem, puppet, photo, signals, shapes, face.landmarks, embedding, head)


def drive(
    sitter: Sitter, clip: Clip, embedder: Recogniser, *, refine: bool = False
) -> tuple[Pair, list[Image], list[Unlike]]:
    """Measure one pair; beside it the output's head at the clip's extreme moments, and the frames whose
    mouth or lids are least as they should be, the worst first.

    `refine`: as `facepuppet render` does by default, which reads its drawings with the tracker that measures
    here; without it the output is what a live session shows.
    """
    puppet = sitter.puppet
    if refine:
        puppet = puppet.refined(clip.motions)
    wanted = {index for _, index in clip.moments}
    kept: dict[int, Image] = {}
    embeddings = []
    with RawTracker() as tracker:
        for index, motion in enumerate(clip.motions):
            image = puppet(motion)
            tracker(image)
            face = tracker.seen[-1]
            if index in wanted:
                kept[index] = _cut(image, sitter.head)
            if face is not None and index % EMBED_EVERY == 0:
                embeddings.append(embedder(image, face.landmarks))
    output = track_of(tracker.seen).signals
    correlation, gain = follow(clip.signals, output)
    shapes = follow_shapes(clip.shapes, shapes_seen(tracker.seen), sitter.shapes)
    away = unlike(shapes, (clip.shapes[clip.neutral], sitter.shapes))
    pair = Pair(
        clip=clip.name,
        portrait=sitter.name,
        portrait_smile=float(sitter.signals[SMILE]),
        portrait_blink=float(sitter.signals[BLINK]),
        correlation=correlation,
        gain=gain,
        faces=float(np.mean([face is not None for face in tracker.seen])),
        identity=spread(np.array(embeddings, np.float32).reshape(-1, 128), sitter.embedding),
        driver=clip.signals,
        output=output,
        shapes=shapes,
    )
    worst = []
    for index in _apart(away, WORST_FRAMES):
        face = tracker.seen[index]
        assert face is not None
        caption = (
            f"{sitter.name} {index}: lips {_pair(shapes, index, LIPS)}, lids {_pair(shapes, index, LIDS)}"
        )
        cut = mouth_and_eyes(puppet(clip.motions[index]), face.landmarks)
        worst.append(Unlike(float(away[index]), index, caption, cut))
    return pair, [kept[index] for _, index in clip.moments], worst


def _pair(shapes: ShapeFollow, index: int, shape: int) -> str:
    return f"{shapes.driver[index, shape]:.2f}>{shapes.output[index, shape]:.2f}"


def _apart(away: NDArray[np.float64], count: int) -> list[int]:
    """The `count` frames farthest away, none within NEXT_TO frames of another."""
    left = np.nan_to_num(away, nan=-1.0)
    found: list[int] = []
    while len(found) < count and left.max(initial=-1.0) >= 0:
        found.append(int(left.argmax()))
        left[max(found[-1] - NEXT_TO, 0) : found[-1] + NEXT_TO + 1] = -1
    return found


def choose(paths: Sequence[Path], seed: int) -> Iterator[Path]:
    """Portraits in a random order that does not repeat one before all have had their turn."""
    rng = np.random.default_rng(seed)
    while True:
        for index in rng.permutation(len(paths)):
            yield paths[index]


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured so far."""

    pairs: list[Pair]
    clips: list[Clip]
    strangers: Spread
    refused: list[str]  # portraits, and why


def run(options: argparse.Namespace, console: Console) -> Measured:
    """All pairs; after each clip its contact sheet and the tables so far are written: full runs are long."""
    folder: Path = options.portraits
    photos = sorted(folder.glob("*")) if folder.is_dir() else []
    photos = [path for path in photos if path.suffix.lower() in SUFFIXES]
    if not photos:
        raise WrongUse(f"{options.portraits} holds no picture, expected portraits; name a folder that does")
    paths = find_clips(options.driving)
    if options.clips:
        wanted = options.clips.split(",")
        paths = [path for path in paths if path.stem in wanted]
        strange = set(wanted) - {path.stem for path in paths}
        if strange:
            raise WrongUse(
                f"no clip in {options.driving} is called {', '.join(sorted(strange))}; see --clips"
            )
    counts = _counts(options, len(paths))
    embedder = DlibRecogniser()
    order = choose(photos, options.seed)
    pairs: list[Pair] = []
    clips: list[Clip] = []
    refused: list[str] = []
    faces: dict[str, Floats] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("pairs", total=sum(counts))
        for path, count in zip(paths, counts, strict=True):
            if not count:
                continue
            progress.update(task, description=f"tracking {path.name}")
            clip = load_clip(path, embedder, every=options.every)
            clips.append(clip)
            faces[f"driver {clip.name}"] = clip.embedding
            rows = [("driver", [clip.pictures[0], *clip.pictures])]
            worst: list[Unlike] = []
            while len(rows) <= count and len(refused) < len(photos):
                photo = next(order)
                progress.update(task, description=f"{path.name} drives {photo.name}")
                try:
                    sitter = open_sitter(photo, options.method, options.longest, embedder)
                except BadPortrait as error:
                    refused.append(str(error))
                    continue
                faces[sitter.name] = sitter.embedding
                pair, pictures, frames = drive(sitter, clip, embedder, refine=options.refine)
                pairs.append(pair)
                worst += frames
                if not console.is_terminal:
                    console.print(f"{clip.name} {_caption(pair)}", soft_wrap=True, highlight=False)
                rows.append((_caption(pair), [_cut(sitter.photo, sitter.head), *pictures]))
                progress.advance(task)
            titles = ["photo", *(f"{name} ({index})" for name, index in clip.moments)]
            contact_sheet(options.out / f"sheet_{clip.name}.png", titles, rows)
            shown = sorted(worst, key=lambda each: -each.away)[:WORST_SHOWN]
            drawn = [("driver", driver_details(path, clip, [each.index for each in shown], options.every))]
            drawn += [("portrait", [each.picture for each in shown])]
            contact_sheet(
                options.out / f"details_{clip.name}.png",
                [each.caption for each in shown],
                drawn,
                cell=(320, 400),
            )
            if pairs:
                write_tables(options, Measured(pairs, clips, _strangers(faces), refused))
    if not pairs:
        raise BadPortrait(f"none of {len(refused)} portraits can be used; the first: {refused[0]}")
    return Measured(pairs, clips, _strangers(faces), refused)


def write_tables(options: argparse.Namespace, measured: Measured) -> str:
    """Everything but the contact sheets, and the tables as text."""
    pairs, clips = measured.pairs, measured.clips
    tables = sections(pairs, clips, measured.strangers)
    text = markdown(tables)
    if measured.refused:
        text += "\n## Refused portraits\n\n" + "".join(f"- {line}\n" for line in measured.refused)
    for stale in options.out.glob("worst_*.png"):
        stale.unlink()
    plots = []
    for number, pair in enumerate(worst_first(pairs)[:PLOTS]):
        plots.append(options.out / f"worst_{number:02d}_{pair.clip}_{pair.portrait}.png")
        time_plot(plots[-1], pair, next(clip.seconds for clip in clips if clip.name == pair.clip))
    sheets = [options.out / f"{kind}_{clip.name}.png" for clip in clips for kind in ("details", "sheet")]
    (options.out / "table.md").write_text(text, encoding="utf-8")
    how = "refined" if options.refine else "as live"
    heading = f"Reenactment by {options.method}, {how}, {len(pairs)} pairs"
    (options.out / "table.html").write_text(page(tables, [*sheets, *plots], heading), encoding="utf-8")
    write_csv(options.out / "pairs.csv", pairs)
    write_series(options.out / "series.npz", pairs)
    return text


def _counts(options: argparse.Namespace, clips: int) -> list[int]:
    """How many portraits each clip drives."""
    if options.pairs is None:
        return [options.portraits_per_clip] * clips
    return [options.pairs // clips + (number < options.pairs % clips) for number in range(clips)]


def _strangers(faces: dict[str, Floats]) -> Spread:
    """Every two different people; two drivers may be one person, and are left out."""
    names = list(faces)
    apart = [
        (a, b)
        for a in range(len(names))
        for b in range(a + 1, len(names))
        if not (names[a].startswith("driver ") and names[b].startswith("driver "))
    ]
    vectors = np.array([faces[name] for name in names])
    first, second = np.array(apart, int).reshape(-1, 2).T
    return spread(vectors[first], vectors[second])


def _resized(image: Image, size: tuple[int, int]) -> Image:
    return np.ascontiguousarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def _cut(image: Image, box: tuple[int, int, int, int]) -> Image:
    left, top, right, bottom = box
    return image[top:bottom, left:right]


def _caption(pair: Pair) -> str:
    values = [f"{name} {r:.2f}" for name, r in zip(SIGNALS, pair.correlation, strict=True) if np.isfinite(r)]
    own = f"own smile {pair.portrait_smile:.2f}"
    return f"{pair.portrait} ({own})  r: {', '.join(values)}  id {pair.distance:.2f}"


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reenactment", description=__doc__)
    parser.add_argument("--portraits", type=Path, required=True, help="folder of portrait photos")
    parser.add_argument("--driving", type=Path, required=True, help="folder of clips, searched below too")
    parser.add_argument("--clips", default="", help="only these, by name without suffix, separated by commas")
    parser.add_argument("--method", choices=list(METHODS), default="mesh")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--pairs", type=int, help="number of pairs in all, spread over the clips")
    size.add_argument("--portraits-per-clip", type=int, default=3)
    parser.add_argument("--longest", type=int, default=512, help="longer side of the output, pixels")
    parser.add_argument("--every", type=int, default=1, help="use every so many-th frame of a clip")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of portraits")
    parser.add_argument(
        "--refine",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="as `facepuppet render` does; without: as live",
    )
    parser.add_argument("--out", type=Path, default=Path("out/reenactment"))
    return parser


def main() -> int:
    """Exit status 0, or 1 and 2 as the error says."""
    options = _arguments().parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    begun, machine = time.perf_counter(), this_machine()
    try:
        with quiet_natives():
            measured = run(options, Console(file=sys.stderr))
            text = write_tables(options, measured)
    except PuppetError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    print(text)
    line = _last_line(options, measured)
    line |= {"took_s": round(time.perf_counter() - begun, 1), "machine": asdict(machine)}
    print(json.dumps(line))
    return 0


def _last_line(options: argparse.Namespace, measured: Measured) -> dict[str, object]:
    pairs, clips = measured.pairs, measured.clips
    line: dict[str, object] = {
        "benchmark": "reenactment", "method": options.method, "pairs": len(pairs), "clips": len(clips),
        "every": options.every, "refine": options.refine, "seed": options.seed, "longest": options.longest,
    }  # fmt: skip
    for k, name in enumerate(SIGNALS):
        found = summarise(pairs, k)
        if found.pairs:
            values = [found.median, found.p10, found.worst, found.reached, found.gain]
            names = ["median", "p10", "worst", "reached", "gain"]
            line[name] = {"pairs": found.pairs} | {
                key: round(value, 4) for key, value in zip(names, values, strict=True)
            }
    shapes = [pair.shapes for pair in pairs]
    for k, name in enumerate(FOLLOWED):
        shape = summarise_shape(shapes, k)
        if shape.pairs:
            line[name] = {key: round(value, 4) for key, value in asdict(shape).items()}
    opened, shut = rates(shapes)
    line |= {"shut_lips_shown_open": round(opened, 5), "open_eyes_shown_shut": round(shut, 5)}
    floor = np.concatenate([clip.floor.distance for clip in clips])
    line |= {
        "faces": round(float(np.mean([pair.faces for pair in pairs])), 5),
        "distance": round(float(np.median([pair.distance for pair in pairs])), 4),
        "distance_same_person": round(float(np.median(floor)), 4),
        "distance_strangers": round(float(np.median(measured.strangers.distance)), 4),
    }
    return line


if __name__ == "__main__":
    sys.exit(main())
