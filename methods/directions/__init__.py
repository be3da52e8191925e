# SPDX-License-Identifier: MIT
"""The method `directions`: a portrait's latent code shifted by a matrix times the driver's parameters."""

from typing import TYPE_CHECKING

from methods.method import Method, Opening, Puppet

if TYPE_CHECKING:
    from methods.subject import Subject


def _open(subject: "Subject", opening: Opening) -> Puppet:
    from methods.directions.puppet import open_directions

    return open_directions(subject, opening)


METHOD = Method(
    name="directions",
    summary="a generator draws the face; needs the extra [ffhq], enrols a photo once",
    paper="Bounareli et al., One-Shot Neural Face Reenactment via Finding Directions in GAN's Latent Space",
    licence="of the model folder; the generator of [ffhq] is for research and evaluation only",
    reads="15 numbers of pose and expression",
    networks=True,
    generates=True,
    open=_open,
)
