# SPDX-License-Identifier: MIT
"""The commands about this machine: devices and doctor. Knows no session."""

from collections.abc import Sequence
from dataclasses import asdict

from realtime.commands import options as opt
from realtime.console import last_line, log_to_stderr, show_table
from realtime.doctor import Finding, examine
from realtime.doctor import devices as list_devices


def devices(json_line: opt.JsonLine = False, log_level: opt.Logging = "warning") -> int:
    """List cameras and virtual cameras, and what keeps one from working."""
    log_to_stderr(log_level)
    _show(list_devices(), json_line)
    return 0


def doctor(json_line: opt.JsonLine = False, log_level: opt.Logging = "warning") -> int:
    """Examine this machine: models, cameras, screen, GPUs, runtimes; name each problem's cure.

    Exit status 1 when something that should work does not; what is merely not installed is no fault.
    """
    log_to_stderr(log_level)
    findings = examine()
    _show(findings, json_line)
    return 1 if any(finding.verdict == "wrong" for finding in findings) else 0


def _show(findings: Sequence[Finding], json_line: bool) -> None:
    marks = {"ok": "ok", "missing": "--", "wrong": "WRONG"}
    rows = [
        (marks[f.verdict], f.subject, f.name, f"{f.detail}; {f.cure}" if f.cure else f.detail)
        for f in findings
    ]
    show_table(("", "subject", "what", "found; what to do"), rows, texts=True)
    if json_line:
        ok = not any(finding.verdict == "wrong" for finding in findings)
        last_line({"ok": ok, "findings": [asdict(finding) for finding in findings]})
