# SPDX-License-Identifier: MIT
"""What every method promises, over the registry: pictures of its size, the caller's own, the same again."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from face.face_model import face_model
from face.motion import BLENDSHAPE_INDEX, Motion
from face.motion_vector import ROTATION, SCORES, SHAPE, TURN, motion_of, resting_vector
from methods.method import Opening, Puppet
from methods.registry import METHODS, open_puppet
from methods.subject import resolve
from realtime.offline.builtin import portrait_path

LONGEST = 192


def mesh(folder: Path) -> Puppet:
    return open_puppet("mesh", resolve(portrait_path()), Opening(LONGEST))


def directions(folder: Path) -> Puppet:
    pytest.importorskip("torch", reason="torch makes the small model")
    pytest.importorskip("onnx", reason="onnx writes its graph")
    from small_latent import astronaut, write_model, write_small_identity

    model = write_model(folder / "model")
    identity = write_small_identity(folder / "identity", astronaut())
    # raw: in a random generator's noise no person is found who could be laid into the photo
    return open_puppet("directions", resolve(identity), Opening(LONGEST, model, "onnx", "raw"))


OPENERS: dict[str, Callable[[Path], Puppet]] = {"mesh": mesh, "directions": directions}


def driver(*, yaw: float = 0.0, jaw: float = 0.0) -> Motion:
    """The mean face, turned and talking: in its landmarks, its angles and its scores alike."""
    rest = motion_of(resting_vector(), (640, 480), captured_s=0.0)
    vector = resting_vector()
    vector[ROTATION.start] = vector[TURN.start] = yaw
    vector[SCORES.start + BLENDSHAPE_INDEX["jawOpen"]] = jaw
    vector[SHAPE] += face_model().expression({"jawOpen": jaw}).ravel()
    return motion_of(vector, (640, 480), captured_s=0.0, neutral=rest)


@pytest.fixture(scope="module", params=sorted(METHODS))
def puppet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Puppet:
    assert request.param in OPENERS, "a new method needs an opener here"
    return OPENERS[request.param](tmp_path_factory.mktemp(request.param))


def test_a_picture_is_rgb_of_the_size_that_was_told(puppet: Puppet) -> None:
    image = puppet(driver(yaw=5, jaw=0.2))
    assert image.shape == (puppet.size[1], puppet.size[0], 3) and image.dtype == np.uint8
    assert max(puppet.size) <= LONGEST and image.flags.c_contiguous


def test_a_picture_is_the_callers_own(puppet: Puppet) -> None:
    first = puppet(driver(yaw=5))
    kept = first.copy()
    first[:] = 0
    second = puppet(driver(yaw=-5))
    third = puppet(driver(yaw=5))
    assert not np.shares_memory(second, third)
    assert float(np.abs(third.astype(int) - kept).mean()) < 2, "writing into a picture changed a later one"


def test_the_driver_moves_it(puppet: Puppet) -> None:
    rest, turned, talking = puppet(driver()), puppet(driver(yaw=15)), puppet(driver(jaw=0.5))
    assert float(np.abs(turned.astype(int) - rest).mean()) > 0.3
    assert float(np.abs(talking.astype(int) - rest).mean()) > 0.05


def test_it_tells_what_the_line_asks_of_it(puppet: Puppet) -> None:
    assert puppet.rest.rotation.shape == (3,) and puppet.rest.blendshapes.shape == (52,)
    assert puppet.portrait.ndim == 3 and puppet.portrait.dtype == np.uint8
    assert puppet.reads_frame is False, "no method here reads the driver's picture"
