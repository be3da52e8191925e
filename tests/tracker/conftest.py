# SPDX-License-Identifier: MIT
"""Pictures for the tests of the tracker: one that is always there, and the folder that may not be."""

from pathlib import Path

import numpy as np
import pytest

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def portrait() -> np.ndarray:
    """(300, 300, 3) head and shoulders of scikit-image's astronaut."""
    from skimage.data import astronaut

    return np.ascontiguousarray(astronaut()[:300, 70:370])


@pytest.fixture(scope="session")
def shared() -> Path:
    if not SHARED.is_dir():
        pytest.skip("the shared clips and stills are not beside this checkout")
    return SHARED
