# SPDX-License-Identifier: MIT
"""Makes what ships as data: tools that recipes share, recipes of the generator and of the face model."""
