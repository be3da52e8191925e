# SPDX-License-Identifier: MIT
"""Opens the puppet of latent directions (Bounareli et al. 2024): our own model's, or one of StelaBou's."""

from engines.ffhq_mobile import NAME as FFHQ
from face.deca_parameters import is_deca, vox_crop
from face.direction_parameters import NAMES
from methods.directions.deca import WITHOUT_DECA, encoded, open_deca_numbers
from methods.directions.motion import OwnNumbers
from methods.identity import Identity
from methods.latent import LatentPuppet, enrolled_photo, generated, open_latent
from methods.making import DEFAULT_SIZE, ffhq_model
from methods.method import Opening
from methods.model import LiveModel, open_model
from methods.subject import Enrolled, Photo, Seed, Subject

METHOD = "directions"


def open_directions(subject: Subject, opening: Opening) -> LatentPuppet:
    """The puppet of an identity, of a photo, which is enrolled first, or of a generated face.

    A model that is moved by DECA's numbers is shown as its generator draws it.
    """
    if opening.model is None:
        model = open_model(ffhq_model(_size(subject), opening), method=METHOD, names=NAMES)
    else:
        model = open_model(opening.model, method=METHOD, names=NAMES, also=is_deca)
    if is_deca(model.parameters):
        return _open_deca(subject, model, opening)
    if isinstance(subject, Photo):
        identity = enrolled_photo(subject, model, opening)
    else:
        identity = _known(subject, model)
    return open_latent(identity, model, OwnNumbers(identity.motion), opening, frame=opening.frame)


def _open_deca(subject: Subject, model: LiveModel, opening: Opening) -> LatentPuppet:
    identity = encoded(subject, model) if isinstance(subject, Photo) else _known(subject, model)
    seen = (identity.portrait, identity.landmarks)
    if not isinstance(subject, Seed):  # a generated portrait is such a crop already
        seen = vox_crop(*seen)
    numbers = open_deca_numbers(model, identity.motion, *seen, engine=opening.engine, threads=opening.threads)
    follows = "head, jaw and expression follow the driver" if numbers.reads_frame else WITHOUT_DECA
    opening.tell(f"{model.name}: shown as its generator draws it; {follows}")
    return open_latent(identity, model, numbers, opening, frame="raw")


def _known(subject: Enrolled | Seed, model: LiveModel) -> Identity:
    """Of a subject that needs not be brought into the generator first."""
    return generated(subject, model) if isinstance(subject, Seed) else subject.identity


def _size(subject: Subject) -> int:
    """The size the subject was enrolled for last in the shipped generator."""
    codes = subject.identity.codes if isinstance(subject, Enrolled) else ()
    return next((code.size for code in reversed(codes) if code.model.startswith(FFHQ)), DEFAULT_SIZE)
