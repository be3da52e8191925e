# SPDX-License-Identifier: MIT
"""Imports MediaPipe without what it loads for plots and microphones, which nobody here asks it for.

That is more than half of the processor time a live run needs until its first picture.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

UNUSED = ("matplotlib", "matplotlib.pyplot", "sounddevice")


@contextmanager
def without_unused() -> Iterator[None]:
    """Within it, who imports one of UNUSED gets an empty module; after it, whoever wants it the real one."""
    absent = [name for name in UNUSED if name not in sys.modules]
    sys.modules.update({name: ModuleType(name) for name in absent})
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]
