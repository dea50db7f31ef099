"""An actor's process: its log, its memory, and its name, by which one can ask later whether it still lives."""

import logging
import os
import platform
import signal
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from vqa_ray.core.urls import redact
from vqa_ray.pipeline.marks import marks

FORMAT = "VQA_LOG"  # environment variable of Ray's nodes: `json`, else lines of text


class _Redacting(logging.Formatter):
    """Text without secrets, tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


MARKS = ("analyzer", "stream", "epoch")


class JsonLines(logging.Formatter):
    """A line of JSON a record: time, level, actor, analyzer, stream and epoch where known, logger, message."""

    def __init__(self, who: str) -> None:
        super().__init__()
        self._who = who

    def format(self, record: logging.LogRecord) -> str:
        """See the class; without secrets, like the other one."""
        given = {name: getattr(record, name) for name in MARKS if hasattr(record, name)}
        own = {"analyzer": self._who} if self._who.startswith("analyzer-") else {}
        line = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "actor": self._who,
            **own,
            **(marks() | given),
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        if record.exc_info:
            line["traceback"] = redact(self.formatException(record.exc_info))
        return msgspec.json.encode(line).decode()


def log_to_stderr(who: str) -> None:
    """What is logged goes to the process's log file, without passwords and tokens; as JSON if VQA_LOG=json."""
    handler = logging.StreamHandler()
    plain = _Redacting("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonLines(who) if os.environ.get(FORMAT) == "json" else plain)
    logging.basicConfig(level=logging.INFO, handlers=[handler])


GRACE_S = 25.0  # after SIGTERM; Ray and Docker kill after 30 s where they are not told otherwise


class Ending:
    """Whether this process was asked to end, and whether it has waited for long enough."""

    def __init__(self) -> None:
        self._asked_s: float | None = None

    @property
    def asked(self) -> bool:
        """Whether SIGTERM came."""
        return self._asked_s is not None

    @property
    def overdue(self) -> bool:
        """Whether it came GRACE_S ago."""
        return self._asked_s is not None and time.monotonic() - self._asked_s > GRACE_S

    def ask(self) -> None:
        """It came."""
        self._asked_s = self._asked_s or time.monotonic()


def on_sigterm() -> Ending:
    """From now on SIGTERM only says so. On the main thread only.

    Ray's actors have their main thread in C++, where no handler in Python runs: a thread reads what the signal writes.
    """
    ending = Ending()
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)

    def wait() -> None:
        while signal.SIGTERM not in os.read(read, 16):
            pass
        ending.ask()

    threading.Thread(target=wait, name="sigterm", daemon=True).start()
    return ending


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
