# SPDX-License-Identifier: MIT
"""constraints.txt pins every library that pyproject.toml asks for, at a version that it allows."""

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
requirements = pytest.importorskip("packaging.requirements")
utils = pytest.importorskip("packaging.utils")


def asked() -> list[str]:
    """Every requirement, those of the extras too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [
        *project["dependencies"],
        *(line for lines in project["optional-dependencies"].values() for line in lines),
    ]


@pytest.mark.parametrize("line", sorted(set(asked())))
def test_constraints_pin_what_is_asked_for(line: str) -> None:
    pins = dict(
        pin.split("==")
        for pin in (ROOT / "constraints.txt").read_text().splitlines()
        if not pin.startswith("#")
    )
    pinned = {utils.canonicalize_name(name): version for name, version in pins.items()}
    requirement = requirements.Requirement(line)
    name = utils.canonicalize_name(requirement.name)
    if name == "setuptools":
        pytest.skip("pip brings its own to build with")
    assert requirement.specifier.contains(pinned[name]), f"found {pinned[name]}, expected {line}"
