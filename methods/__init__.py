# SPDX-License-Identifier: MIT
"""What moves a portrait: one folder a method, and what they share."""
