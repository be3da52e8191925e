# SPDX-License-Identifier: MIT
"""Where frames come from: camera, video file, image folder, test card. Knows no tracker."""
