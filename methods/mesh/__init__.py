# SPDX-License-Identifier: MIT
"""The method `mesh`: the portrait's own tracked 3D mesh, posed and deformed by the driver; no training."""

from typing import TYPE_CHECKING

from methods.method import Method, Opening, Puppet

if TYPE_CHECKING:
    from methods.subject import Subject


def _open(subject: "Subject", opening: Opening) -> Puppet:
    from methods.mesh.puppet import open_mesh

    return open_mesh(subject, opening)


METHOD = Method(
    name="mesh",
    summary="its own 3D mesh, any photo at once",
    paper="",
    licence="MIT; MediaPipe's models are Apache-2.0",
    reads="landmarks of driver and neutral, translation, scale, gaze",
    networks=False,
    generates=False,
    open=_open,
)
