# SPDX-License-Identifier: MIT
"""Frames to motions: the driver followed in camera pictures."""
