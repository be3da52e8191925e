# SPDX-License-Identifier: MIT
"""Where frames go: virtual camera, window, file, nothing. Knows no puppet."""
