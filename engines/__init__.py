# SPDX-License-Identifier: MIT
"""Networks, and what runs them, behind open_engine(). Knows no camera and no file of another project."""

from engines import telemetry
from engines.base import Engine, Provenance, TensorSpec
from engines.registry import BACKENDS, check_backend, open_engine

telemetry.switch_off()  # here, as no library that reports is loaded but by a module below

__all__ = ["BACKENDS", "Engine", "Provenance", "TensorSpec", "check_backend", "open_engine"]
