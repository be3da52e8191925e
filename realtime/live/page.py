# SPDX-License-Identifier: MIT
"""The page's half of a live line. Imported where a page was asked for: its server takes a moment to load."""

from collections.abc import Callable

from realtime.frame import Source
from realtime.live.session import Session
from realtime.options import Driver, Page
from realtime.web.camera import BrowserSource
from realtime.web.picture import WebSink
from realtime.web.server import WebServer
from realtime.web.switch import SourceSwitch

BROWSER = "browser"  # the camera of whoever looks at the page


class PageLine:
    """The page's half of a line: its picture, its camera, and the source it may choose instead."""

    def __init__(self, driver: Driver, open_driver: Callable[[Driver], Source]) -> None:
        self._browser = BrowserSource(size=driver.camera_size)
        openers: dict[str, Callable[[], Source]] = {BROWSER: lambda: self._browser}
        if driver.camera != BROWSER:
            openers[driver.camera] = lambda: open_driver(driver)
            with open_driver(driver):  # a wrong name is an error here, not a line on the page
                pass
        self.sink = WebSink()
        self.source = SourceSwitch(openers, chosen=driver.camera)

    def serve(self, session: Session, page: Page) -> WebServer:
        return WebServer(
            session,
            self.sink,
            camera=self._browser,
            sources=self.source,
            host=page.host,
            port=page.port,
            allow_remote=page.allow_remote,
        )
