# SPDX-License-Identifier: MIT
"""Networks to ONNX files. Knows no checkpoint and no runtime.

The graphs and their contract (N is free):

    generator.onnx   w (N, num_ws, w_dim)                   image (N, 3, H, W), raw range
    mapping.onnx     z (N, z_dim), psi ()                   w (N, num_ws, w_dim)
    encoder.onnx     image (N, 3, 256, 256) in [-1, 1]      w (N, num_ws, w_dim)
    directions.onnx  delta (N, d)                           shift (N, rows, w_dim)
    motion.onnx      identity, motion (N, num_ws, w_dim)    w (N, num_ws, w_dim); by halves:
      motion_identity.onnx   identity                       base (N, num_ws, w_dim), once a portrait
      motion_live.onnx       base, motion                   w
    landmarks.onnx   difference (N, 3, 580, 580)            shift (N, rows, w_dim)
    mask.onnx        source, target (N, channels)           style (N, channels)
    offsets.onnx     alpha (N, controls)                    offset (N, channels)
    styles.onnx      w (N, num_ws, w_dim)                   style (N, channels)
    style_generator.onnx     style (N, channels)            image (N, 3, H, W), raw range
    tracker.onnx     image (N, 3, 224, 224) in [0, 1]       shape, texture, expression, pose, camera, light

Everything is float32. A conditional mapping network has a third input, label (N, label_dim); ReStyle's
encoder runs its whole loop in one call. The live graphs of a method, generator and mover, are those of
engines/graphs.py.
"""

from pathlib import Path

import onnx

from engines.networks.store import Network
from export.tape import record

ONE_FILE_BYTES = (
    1_900_000_000  # a protobuf message ends at 2 GiB; larger graphs keep their weights beside them
)


def save_graph(network: Network, path: Path, *, notes: dict[str, str] | None = None) -> None:
    """Write the graph of one network; `notes` (licence, provenance) travel in its metadata."""
    model = record(network.eval(), network.inputs, network.outputs, title=network.kind)
    onnx.helper.set_model_props(model, {"kind": network.kind, **(notes or {})})
    size = sum(len(constant.raw_data) for constant in model.graph.initializer)
    if size > ONE_FILE_BYTES:
        onnx.save_model(model, path, save_as_external_data=True, location=f"{path.name}.data")
    else:
        onnx.save_model(model, path)
