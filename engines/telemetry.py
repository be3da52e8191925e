# SPDX-License-Identifier: MIT
"""Keeps the libraries that run networks from identifying this computer and from reporting to their makers."""

import os
import sys

CLOSED_PORT = "http://127.0.0.1:9"  # nothing answers there
OURSELVES = ("127.0.0.1", "localhost", "::1")


def switch_off() -> None:
    """Before any of these libraries is loaded: no report leaves the computer, no identifier is written.

    onnxruntime has a switch. openvino reports through a package of its own and does without where that cannot
    be imported. MediaPipe has no switch: its uploads over HTTPS are sent to a proxy that is not there.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    os.environ["https_proxy"] = CLOSED_PORT
    past = os.environ.get("no_proxy", os.environ.get("NO_PROXY", ""))
    os.environ["no_proxy"] = ",".join([*filter(None, [past]), *OURSELVES])  # our own page is no upload
