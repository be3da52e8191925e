# SPDX-License-Identifier: MIT
"""A live session: portraits on show, keys and page commands, opening and closing."""
