# SPDX-License-Identifier: MIT
"""Work without a camera: rendering clips, benchmarks, the demo."""
