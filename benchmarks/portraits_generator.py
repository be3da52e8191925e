# SPDX-License-Identifier: MIT
"""What a generator makes of an enrolled portrait at rest, stage by stage. Knows no driver and no judge."""

import numpy as np
from numpy.typing import NDArray

from benchmarks.portraits_judges import crop_of
from engines import Engine, open_engine
from export.ffhq_model import load_parts
from face.arrays import Image
from face.direction_parameters import NAMES
from methods.enrol import encoded
from methods.identity import Identity, check_model
from methods.making import ffhq_model
from methods.method import Opening
from methods.model import open_model
from training.judges import open_embedding

SIZE = 256  # of the generated crop


class Generator:
    """The model's own live graph, which enrolment tunes for each portrait. Whoever opens closes."""

    def __init__(self, engine: str) -> None:
        self._model = open_model(ffhq_model(SIZE, Opening(tell=print)), method="directions", names=NAMES)
        self._backend = engine
        self._parts = load_parts(SIZE)
        if self._parts.encoder is not None:
            self._parts.encoder.attach(open_embedding())
        self._engine = open_engine(self._model.graph, backend=engine, threads=1)

    def check(self, identity: Identity) -> None:
        """ModelUnavailable for an identity of another model."""
        check_model(identity, self._model.key, self._model.name, NAMES)

    def stages(self, identity: Identity) -> list[Image | None]:
        """The encoder's guess, the refined code, both in the model's own generator, and the code in the tuned
        one; None for what does not exist.
        """
        pictures: list[Image | None] = [None, _still(self._engine, identity.w_plus), None]
        if self._parts.encoder is not None:
            mean = self._parts.w_mean.expand(1, self._model.rows, -1)
            code = encoded(self._parts.encoder, crop_of(identity), mean)[0].numpy()
            pictures[0] = _still(self._engine, code)
        if identity.live is not None:
            graph = identity.live.with_suffix("")
            with open_engine(graph, backend=self._backend, threads=1) as engine:
                pictures[2] = _still(engine, identity.w_plus)
        return pictures

    def close(self) -> None:
        self._engine.close()


def _still(engine: Engine, code: NDArray[np.float32]) -> Image:
    delta = np.zeros((1, len(NAMES)), np.float32)
    drawn = engine.run(identity=np.ascontiguousarray(code[None], np.float32), delta=delta)
    return np.asarray(drawn["image"][0], np.uint8)
