# SPDX-License-Identifier: MIT
"""Makes what ships as data: face model, weights, tables, cards. Knows no camera."""
