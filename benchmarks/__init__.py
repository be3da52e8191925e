# SPDX-License-Identifier: MIT
"""Measurements of the whole line, each a command (python -m benchmarks.NAME). Only tests know them."""
