# SPDX-License-Identifier: MIT
"""An engine that is replaced while it runs: the next is built behind it. Knows no runtime and no cache."""

import logging
import threading
from collections.abc import Callable
from typing import Self

from engines.base import Array, Engine
from engines.cache import Progress
from face.errors import EngineUnavailable, PuppetError

logger = logging.getLogger(__name__)

STOP_S = 30.0  # a builder asked to stop answers at its next step


class SwapEngine:
    """Runs on `current` until `build` has made the next one, then on that; takes over and closes both.

    `build` runs in a thread of its own and returns an engine that is open and warm. The change happens
    between two calls of `run`. When the build fails, `error` says why, the log has it, `current` goes on.
    """

    def __init__(
        self, current: Engine, build: Callable[[Progress], Engine], *, on_progress: Progress
    ) -> None:
        self._current = current
        self._build, self._on_progress = build, on_progress
        self._next: Engine | None = None
        self._stopped = threading.Event()
        self.error: Exception | None = None
        self.inputs, self.outputs, self.provenance = current.inputs, current.outputs, current.provenance
        self._thread = threading.Thread(target=self._work, name="engine build", daemon=True)
        self._thread.start()

    @property
    def building(self) -> bool:
        return self._thread.is_alive()

    def run(self, **arrays: Array) -> dict[str, Array]:
        if self._next is not None:
            self._swap()
        return self._current.run(**arrays)

    def close(self) -> None:
        """Stop the build and close what is open."""
        self._stopped.set()
        self._thread.join(STOP_S)
        if self._next is not None:
            self._next.close()
            self._next = None
        self._current.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _swap(self) -> None:
        fresh, before = self._next, self._current
        assert fresh is not None
        self._next, self._current = None, fresh
        self.provenance = fresh.provenance
        before.close()
        logger.info("now on %s (%s)", fresh.provenance.runtime, fresh.provenance.device)

    def _work(self) -> None:
        try:
            fresh = self._build(self._told)
            if (fresh.inputs, fresh.outputs) != (self.inputs, self.outputs):
                fresh.close()
                raise EngineUnavailable(
                    f"{fresh.provenance.artefact.name} has other inputs or outputs than what ran before; "
                    "export the model again"
                )
        except PuppetError as error:
            self._failed(error)
        except Exception as error:  # of a runtime: the picture must go on, and the log tells all of it
            logger.debug("engine build", exc_info=True)
            self._failed(error)
        else:
            self._next = fresh
            if self._stopped.is_set():  # nobody waited so long
                fresh.close()

    def _failed(self, error: Exception) -> None:
        if not self._stopped.is_set():
            self.error = error
            logger.warning("engine stays %s: %s", self.provenance.runtime, error)

    def _told(self, phase: str, share: float) -> bool:
        """Pass progress on; False once the build is not wanted any more."""
        return self._on_progress(phase, share) and not self._stopped.is_set()
