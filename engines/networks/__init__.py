# SPDX-License-Identifier: MIT
"""Torch modules of the networks. Know no file and no runtime."""
