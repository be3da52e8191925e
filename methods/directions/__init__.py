# SPDX-License-Identifier: MIT
"""See method.py."""
