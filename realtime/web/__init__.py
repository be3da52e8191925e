# SPDX-License-Identifier: MIT
"""The control page: a picture, statistics and switches in a browser. Knows no tracker and no puppet."""

from importlib import import_module

_HOMES = {
    "BrowserSource": "camera",
    "SessionLike": "control",
    "SourceSwitch": "switch",
    "StateLike": "control",
    "WebServer": "server",
    "WebSink": "picture",
}

__all__ = ["BrowserSource", "SessionLike", "SourceSwitch", "StateLike", "WebServer", "WebSink"]  # noqa: F822


def __getattr__(name: str) -> object:
    """Loads a name's file when it is first asked for: the player without a page needs no web server."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__} has no {name}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
