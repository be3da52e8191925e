# SPDX-License-Identifier: MIT
"""Do real portraits come back from the generator, and do they follow a driver? Knows every part of the line
offline, but not live.

    python -m benchmarks.portraits --portraits DIR --driving DIR --second fr_feature.onnx [--count 40]

The portraits are those that were kept out of every training. Each is enrolled as `facepuppet enroll` does and
held against its own photo; then one clip drives it, drawn by `directions` and by `mesh` as a live session
shows it, both with `--absolute`, too, as papers do, and by `mesh` refined as `facepuppet render` does. What
was measured is kept in --out and read back by the next run. No training and no enrolment saw the recogniser
of --second; dlib's is part of enrolment.
The contact sheets show the drivers: keep them to yourself.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.driving import find_clips
from benchmarks.portraits_findings import ABSOLUTE, METHODS, Findings, Pair, Portrait
from benchmarks.portraits_generator import SIZE, Generator
from benchmarks.portraits_judges import (
    Driven,
    Driver,
    Judges,
    Rebuilt,
    crop_of,
    drive,
    read_driver,
    rebuilt,
    yardsticks,
)  # fmt: skip
from benchmarks.portraits_kept import bound_to, keep, keep_strip, kept, kept_strip
from benchmarks.portraits_report import last_line, write_report
from benchmarks.portraits_sheets import write_sheets
from engines.ffhq_mobile import WEIGHTS
from engines.quiet import quiet_natives
from face.clip import load_clip, save_clip
from face.errors import BadMotion, BadPortrait, ModelUnavailable, PuppetError, WrongUse
from face.motion import Motion
from face.photo import SUFFIXES, read_photo
from methods.directions.puppet import open_directions
from methods.enrol import EnrolConfig, enrol
from methods.identity import INDEX, Identity, is_identity, read_identity
from methods.mesh.puppet import MeshPuppet
from methods.method import Opening, Puppet
from methods.portrait import open_portrait
from methods.subject import resolve
from realtime.machine import this_machine
from realtime.offline.render import refined, track_clip, tracked_clip_of
from training.encoder import portraits_kept_back

Item = TypeVar("Item")

CLIPS = "d0,d3,d6,d9,d11,d14,d18,d19"


@dataclass(frozen=True, slots=True)
class Setting:
    """What figures depend on beside pictures and weights."""

    seconds: float  # of a clip, from its start
    frames: int  # of these, evenly spread
    longest: int  # side of the photo that is driven
    engine: str
    second: bool


@dataclass(frozen=True, slots=True)
class Clip:
    """A driver, ready to drive."""

    motions: list[Motion]  # the whole clip's, against its own rest
    driver: Driver
    of: str


class Run:
    """One run of the benchmark: what is there is read, what is missing is made."""

    def __init__(self, options: argparse.Namespace, judges: Judges, console: Console) -> None:
        self.options, self.judges, self.console = options, judges, console
        self.out: Path = options.out
        self.identities: Path = options.identities or self.out / "identities"
        o = options
        self.setting = Setting(o.seconds, o.frames, o.longest, o.engine, o.second is not None)
        self.pairs = _pairs(options)
        self.refused: list[str] = []

    def findings(self) -> Findings:
        """Every step after the other; the report is written again after each method."""
        portraits = self.portraits()
        clips = self.clips([clip for name, clip in self.pairs if name in portraits])
        crops = [crop_of(read_identity(self.identities / name)) for name in portraits]
        found = Findings(
            portraits=[Portrait(name, each, self._facts(name)) for name, each in portraits.items()],
            drivers={name: clip.driver for name, clip in clips.items()},
            yardsticks=yardsticks(crops),
            pairs=[],
            refused=self.refused,
        )
        for method in METHODS:
            if method not in self.options.methods.split(","):
                continue
            self.drive(method, portraits, clips, found)
            write_report(self.out, found)
            write_sheets(self.out, found)
        return found

    def portraits(self) -> dict[str, Rebuilt]:
        """The enrolled portraits, judged; those that cannot be used are named in `refused`."""
        made: dict[str, Rebuilt] = {}
        with closing(Generator(self.options.engine)) as generator:
            for name, _ in self._told(self.pairs, "portraits"):
                try:
                    identity = self.identity(name, generator)
                except (BadPortrait, ModelUnavailable) as error:
                    self.refused.append(str(error))
                    continue
                judged = self.rebuilt(name, identity, generator)
                if judged is None:
                    self.refused.append(f"{name}: the tracker finds no face in its crop, or in its photo")
                    continue
                made[name] = judged
        if not made:
            raise BadPortrait(
                f"none of {len(self.pairs)} portraits can be used; the first: {self.refused[0]}"
            )
        return made

    def identity(self, name: str, generator: Generator) -> Identity:
        """The identity folder's, enrolled first where there is no valid one."""
        folder = self.identities / name
        if is_identity(folder) or not self.options.enrol:
            try:
                identity = read_identity(folder)
                generator.code(identity)  # or ModelUnavailable
                return identity
            except ModelUnavailable:
                if not self.options.enrol:
                    raise
        config = EnrolConfig(threads=self.options.threads)
        enrol(self._photo(name), folder, size=SIZE, config=config)
        torch.set_num_threads(1)
        return read_identity(folder)

    def rebuilt(self, name: str, identity: Identity, generator: Generator) -> Rebuilt | None:
        path, strip = self.out / "portraits" / f"{name}.npz", self._strip(name, "still")
        ours = sorted(WEIGHTS.glob("*.safetensors"))
        of = bound_to(self.setting, self.identities / name / INDEX, *ours)
        found = kept(path, Rebuilt, of)
        if found is not None and strip.is_file():
            return found
        photo = open_portrait(read_photo(self._photo(name)), name, longest=self.setting.longest).image
        pictures = generator.stages(identity)
        found = rebuilt(self.judges, identity, photo, pictures)
        if found is not None:
            empty = np.full((SIZE, SIZE, 3), 90, np.uint8)
            shown = [crop_of(identity), *reversed(pictures)]
            keep_strip(strip, [empty if picture is None else picture for picture in shown])
            keep(path, found, of)
        return found

    def clips(self, names: list[str]) -> dict[str, Clip]:
        """Drivers by name, each tracked once."""
        clips = {}
        paths = {path.stem: path for path in find_clips(self.options.driving)}
        for name in self._told(sorted(set(names)), "drivers"):
            motions = self.motions(paths[name])
            path, of = self.out / "driving" / f"{name}.npz", bound_to(self.setting, paths[name])
            driver = kept(path, Driver, of)
            if driver is None or not self._strip(name, "driver").is_file():
                driver, pictures = read_driver(
                    self.judges,
                    paths[name],
                    motions,
                    until_s=self.setting.seconds,
                    frames=self.setting.frames,
                )
                keep_strip(self._strip(name, "driver"), pictures)
                keep(path, driver, of)
            clips[name] = Clip(motions, driver, of)
        return clips

    def motions(self, path: Path) -> list[Motion]:
        """As `facepuppet render` tracks a clip, kept as its --motion keeps it."""
        file = self.out / "driving" / f"{path.stem}.motion.npz"
        if not file.is_file():
            file.parent.mkdir(parents=True, exist_ok=True)
            save_clip(file, track_clip(path).motions)
        try:
            return list(load_clip(file))
        except BadMotion:
            file.unlink()
            return self.motions(path)

    def drive(
        self, method: str, portraits: dict[str, Rebuilt], clips: dict[str, Clip], found: Findings
    ) -> None:
        """All pairs by one method, added to `found`."""
        for name, clip_name in self._told(self.pairs, method):
            if name not in portraits:
                continue
            sitter, clip = portraits[name], clips[clip_name]
            path, strip = self.out / "driven" / f"{name}.{method}.npz", self._strip(name, method)
            learned = method.startswith("directions")
            source = self.identities / name / INDEX if learned else self._photo(name)
            of = bound_to(method, clip.of, source)
            driven = kept(path, Driven, of)
            if driven is None or not strip.is_file():
                motions = clip.motions
                if method.endswith(ABSOLUTE):
                    motions = [replace(motion, neutral=None) for motion in motions]
                puppet = self.puppet(method, name, clip)
                try:
                    driven, pictures = drive(self.judges, puppet, motions, clip.driver, sitter)
                finally:
                    puppet.close()
                keep_strip(strip, [sitter.head_of(picture) for picture in pictures])
                keep(path, driven, of)
            still, driver = self._strip(name, "still"), self._strip(clip_name, "driver")
            shown = tuple(tuple(kept_strip(each)) for each in (still, driver, strip))
            found.pairs.append(Pair(name, clip_name, method, sitter, clip.driver, driven, *shown))

    def puppet(self, method: str, name: str, clip: Clip) -> Puppet:
        longest = self.setting.longest
        if method.startswith("directions"):
            opening = Opening(longest, engine=self.options.engine, threads=1)
            return open_directions(resolve(self.identities / name), opening)
        puppet = MeshPuppet(open_portrait(read_photo(self._photo(name)), name, longest=longest))
        if method != "mesh-refined":
            return puppet
        used = clip.motions[: int(clip.driver.chosen[-1]) + 1]
        return refined(puppet, tracked_clip_of(used))

    def _photo(self, name: str) -> Path:
        return next(path for path in _photos(self.options.portraits) if path.stem == name)

    def _facts(self, name: str) -> dict[str, float]:
        """What the enrolment said of itself."""
        index = json.loads((self.identities / name / INDEX).read_text(encoding="utf-8"))
        return {fact: float(value) for fact, value in index["generators"][-1]["facts"].items()}

    def _strip(self, name: str, what: str) -> Path:
        return self.out / "pictures" / f"{name}.{what}.jpg"

    def _told(self, items: Sequence[Item], what: str) -> Iterator[Item]:
        """One after the other: a bar on a terminal, a line each elsewhere."""
        terminal = self.console.is_terminal
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self.console, disable=not terminal) as progress:
            task = progress.add_task(what, total=len(items))
            for item in items:
                shown = " by ".join(item) if isinstance(item, tuple) else str(item)
                progress.update(task, description=f"{what}: {shown}")
                yield item
                progress.advance(task)
                if not terminal:
                    self.console.print(f"{what}: {shown}", soft_wrap=True, highlight=False)


