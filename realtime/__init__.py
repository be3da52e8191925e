# SPDX-License-Identifier: MIT
"""Frames and time: sources, tracker, puppets, pipeline, sinks, web page, command line. Never imports
torch.
"""
