# SPDX-License-Identifier: MIT
"""What a picture is worth: shapes of a face, whose face it is, the papers' distances. No torch at import."""
