# SPDX-License-Identifier: MIT
"""A face as numbers: landmarks, pose, alignment, 3D face model, mesh warp. Knows no network and no camera."""
