# SPDX-License-Identifier: MIT
"""What a generator makes of an enrolled portrait at rest, stage by stage. Knows no driver and no judge."""

import numpy as np
from numpy.typing import NDArray

from benchmarks.portraits_judges import crop_of
from engines import Engine, open_engine
from engines.graphs import IMAGE, W
from export.ffhq_model import load_parts, whole_encoder
from face.arrays import Image
from face.direction_parameters import NAMES
from methods.enrol import encoded
from methods.identity import Code, Identity
from methods.making import ffhq_model
from methods.method import Opening
from methods.model import open_model

SIZE = 256  # of the generated crop


class Generator:
    """The model's own generator, which enrolment tunes for each portrait. Whoever opens closes."""

    def __init__(self, engine: str) -> None:
        self._model = open_model(ffhq_model(SIZE, Opening()), method="directions", names=NAMES)
        self._backend = engine
        self._encoder = whole_encoder(load_parts(SIZE).encoder)
        self._engine = open_engine(self._model.generator, backend=engine, threads=1)

    def code(self, identity: Identity) -> Code:
        """ModelUnavailable for an identity of another model."""
        return identity.code(self._model.key, self._model.size, self._model.name)

    def stages(self, identity: Identity) -> list[Image | None]:
        """The encoder's guess, the refined code, both in the model's own generator, and the code in the tuned
        one; None for what does not exist.
        """
        code = self.code(identity)
        guess = encoded(self._encoder, crop_of(identity))[0].numpy()
        pictures: list[Image | None] = [_still(self._engine, guess), _still(self._engine, code.w), None]
        if code.graph is not None:
            with open_engine(code.graph, backend=self._backend, threads=1) as engine:
                pictures[2] = _still(engine, code.w)
        return pictures

    def close(self) -> None:
        self._engine.close()


def _still(engine: Engine, w: NDArray[np.float32]) -> Image:
    return np.asarray(engine.run(**{W: np.ascontiguousarray(w[None], np.float32)})[IMAGE][0], np.uint8)
