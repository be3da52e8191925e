# SPDX-License-Identifier: MIT
"""The loop of every recipe: steps, checkpoints, a log, and going on where a run was stopped.

A run's folder holds plan.json, checkpoint.pt and log.jsonl, one line a step. A step must follow from its
index and the plan alone (draw from `np.random.default_rng((seed, index))`): then an interrupted run that is
started again ends with the same weights and the same log as one that was not.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import Field, asdict
from pathlib import Path
from typing import Any, ClassVar, Protocol, TextIO

import torch
from rich.progress import Progress
from torch import Tensor

from face.errors import WrongUse
from training.shards import written_whole


class Plan(Protocol):
    """A frozen dataclass: all that decides what comes out of a run."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def steps(self) -> int: ...


class Kept(Protocol):
    """A module or an optimiser."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any: ...


class Run:
    """A run of a plan in a folder, which is made; WrongUse where it holds a run of another plan."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan, self.folder = plan, folder
        self._checkpoint, self._log = folder / "checkpoint.pt", folder / "log.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        path, wanted = folder / "plan.json", json.loads(json.dumps(asdict(plan)))
        if not path.is_file() and not self._checkpoint.is_file():
            with written_whole(path) as unfinished:
                unfinished.write_text(json.dumps(wanted, indent=1) + "\n", encoding="utf-8")
        found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        if found != wanted:
            others = [key for key in wanted | found if found.get(key) != wanted.get(key)]
            told = ", ".join(f"{key} {found.get(key)}, not {wanted.get(key)}" for key in others)
            raise WrongUse(f"{folder} holds a run of another plan ({told}); take another folder")

    def train(
        self,
        step: Callable[[int], Mapping[str, Tensor]],
        kept: Mapping[str, Kept],
        *,
        title: str,
        every: int,
        measure: Callable[[], Mapping[str, float]] | None = None,
    ) -> None:
        """All steps of the plan that are not done yet; `step` changes what is `kept` and returns its terms.

        A checkpoint is written after `every` steps and after the last; what `measure` finds then is shown and
        goes into the log beside the terms.
        """
        total, done = self.plan.steps, self._resume(kept)
        with Progress() as progress, self._log_from(done) as log:
            task = progress.add_task(title, total=total, completed=done)
            for index in range(done, total):
                numbers = {name: round(term.item(), 5) for name, term in step(index).items()}
                at_checkpoint = (index + 1) % every == 0 or index + 1 == total
                if measure is not None and at_checkpoint:
                    found = {name: round(value, 5) for name, value in measure().items()}
                    told = ", ".join(f"{name} {value:.4g}" for name, value in found.items())
                    progress.console.print(f"step {index + 1} of {total}: {told}")
                    numbers |= found
                log.write(json.dumps({"step": index} | numbers) + "\n")
                if at_checkpoint:
                    log.flush()
                    self._save(index + 1, kept)
                progress.advance(task)

    def _save(self, done: int, kept: Mapping[str, Kept]) -> None:
        states = {name: each.state_dict() for name, each in kept.items()}
        with written_whole(self._checkpoint) as unfinished:
            torch.save({"step": done, "kept": states}, unfinished)

    def _resume(self, kept: Mapping[str, Kept]) -> int:
        """Steps that are done: 0 without a checkpoint."""
        if not self._checkpoint.is_file():
            return 0
        saved = torch.load(self._checkpoint, weights_only=True, map_location="cpu")
        for name, each in kept.items():
            each.load_state_dict(saved["kept"][name])
        return int(saved["step"])

    def _log_from(self, done: int) -> TextIO:
        """The log without the lines of steps that are done again."""
        lines = self._log.read_text(encoding="utf-8").splitlines(True) if self._log.is_file() else []
        with written_whole(self._log) as unfinished:
            unfinished.write_text("".join(lines[:done]), encoding="utf-8")
        return self._log.open("a", encoding="utf-8")
