"""The name of a process: it can be asked later, on the same machine, whether that very process still lives."""

import os
import platform
from pathlib import Path


def incarnation() -> str:
    """Of this process: host, pid and the tick of the kernel's clock at which it started."""
    return f"{platform.node()}:{os.getpid()}:{_started(os.getpid())}"


def surely_dead(name: str) -> bool:
    """Whether the process is known to have ended; False where this machine cannot tell."""
    host, pid, started = name.rsplit(":", 2)
    if host != platform.node() or not pid.isdigit() or not Path("/proc/self").exists():
        return False
    return _started(int(pid)) != started


def rss_bytes() -> int:
    """Memory of this process that is resident; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _started(pid: int) -> str:
    """Field 22 of /proc/<pid>/stat; the name before it may hold blanks. Empty if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    state, *fields = stat.rpartition(")")[2].split()
    return "" if state in "ZX" else fields[18]
