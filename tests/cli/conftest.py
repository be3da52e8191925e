# SPDX-License-Identifier: MIT
"""What tests of the commands share: a short driver clip of real frames, and no settings of the user's."""

from pathlib import Path

import pytest

from realtime.offline.builtin import write_driver

CLIP_S = 0.8


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither settings nor neutrals of whoever runs the tests, and none left behind."""
    for variable in ("XDG_CONFIG_HOME", "APPDATA", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))


@pytest.fixture(scope="session")
def driver_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in driver, 640x480 at 30 fps, 0.8 s: a blink and the first words."""
    path = tmp_path_factory.mktemp("clips") / "driver.mp4"
    assert write_driver(path, seconds=CLIP_S) == 24
    return path
