# SPDX-License-Identifier: MIT
"""The error tree: everything a user can mend. Knows no package above it.

PuppetError
├── WrongUse            a flag, path or setting that cannot be meant         exit status 2
├── BadImage            a picture that cannot be read
├── BadPortrait         a readable picture that is no usable portrait
├── BadVideo            a video that cannot be read or holds nothing usable
├── BadMotion           a motion clip that cannot be read
├── CameraUnavailable   a camera that is not there, or is taken
├── SinkUnavailable     an output that cannot be opened or written
├── ModelUnavailable    a model or weights file that is missing or altered
├── EngineUnavailable   a runtime that was asked for and cannot be had
└── BadCheckpoint       a checkpoint that cannot be imported
"""


class PuppetError(Exception):
    """One line a user can act on: what was found, what was expected, what to do."""

    exit_status = 1


class WrongUse(PuppetError):
    exit_status = 2


class BadImage(PuppetError):
    pass


class BadPortrait(PuppetError):
    pass


class BadVideo(PuppetError):
    pass


class BadMotion(PuppetError):
    pass


class CameraUnavailable(PuppetError):
    pass


class SinkUnavailable(PuppetError):
    pass


class ModelUnavailable(PuppetError):
    pass


class EngineUnavailable(PuppetError):
    pass


class BadCheckpoint(PuppetError):
    pass
