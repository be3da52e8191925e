# SPDX-License-Identifier: MIT
"""Facts about the machine and this process that figures are quoted with. Knows nothing of faces or frames."""

import importlib
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

MEBIBYTE = 2**20
CHECKOUT = Path(__file__).resolve().parent.parent
GIT_TIMEOUT_S = 5


@dataclass(frozen=True, slots=True)
class Machine:
    """What a benchmark ran on."""

    cpu: str
    cores: int  # this process may use
    memory_mib: int  # 0 where the system does not tell
    system: str
    python: str
    version: str  # of facepuppet
    commit: str  # of the checkout, "-dirty" when it has changes; "" outside one


def this_machine() -> Machine:
    return Machine(
        cpu=_cpu(),
        cores=cores(),
        memory_mib=_memory_mib(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        version=installed("facepuppet") or "not installed",
        commit=_commit(),
    )


def installed(distribution: str) -> str:
    """Version of an installed distribution, "" when it is not there."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def cores() -> int:
    """Processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def resident_mib() -> float:
    """Memory this process holds now; its peak where the system tells only that."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MEBIBYTE
    if sys.platform == "win32":
        return _windows_resident_mib()
    resource: Any = importlib.import_module("resource")
    peak: int = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (MEBIBYTE if sys.platform == "darwin" else 1024)


def _windows_resident_mib() -> float:
    ctypes: Any = importlib.import_module("ctypes")
    size = ctypes.sizeof(ctypes.c_size_t)
    counters = (ctypes.c_size_t * (10 if size == 8 else 11))()  # PROCESS_MEMORY_COUNTERS, two DWORDs first
    taken = ctypes.c_uint32(ctypes.sizeof(counters))
    ctypes.memmove(counters, ctypes.byref(taken), 4)
    process = ctypes.c_void_p(ctypes.windll.kernel32.GetCurrentProcess())
    if not ctypes.windll.kernel32.K32GetProcessMemoryInfo(process, ctypes.byref(counters), taken):
        return 0.0
    working_set = counters[2] if size == 8 else counters[3]
    return float(working_set) / MEBIBYTE


def _cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_mib() -> int:
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" not in names:
        return 0
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // MEBIBYTE


def _commit() -> str:
    if not (CHECKOUT / ".git").exists():
        return ""
    told = _told(["git", "-C", str(CHECKOUT), "rev-parse", "--short=12", "HEAD"])
    changed = _told(["git", "-C", str(CHECKOUT), "status", "--porcelain", "--untracked-files=no"])
    return f"{told}-dirty" if told and changed else told


def _told(command: list[str]) -> str:
    """What a program prints; "" when it is not there or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=GIT_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
