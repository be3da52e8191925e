# SPDX-License-Identifier: MIT
"""The control page: a picture, statistics and switches in a browser. Knows no tracker and no puppet."""
