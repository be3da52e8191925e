# SPDX-License-Identifier: MIT
"""The fixtures of this folder: a real web server on a free port. Knows no browser."""

from collections.abc import Iterator

import pytest
from web_stage import ScriptedSession, Stage, serve


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One started server for a whole file: starting and stopping takes a third of a second."""
    with serve(uploads=tmp_path_factory.mktemp("uploads")) as served:
        yield served


@pytest.fixture
def stage(running: Stage) -> Stage:
    """The file's server before a session that was told nothing yet."""
    fresh = ScriptedSession()
    running.session.__dict__.update(fresh.__dict__)
    return running
