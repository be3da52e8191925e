# SPDX-License-Identifier: MIT
"""A run that was interrupted anywhere ends as one that was not, and holds to its plan."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")

from face.errors import WrongUse  # noqa: E402
from training import loop  # noqa: E402
from training.loop import Run  # noqa: E402


@dataclass(frozen=True)
class Plan:
    steps: int = 10
    seed: int = 0
    sizes: tuple[int, ...] = (3, 2)


Interrupt = Callable[[int], None]


def run(folder: Path, plan: Plan = Plan(), interrupt: Interrupt = lambda index: None) -> Any:
    """A weight drawn to drawn targets by Adam; the weight."""
    weight = torch.nn.Linear(plan.sizes[0], plan.sizes[1], bias=False)
    torch.nn.init.zeros_(weight.weight)
    adam = torch.optim.Adam(weight.parameters(), lr=0.1)

    def step(index: int) -> dict[str, Any]:
        target = torch.randn(weight.weight.shape, generator=torch.Generator().manual_seed(index))
        loss = (weight.weight - target).square().sum()
        adam.zero_grad()
        loss.backward()
        interrupt(index)
        adam.step()
        return {"loss": loss}

    kept = {"weight": weight, "adam": adam}
    Run(plan, folder).train(
        step, kept, title="test", every=4, measure=lambda: {"size": weight.weight.norm().item()}
    )
    return weight.weight.detach()


def lines(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def stops_at(index: int) -> Interrupt:
    def interrupt(now: int) -> None:
        if now == index:
            raise KeyboardInterrupt

    return interrupt


@pytest.mark.parametrize("index", [0, 3, 4, 7, 9])
def test_an_interrupted_run_goes_on_and_ends_as_a_whole_one(tmp_path: Path, index: int) -> None:
    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", interrupt=stops_at(index))
    assert (tmp_path / "cut" / "checkpoint.pt").is_file() == (index >= 4)
    began: list[int] = []
    assert torch.equal(run(tmp_path / "cut", interrupt=began.append), whole)
    assert began == list(range(index // 4 * 4, 10)), "it goes on from the last checkpoint"
    assert lines(tmp_path / "cut") == lines(tmp_path / "whole")


def test_interrupted_while_it_is_written_a_checkpoint_stays_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(tmp_path / "whole")
    save = torch.save

    def half(state: dict[str, Any], path: Path) -> None:
        save(state, path)
        if state["step"] == 8:
            path.write_bytes(path.read_bytes()[:100])
            raise KeyboardInterrupt

    monkeypatch.setattr(loop.torch, "save", half)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut")
    monkeypatch.setattr(loop.torch, "save", save)
    began: list[int] = []
    assert torch.equal(run(tmp_path / "cut", interrupt=began.append), whole)
    assert began[0] == 4


def test_a_line_a_step_with_what_was_measured_at_checkpoints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path)
    logged = lines(tmp_path)
    assert [line["step"] for line in logged] == list(range(10))
    assert all("loss" in line for line in logged)
    assert [line["step"] for line in logged if "size" in line] == [3, 7, 9]
    assert f"step 8 of 10: size {logged[7]['size']:.4g}" in capsys.readouterr().out


def test_a_finished_run_does_no_step_more(tmp_path: Path) -> None:
    whole = run(tmp_path)
    assert torch.equal(run(tmp_path, interrupt=stops_at(9)), whole)


@pytest.mark.parametrize("index", [2, 9])
def test_another_plan_is_refused_in_one_line_that_names_the_difference(tmp_path: Path, index: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, interrupt=stops_at(index))
    with pytest.raises(WrongUse, match=r"another plan \(steps 10, not 20\); take another folder$"):
        run(tmp_path, replace(Plan(), steps=20))
    run(tmp_path)


def test_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    Run(Plan(), tmp_path)
    torch.save({"step": 4, "kept": Hostile()}, tmp_path / "checkpoint.pt")
    with pytest.raises(Exception, match="(?i)weights.only"):
        run(tmp_path)
    assert not (tmp_path / "ran").exists()
