# SPDX-License-Identifier: MIT
"""The portraits at hand and their enrolment in the background. Knows no method: it is given an opener."""

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from face.errors import BadImage, BadPortrait, PuppetError, WrongUse
from methods.identity import is_identity
from methods.method import Puppet
from methods.subject import find_portraits

logger = logging.getLogger(__name__)

KEPT = 9  # enrolled puppets kept for an instant return
ON_SHOW = 2  # the newest: one that the line may still draw, and one on its way there

Opener = Callable[[str, Path], Puppet]  # method, portrait


class Wardrobe:
    """Enrols the portrait that was asked for last in one background thread and hands it to `wear`.

    `wear`, `say` and `complain` are called from that thread. An unusable portrait is one line to `complain`
    and changes nothing. All methods may be called from any thread and return at once.
    """

    def __init__(
        self,
        open_puppet: Opener,
        portraits: Sequence[Path],
        *,
        method: str,
        wear: Callable[[Puppet, Path], None],
        say: Callable[[str], None],
        complain: Callable[[str], None],
    ) -> None:
        self._open_puppet, self._wear, self._say, self._complain = open_puppet, wear, say, complain
        self._roots = tuple(portraits)
        self._portraits = list(find_portraits(portraits))
        self._method = method
        self._worn = -1
        self._refused: set[tuple[str, Path]] = set()
        self._kept: dict[tuple[str, Path], Puppet] = {}
        self._dropped: list[Puppet] = []
        self._wanted: tuple[str, Path] | None = None
        self._busy: Path | None = None
        self._closed = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._work, name="enrol", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Takes no more wishes; an enrolment under way ends by itself, what it made is dropped."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            dropped = [*self._dropped, *self._kept.values()]
            self._dropped, self._kept = [], {}
        for puppet in dropped:  # the line that asked them has ended
            puppet.close()

    @property
    def portraits(self) -> tuple[Path, ...]:
        with self._changed:
            return tuple(self._portraits)

    @property
    def worn(self) -> int:
        """Index of the portrait on show, -1 for none."""
        with self._changed:
            return self._worn

    @property
    def method(self) -> str:
        with self._changed:
            return self._method

    @property
    def enrolling(self) -> str:
        """Name of the portrait being prepared, "" for none."""
        with self._changed:
            wanted = self._wanted[1] if self._wanted else self._busy
            return wanted.name if wanted else ""

    def first(self) -> Puppet:
        """Enrol the first portrait here and now; its PuppetError is the caller's.

        In a folder, what is no usable portrait is passed over with a line in the log.
        """
        if not self._portraits:
            raise WrongUse("no portrait was given; name a photo of one face, or a folder of them")
        for index, path in enumerate(self._portraits):
            try:
                puppet = self._open_puppet(self._method, path)
            except PuppetError as error:
                its_own = isinstance(error, BadImage | BadPortrait) or is_identity(path)
                if not its_own or path in self._roots or index == len(self._portraits) - 1:
                    raise
                logger.warning("passed over: %s", error)
                self._refused.add((self._method, path))
            else:
                break
        with self._changed:
            self._keep((self._method, path), puppet)
            self._worn = index
        return puppet

    def select(self, index: int) -> None:
        """Show the portrait at this index, from 0; WrongUse when there are fewer."""
        with self._changed:
            count = len(self._portraits)
            if not 0 <= index < count:
                raise WrongUse(
                    f"portrait {index + 1} was asked for, there are {count}; add one, or press 1 to {count}"
                )
            self._ask(self._method, self._portraits[index])

    def step(self, by: int) -> None:
        """Show the next one (1) or the previous one (-1), around the ends; past those that were refused."""
        with self._changed:
            here = self._wanted[1] if self._wanted else self._busy
            index = self._portraits.index(here) if here in self._portraits else self._worn
            for _ in self._portraits:
                index = (index + by) % len(self._portraits)
                if (self._method, self._portraits[index]) not in self._refused:
                    break
            self._ask(self._method, self._portraits[index])

    def add(self, path: Path) -> None:
        """Show this file's portrait; it joins the list once it proved usable."""
        with self._changed:
            self._ask(self._method, path)

    def set_method(self, name: str) -> None:
        """Show the same portrait by another method; it changes once the portrait is enrolled for it."""
        with self._changed:
            if name != self._method and self._worn >= 0:
                self._ask(name, self._portraits[self._worn])

    def reload(self) -> None:
        """Look again into the folders that were given."""
        found = find_portraits(self._roots)
        with self._changed:
            worn = self._portraits[self._worn] if self._worn >= 0 else None
            added = [path for path in self._portraits if path not in found and path.exists()]
            self._portraits = [*found, *added]
            self._worn = self._portraits.index(worn) if worn in self._portraits else -1
            left = [*self._dropped, *self._kept.values()]
            left, self._dropped = left[:-ON_SHOW], left[-ON_SHOW:]
            self._refused.clear()
            self._kept.clear()
        for puppet in left:
            puppet.close()
        self._say(f"{len(found)} portraits")

    def _ask(self, method: str, path: Path) -> None:
        if not self._closed:
            self._wanted = (method, path)
            self._changed.notify_all()

    def _keep(self, key: tuple[str, Path], puppet: Puppet) -> None:
        self._kept.pop(key, None)
        self._kept[key] = puppet
        while len(self._kept) > KEPT:
            self._kept.pop(next(iter(self._kept))).close()  # never the one on show: that is the newest

    def _work(self) -> None:
        while True:
            with self._changed:
                self._busy = None
                while self._wanted is None and not self._closed:
                    self._changed.wait()
                if self._closed or self._wanted is None:
                    return
                wish, self._wanted = self._wanted, None
                self._busy = wish[1]
                puppet = self._kept.get(wish)
                if puppet is not None:
                    self._keep(wish, puppet)  # the newest now, so that nothing closes it on its way
            if puppet is None:
                puppet = self._enrol(*wish)
            if puppet is not None:
                self._show(wish, puppet)
            else:
                with self._changed:
                    self._refused.add(wish)

    def _enrol(self, method: str, path: Path) -> Puppet | None:
        try:
            return self._open_puppet(method, path)
        except PuppetError as error:
            named = path.name in str(error)
            self._complain(str(error) if named else f"{path.name}: {error}")
        except (Exception, SystemExit) as error:  # a stream in a meeting outlives a bug; the trace is logged
            logger.exception("enrolling %s failed", path)
            self._complain(f"{path.name} was not taken: {type(error).__name__}: {error}")
        return None

    def _show(self, wish: tuple[str, Path], puppet: Puppet) -> None:
        method, path = wish
        with self._changed:
            if self._closed:
                return
            self._keep(wish, puppet)
            self._refused.discard(wish)
            new = path not in self._portraits
            if new:
                self._portraits.append(path)
            self._worn, self._method = self._portraits.index(path), method
            number = self._worn + 1
        self._wear(puppet, path)
        if new:
            self._say(f"{path.name} was added as portrait {number}")
