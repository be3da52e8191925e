# SPDX-License-Identifier: MIT
"""The two kinds of array that travel everywhere."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]  # (H, W, 3) uint8 RGB, C-contiguous