def _photos(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("*")) if path.suffix.lower() in SUFFIXES]


def pairs_of(names: Sequence[str], clips: Sequence[str], *, seed: int, count: int) -> list[tuple[str, str]]:
    """Which clip drives which of the portraits kept back, in shuffled order: fewer pairs are the first of
    more.
    """
    back = portraits_kept_back(list(names))
    order = np.random.default_rng(seed).permutation(len(back))[:count]
    return [(Path(back[index]).stem, clips[place % len(clips)]) for place, index in enumerate(order)]


def _pairs(options: argparse.Namespace) -> list[tuple[str, str]]:
    """Raises WrongUse for a folder, a clip or a portrait that is not there."""
    names = [path.name for path in _photos(options.portraits)]
    if not names:
        raise WrongUse(f"{options.portraits} holds no picture, expected portraits; name a folder that does")
    clips = options.clips.split(",")
    missing = set(clips) - {path.stem for path in find_clips(options.driving)}
    if missing:
        raise WrongUse(f"no clip in {options.driving} is called {', '.join(sorted(missing))}; see --clips")
    only = options.only.split(",") if options.only else []
    pairs = pairs_of(names, clips, seed=options.seed, count=len(names) if only else options.count)
    strange = set(only) - {name for name, _ in pairs}
    if strange:
        raise WrongUse(f"{', '.join(sorted(strange))} was not kept out of training; see --only")
    return [pair for pair in pairs if not only or pair[0] in only]


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.portraits",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--portraits", type=Path, required=True, help="the folder that training kept them of")
    parser.add_argument("--driving", type=Path, required=True, help="folder of clips, searched below too")
    parser.add_argument("--second", type=Path, help="fr_feature.onnx; without it CSIM is left out")
    parser.add_argument("--out", type=Path, default=Path("out/portraits"))
    parser.add_argument("--identities", type=Path, help="identity folders by portrait; OUT/identities")
    parser.add_argument(
        "--enrol", action=argparse.BooleanOptionalAction, default=True, help="enrol who has no valid folder"
    )
    parser.add_argument("--count", type=int, default=40, help="how many portraits")
    parser.add_argument("--only", default="", help="only these portraits, without suffix, by commas")
    parser.add_argument("--clips", default=CLIPS, help="by name without suffix, by commas")
    parser.add_argument("--methods", default=",".join(METHODS), help="by commas")
    parser.add_argument("--seconds", type=float, default=12.0, help="of each clip, from its start")
    parser.add_argument("--frames", type=int, default=60, help="measured of these, evenly spread")
    parser.add_argument("--longest", type=int, default=512, help="longer side of the portrait, pixels")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--threads", type=int, default=1, help="of an enrolment")
    parser.add_argument("--seed", type=int, default=0, help="of which clip drives whom")
    return parser


def main() -> int:
    """Exit status 0, or 1 and 2 as the error says."""
    options = _arguments().parse_args()
    torch.set_num_threads(1)
    try:
        strange = set(options.methods.split(",")) - set(METHODS)
        if strange:
            raise WrongUse(f"method {min(strange)!r} is not known, expected some of: {', '.join(METHODS)}")
        with quiet_natives(), Judges(options.second) as judges:
            found = Run(options, judges, Console(file=sys.stderr)).findings()
            text = write_report(options.out, found)
    except PuppetError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    print(text)
    print(json.dumps(last_line(found) | {"seed": options.seed, "machine": asdict(this_machine())}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
