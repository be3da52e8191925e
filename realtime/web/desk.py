# SPDX-License-Identifier: MIT
"""What the server's handlers share: the session, the picture, the camera, who waits. Knows no address."""

import asyncio
import math
from typing import Any

from starlette.websockets import WebSocket

from face.errors import WrongUse
from realtime.control import SessionLike, Value, obey
from realtime.web.camera import BrowserSource
from realtime.web.picture import WebSink
from realtime.web.portraits import Shelf, key_of
from realtime.web.switch import SourceSwitch


class Desk:
    """What the handlers share. Lives in the server's event loop; only `wake_all` comes from other threads."""

    def __init__(
        self,
        session: SessionLike,
        picture: WebSink,
        camera: BrowserSource | None,
        sources: SourceSwitch | None,
        shelf: Shelf,
        *,
        picture_path: str,
    ) -> None:
        self.session = session
        self.picture = picture
        self.camera = camera
        self.sources = sources
        self.shelf = shelf
        self.picture_path = picture_path  # with its own token, for other programs
        self.closing = False
        self.pulses: set[asyncio.Event] = set()
        self.camera_owner: WebSocket | None = None

    def close(self) -> None:
        """Let every waiting handler go; in the event loop."""
        self.closing = True
        for pulse in self.pulses:
            pulse.set()

    def state(self) -> dict[str, Any]:
        """What the page shows, as JSON can carry it."""
        state = self.session.state()
        said = self.sources.message if self.sources else (0, "")
        return {
            "fps": _finite(state.fps),
            "latency_p50_ms": _finite(state.latency_p50_ms),
            "latency_p95_ms": _finite(state.latency_p95_ms),
            "delivered": state.delivered,
            "dropped": state.dropped,
            "face_found": state.face_found,
            "portraits": [{"name": path.stem, "key": key_of(path)} for path in state.portraits],
            "portrait": state.portrait,
            "enrolling": state.enrolling,
            "method": state.method,
            "methods": list(state.methods),
            "gains": dict(state.gains),
            "smoothing": state.smoothing,
            "zoom": state.zoom,
            "modes": dict(state.modes),
            "message": {
                "number": state.message_number,
                "text": state.message,
                "problem": state.message_problem,
            },
            "slow": state.slow,
            "source": self.sources.chosen if self.sources else "",
            "sources": list(self.sources.names) if self.sources else [],
            "source_message": {"number": said[0], "text": said[1]},
            "camera": self.camera is not None,
            "camera_taken": self.camera_owner is not None,
            "camera_fps": self.camera.fps if self.camera else 0.0,
            "picture_path": self.picture_path,
            "viewers": self.picture.watchers,
            "upload_limit": self.shelf.largest_upload,
        }

    def obey(self, name: str, value: Value) -> None:
        """One command of the page; in a worker thread."""
        if name == "source":
            if self.sources is None or not isinstance(value, str):
                raise WrongUse(f"source {value!r} cannot be chosen: this session has one source only")
            self.sources.choose(value)
        else:
            obey(self.session, name, value)


def _finite(value: float) -> float | None:
    """JSON knows no nan."""
    return round(value, 2) if math.isfinite(value) else None
