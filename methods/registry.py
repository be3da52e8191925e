# SPDX-License-Identifier: MIT
"""Which methods there are: one line each, imported when asked for."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from face.errors import WrongUse
from methods.method import Method, Opening, Puppet

if TYPE_CHECKING:
    from methods.subject import Subject

METHODS: dict[str, str] = {  # name: the package whose METHOD is the record
    "mesh": "methods.mesh",
    "directions": "methods.directions",
}
PLANNED = ("landmarks", "motion", "stylespace", "headgan")


def find_method(name: str) -> Method:
    """The record of a method; WrongUse for a name that nobody has."""
    if name in PLANNED and name not in METHODS:
        raise WrongUse(f"method {name} is not there yet, expected one of {', '.join(METHODS)}; choose one")
    if name not in METHODS:
        raise WrongUse(f"method {name!r} is not known, expected one of {', '.join(METHODS)}; choose one")
    method = import_module(METHODS[name]).METHOD
    assert isinstance(method, Method)
    return method


def check_method(name: str, *, engine: str = "auto", model: Path | None = None) -> Method:
    """As `find_method`; WrongUse also for an engine or model given to a method that runs no network."""
    method = find_method(name)
    if not method.networks and (engine != "auto" or model is not None):
        flag = "--engine" if engine != "auto" else "--model"
        raise WrongUse(f"{flag} was given, but method {name} runs no network; leave it out")
    return method


def open_puppet(name: str, subject: "Subject", opening: Opening | None = None) -> Puppet:
    """A puppet of `subject` by a method's name; see Method.open for what it raises."""
    return find_method(name).open(subject, opening or Opening())
