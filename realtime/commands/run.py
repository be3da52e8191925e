# SPDX-License-Identifier: MIT
"""The commands that run live: run and web. Knows no device; what they need is opened in live/opening.py."""

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from realtime.console import ProgressBars, StatusLine, last_line, note, show_table, tell
from realtime.options import Driver, Live, Movement, Output

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from realtime.live.opening import Opened

RUN = Live()
WEB = Live(
    driver=Driver(camera="browser"), movement=Movement(mirror=True), output=Output(sinks=(), badge=True)
)


def run(options: Live) -> int:
    """Move a portrait live: camera in; virtual camera, window, page or file out.

    Ctrl-C ends a run with status 0.
    """
    from realtime.live.opening import open_live

    steps = ProgressBars()
    puppets = options.portrait.opening(tell, steps)
    return _perform(open_live(options, puppets), steps, options.this_run.json)


def web(options: Live) -> int:
    """Serve the control page: live picture, portraits, settings; the browser's own camera may drive.

    Open the address that is printed; it carries the key. Other sinks may be fed beside the page.
    """
    sinks = (*(name for name in options.output.sinks if name != "web"), "web")
    return run(replace(options, output=replace(options.output, sinks=sinks)))


def _perform(opening: "AbstractContextManager[Opened]", steps: ProgressBars, json_line: bool) -> int:
    """Run a session to its end, and say what it did; Ctrl-C is a way to end it."""
    from realtime.control import press
    from realtime.live.figures import STAGE_COLUMNS, line_values, stage_rows, status_line, summary
    from realtime.live.terminal import TerminalKeys

    live: Opened | None = None
    try:
        with ExitStack() as stack:
            with steps:  # a bar while the first portrait is opened; later ones are told on the status line
                live = stack.enter_context(opening)
            session = live.session
            if live.page:
                note(f"Control page: {live.page}")
                note(f"Bare picture, for a browser source in OBS: {live.picture}")
            with (
                TerminalKeys(lambda key: press(session, key)),
                StatusLine(lambda: status_line(session.state())),
            ):
                session.run()
    except KeyboardInterrupt:
        note("interrupted")
    finally:
        if live is not None:
            stats = live.session.stats()
            if stats.delivered:
                show_table(STAGE_COLUMNS, stage_rows(stats))
            note(summary(stats))
    if json_line:
        last_line(line_values(live.session.stats()) if live is not None else {"delivered": 0})
    return 0
