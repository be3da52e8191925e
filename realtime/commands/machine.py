# SPDX-License-Identifier: MIT
"""The commands about this machine: devices and doctor. Knows no session."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from realtime.console import last_line, show_table
from realtime.options import Plain

if TYPE_CHECKING:
    from realtime.doctor import Finding


def devices(options: Plain) -> int:
    """List cameras and virtual cameras, and what keeps one from working."""
    from realtime.doctor import devices as found

    _show(found(), options.this_run.json)
    return 0


def doctor(options: Plain) -> int:
    """Examine this machine: models, cameras, screen, GPUs, runtimes; name each problem's cure.

    Exit status 1 when something that should work does not; what is merely not installed is no fault.
    """
    from realtime.doctor import examine

    findings = examine()
    _show(findings, options.this_run.json)
    return 1 if any(finding.verdict == "wrong" for finding in findings) else 0


def _show(findings: Sequence["Finding"], json_line: bool) -> None:
    marks = {"ok": "ok", "missing": "--", "wrong": "WRONG"}
    rows = [
        (marks[f.verdict], f.subject, f.name, f"{f.detail}; {f.cure}" if f.cure else f.detail)
        for f in findings
    ]
    show_table(("", "subject", "what", "found; what to do"), rows, texts=True)
    if json_line:
        ok = not any(finding.verdict == "wrong" for finding in findings)
        last_line({"ok": ok, "findings": [asdict(finding) for finding in findings]})
