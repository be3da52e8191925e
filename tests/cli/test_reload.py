# SPDX-License-Identifier: MIT
"""Looking into the folders again lets go of every puppet that is not on show, and of none that is."""

import threading
from pathlib import Path

import pytest
from cli_stage import Card, Stage

from face.frame import Frame
from face.motion import Motion
from realtime.live.portraits import ON_SHOW

RELOADS = 12


class CountedCard(Card):
    """A puppet that may not be asked for a picture once it is closed."""

    def __call__(self, motion: Motion, frame: Frame | None = None):  # noqa: ANN204
        assert not self.closed, "a puppet on show was closed"
        return super().__call__(motion, frame)


class Counting:
    """Opens a card for any portrait and keeps them all."""

    def __init__(self) -> None:
        self.cards: list[CountedCard] = []
        self.free = threading.Event()

    def __call__(self, method: str, path: Path) -> CountedCard:
        self.cards.append(CountedCard(10 + len(self.cards)))
        return self.cards[-1]

    @property
    def alive(self) -> int:
        return sum(not card.closed for card in self.cards)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("one", "two"):
        (tmp_path / f"{name}.png").touch()
    return tmp_path


def test_each_reload_lets_go_of_what_is_not_on_show(folder: Path) -> None:
    opener = Counting()
    with Stage(folder=folder, opener=opener) as stage:  # type: ignore[arg-type]
        for number in range(RELOADS):
            stage.session.reload_portraits()
            stage.session.select_portrait(number % 2)
            stage.wait_grey(10 + number + 1)
            assert opener.alive <= ON_SHOW + 1
        assert len(opener.cards) == RELOADS + 1
    assert opener.alive == 0


def test_what_is_on_show_stays_open_through_any_number_of_reloads(folder: Path) -> None:
    opener = Counting()
    with Stage(folder=folder, opener=opener) as stage:  # type: ignore[arg-type]
        for _ in range(RELOADS):
            stage.session.reload_portraits()
        seen = len(stage.meeting.greys)
        stage.wait(lambda: len(stage.meeting.greys) > seen + 3)
        assert stage.meeting.greys[-1] == 10 and not opener.cards[0].closed


def test_a_kept_puppet_on_its_way_back_is_not_closed_by_a_reload(folder: Path) -> None:
    for name in ("three", "four"):
        (folder / f"{name}.png").touch()
    opener = Counting()
    with Stage(folder=folder, opener=opener) as stage:  # type: ignore[arg-type]
        for index in (1, 2, 3):
            stage.session.select_portrait(index)
            stage.wait_grey(10 + index)
        show = stage.session._wardrobe._show

        def show_later(*arguments: object) -> None:
            stage.session.reload_portraits()
            show(*arguments)  # type: ignore[arg-type]

        stage.session._wardrobe._show = show_later  # type: ignore[method-assign]
        stage.session.select_portrait(0)
        stage.wait_grey(10)
