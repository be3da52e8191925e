# SPDX-License-Identifier: MIT
"""One importer a file origin: foreign keys to ours, total and strict. Knows no graph and no runtime."""
