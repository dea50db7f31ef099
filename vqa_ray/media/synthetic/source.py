"""A live source for tests and the demo: a child process that encodes a test programme in real time and serves it."""

import contextlib
import enum
import random
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import msgspec

from vqa_ray.errors import SourceUnavailable
from vqa_ray.media.synthetic.child import Brief, Started
from vqa_ray.media.synthetic.programme import Programme
from vqa_ray.media.synthetic.script import Fault, ScriptedFault, on_the_wall_clock

START_S = 30.0  # a loaded machine takes seconds to import libav and OpenCV
SMALL = Programme(width=320, height=180)


class Kind(enum.StrEnum):
    """How a source is served. None of them needs anything installed."""

    HLS = "hls"
    UDP = "udp"
    MULTICAST = "multicast"
    HTTP = "http"
    RTMP = "rtmp"
    RTSP = "rtsp"


class Source:
    """A running source. Times of its script are media time of the source, which starts at `started_utc`.

    As a context manager it waits until it can be played, and stops at the end. The child ends with its parent.
    """

    def __init__(
        self, kind: Kind, faults: Iterable[Fault], programme: Programme, *, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self.kind = kind
        self.programme = programme
        self._faults = tuple(faults)
        self._started: Started | None = None
        if kind in (Kind.UDP, Kind.MULTICAST) and port == 0:
            port = free_udp_port()
        if kind is Kind.MULTICAST and host == "127.0.0.1":
            host = f"239.255.{random.randint(1, 254)}.{random.randint(1, 254)}"
        brief = Brief(kind=kind.value, host=host, port=port, programme=programme, faults=self._faults)
        self._child = subprocess.Popen(
            [sys.executable, "-m", "vqa_ray.media.synthetic"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,  # Ctrl-C is for the parent, which then stops it
        )
        self._write(msgspec.json.encode(brief))

    @property
    def url(self) -> str:
        """What a player opens."""
        return self._ready.url

    @property
    def origin_mono_s(self) -> float:
        """Monotonic clock at media time 0."""
        return self._ready.origin_mono_s

    @property
    def started_utc(self) -> datetime:
        """Wall clock at media time 0."""
        return datetime.fromtimestamp(self._ready.origin_utc_s, UTC)

    @property
    def now_s(self) -> float:
        """Media time that is sent now."""
        return time.monotonic() - self.origin_mono_s

    @property
    def script(self) -> tuple[ScriptedFault, ...]:
        """All faults, past and coming, on the wall clock."""
        return on_the_wall_clock(self._faults, self.started_utc)

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._child.pid

    @property
    def _ready(self) -> Started:
        return self.wait()

    def wait(self, timeout_s: float = START_S) -> Started:
        """Returns once a player gets something; raises SourceUnavailable if the child dies or takes too long."""
        if self._started is None:
            stdout = self._child.stdout
            assert stdout is not None
            readable, _, _ = select.select([stdout], [], [], timeout_s)
            line = stdout.readline() if readable else b""
            if not line:
                self.kill()
                raise SourceUnavailable(f"the synthetic {self.kind} source did not start within {timeout_s:.0f} s")
            self._started = msgspec.json.decode(line, type=Started)
        return self._started

    def schedule(self, faults: Sequence[Fault]) -> None:
        """More faults, in the source's media time (see `now_s`)."""
        self._faults = (*self._faults, *faults)
        self._write(msgspec.json.encode(faults))

    def kill(self) -> None:
        """SIGKILL, at once: the machine behind the source is gone."""
        self._child.kill()
        self._child.wait()
        self._close_pipes()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Ends the child; returns within `timeout_s` or so, and may be called again."""
        assert self._child.stdin is not None
        with contextlib.suppress(OSError):
            self._child.stdin.close()
        try:
            self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
        self._close_pipes()

    def __enter__(self) -> Self:
        self.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _write(self, line: bytes) -> None:
        assert self._child.stdin is not None
        with contextlib.suppress(OSError):  # a child that died is seen by wait()
            self._child.stdin.write(line + b"\n")

    def _close_pipes(self) -> None:
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def serve(
    kind: Kind | str,
    faults: Iterable[Fault] = (),
    programme: Programme = SMALL,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
) -> Source:
    """Starts a source and returns at once; `with serve(...) as source` waits until it can be played.

    `host`: address to listen on, of the receiver (udp) or the group (multicast; a random one by default).
    """
    return Source(Kind(kind), faults, programme, host=host, port=port)


def free_udp_port() -> int:
    """A port on which nothing listens at the moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
