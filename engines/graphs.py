# SPDX-License-Identifier: MIT
"""Names of the graphs that a frame is made by, and of their inputs and outputs.

    encoder          image (N, 3, 256, 256) in [-1, 1]      w (N, rows, w_dim): the portrait's code, once
    mover            identity (1, rows, w_dim) and what     w, styles or feature, as the generator reads them
                     its method reads of the driver
    generator_live   w (1, rows, w_dim)                     image (1, H, W, 3) uint8 RGB
                     styles (1, channels)                   alpha (1, H, W) uint8, 255 = person
                     feature (1, channels, S, S)

`styles` are offsets in StyleSpace, added to what the generator's affines make of w; `feature` is an offset of
one feature map. A generator reads these two, and makes `alpha`, only where its graph declares them; so far
none has `feature` or `alpha`. A mover has `identity`, the portrait's code, where it moves that. Whatever is
not uint8 is float32: engines compute graphs of pictures alone in lower precision.
"""

GENERATOR = "generator_live"
MOVER = "mover"  # a second method's in one folder: mover_<method>
MAPPING = "mapping"  # z (N, z_dim), psi () -> w (N, rows, w_dim)
ENCODER = "encoder"

IDENTITY, W, STYLES, FEATURE = "identity", "w", "styles", "feature"
IMAGE, ALPHA = "image", "alpha"

# Other forms of a graph, by what follows its role.
HALF = "-fp16"  # half precision, for GPUs
INT8 = "-int8"
CPU = "-cpu"  # fewer multiplications, where export found that to pay
