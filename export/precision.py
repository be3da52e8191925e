# SPDX-License-Identifier: MIT
"""The precisions that live graphs are exported in. Knows no graph."""

PRECISIONS = ("fp32", "fp16", "int8")  # fp16: engines/networks/half.py; int8: export/quantise.py
