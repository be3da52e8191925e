# SPDX-License-Identifier: MIT
"""Networks, and what runs them, behind open_engine(). Knows no camera and no file of another project."""
