# SPDX-License-Identifier: MIT
"""One file a command, and the options they share."""
