# SPDX-License-Identifier: MIT
"""Weights in, artefacts out: importers, ONNX graphs, verification. Knows no camera and no training."""
