"""The bytes of a transport stream, looked at beside or on their way to libav.

A file is read twice: by libav, and here in step with it. A network input is read once: a second libav container hands
out raw bytes, so that libav's protocols, time limits and whitelists hold there too, and they go on to it as a file.
"""

import errno
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import av
import av.error
from av.container import InputContainer
from av.packet import Packet

from vqa_ray.core.batch import SMALLEST
from vqa_ray.errors import SourceUnavailable
from vqa_ray.media.continuity import ContinuityCheck, find_sync

CHECK_BYTES = 1 << 18  # checked at once, which costs the same for fewer; a live input's after …
CHECK_EVERY_S = 0.4  # … so long at the latest, …
CHECK_READS = 3  # … or after so many reads, if they are rare
PACKET_BYTES = 1 << 15
PEEK_BYTES = 8 * 204  # what tells a transport stream from everything else


class Tap:
    """What both share: the check, and the byte at which what is watched turns into something else.

    ends_itself: there the demuxer is given no more bytes; else it is to be left. every_s: a live input that had nothing
    left is asked again after this long, for fewer and larger reads.
    """

    ends_itself = False
    every_s = SMALLEST.every_s

    def __init__(self) -> None:
        self.check = ContinuityCheck()
        self.base = 0  # byte at which the present demuxer began
        self.turned: int | None = None
        self._watched: frozenset[int] = frozenset()
        self._wants_more = False
        self._holds = 0  # number of the announcement that holds for the present demuxer
        self._compared = 0  # announcements that were compared with it

    def watch(self, pids: frozenset[int], *, wants_more: bool) -> None:
        """These PIDs are decoded; wants_more: a track is missing, so that a new PID matters too."""
        self._watched, self._wants_more = pids, wants_more
        self._compare()

    def opened(self) -> None:
        """The demuxer is open; from now on there is no hurry."""

    def advance(self, pos: int) -> None:
        """The demuxer has reached byte `pos`."""

    def again(self) -> Any:
        """What `av.open` is given to go on behind the turn."""
        raise NotImplementedError

    def finish(self) -> None:
        """The demuxer has read everything."""

    def close(self) -> None:
        """Let go of the input."""

    def _look(self, data: bytes) -> None:
        self.check.feed(data)
        if len(self.check.tables.announced) > self._compared:
            self._compare()

    def _compare(self) -> None:
        """Whether a later announcement takes a watched PID away, or gives it another type."""
        announced = self.check.tables.announced
        while self.turned is None and self._watched and self._compared < len(announced):
            before, after = announced[self._holds].types, announced[self._compared].types
            other = any(pid in before and after.get(pid) != before[pid] for pid in self._watched)
            if other or (self._wants_more and set(after) - set(before)):
                self._holds, self.turned = self._compared, announced[self._compared].pos
            self._compared += 1


class FileTap(Tap):
    """Reads a file in step with libav."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self._file: BinaryIO = Path(path).open("rb", buffering=0)  # noqa: SIM115  (closed by `close`)
        self._read_to = 0

    def advance(self, pos: int) -> None:
        """Check at least up to `pos`."""
        while self._read_to <= pos and self.turned is None:
            data = self._file.read(CHECK_BYTES)
            if not data:
                self._read_to = 1 << 62
                return
            self._read_to += len(data)
            self._look(data)

    def again(self) -> str:
        """The rest of the file, as libav names it."""
        assert self.turned is not None
        table = self.check.tables.association_pos
        self.base = table if 0 <= self.turned - table < CHECK_BYTES else self.turned
        self.turned = None
        return f"subfile,,start,{self.base},end,0,,:{self._path}"

    def finish(self) -> None:
        """Check the rest of the file."""
        self.advance(1 << 62)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class NetFeed(Tap):
    """A network input as a file for libav: `read` is called from within its demuxer.

    first_mono_s: when the first byte came. While a demuxer opens, the whole of it must be done by `deadline_s`.
    """

    ends_itself = True

    def __init__(
        self,
        url: str,
        options: dict[str, str],
        limits: tuple[float, float | None],
        *,
        deadline_s: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.first_mono_s: float | None = None
        self.deadline_s: float | None = deadline_s
        self._now = now
        chosen = options | {"raw_packet_size": str(PACKET_BYTES)}
        self._container: InputContainer = av.open(url, format="data", options=chosen, timeout=limits)
        self._packets: Iterator[Packet[Any]] = self._container.demux()
        self._datagrams = url.startswith("udp:")
        self._endless = url.startswith(("http:", "https:"))
        self._ahead: deque[bytes] = deque()  # read, not yet given out
        self._given: deque[bytes] = deque()  # given out, not yet checked
        self._given_bytes = 0
        self._known = 0  # bytes ahead that were checked before
        self._asked_s = self._checked_s = now()
        self._drained = True
        self._failed: Exception | None = None

    def is_transport_stream(self) -> bool:
        """Whether the first bytes look like one; they are kept."""
        head = b""
        while len(head) < PEEK_BYTES:
            data = self._receive(PEEK_BYTES)
            if not data:
                break
            head += data
        if head:
            self._ahead.append(head)
        return find_sync(head) is not None

    def read(self, limit: int) -> bytes:
        """The next bytes, for libav; nothing at the end and at a turn."""
        if self.turned is not None:
            return b""
        data = self._ahead.popleft() if self._ahead else self._receive(limit)
        if len(data) > limit:
            self._ahead.appendleft(data[limit:])
            data = data[:limit]
        fresh, self._known = data[self._known :] if self._known else data, max(0, self._known - len(data))
        self._given.append(fresh)
        self._given_bytes += len(fresh)
        if not data or self._given_bytes >= CHECK_BYTES or self._now() - self._checked_s >= self._check_every_s:
            self._examine()
        return data

    @property
    def _check_every_s(self) -> float:
        return max(CHECK_EVERY_S, CHECK_READS * self.every_s)

    def again(self) -> "NetFeed":
        """Itself, with the association table and all bytes behind the turn to come."""
        assert self.turned is not None
        start = self.check.checked + len(self.check.rest) - self._given_bytes
        given = b"".join(self._given)
        table = self.check.tables.association if self.check.packet_bytes == 188 else b""
        again = table + given[max(0, self.turned - start) :]
        self.base, self.turned = self.turned - len(table), None
        self._ahead.appendleft(again)
        self._known = len(again)
        self._given.clear()
        self._given_bytes = 0
        return self

    def opened(self) -> None:
        """Reads from now on wait for more to come."""
        self.deadline_s = None

    def close(self) -> None:
        """Close the connection."""
        self._packets = iter(())
        self._container.close()

    def _examine(self) -> None:
        """Check what was given out; what lies behind a turn is kept for the next demuxer."""
        self._checked_s = self._now()
        self._look(b"".join(self._given))
        if self.turned is None:
            self._given.clear()
            self._given_bytes = 0

    def _receive(self, limit: int) -> bytes:
        """What has arrived; waits for the first of it."""
        if self._failed is not None:
            raise self._failed
        opening = self.deadline_s is not None
        if self.deadline_s is not None and self._now() > self.deadline_s:
            raise SourceUnavailable("no picture and no sound was found in time")
        if not opening:
            self._pace()
        data = self._next()
        if self.first_mono_s is None and data:
            self.first_mono_s = self._now()
        if self._datagrams and data and not opening:
            data = self._gather(data, limit)
        self._drained = len(data) < PACKET_BYTES // 2
        return data

    def _pace(self) -> None:
        """Let a little arrive first, unless more was waiting than could be taken."""
        now_s = time.monotonic()
        early_s = self._asked_s + self.every_s - now_s
        if self._drained and early_s > 0.0:
            time.sleep(early_s)
            now_s += early_s
        self._asked_s = now_s

    def _next(self) -> bytes:
        asked_s = time.monotonic()
        try:
            packet = next(self._packets, None)
        except av.error.FFmpegError as error:
            # An answer without a length that ends in order is an I/O error to libav, and at once.
            if error.errno == errno.EIO and self._endless and time.monotonic() - asked_s < 0.1:
                return b""
            raise
        return bytes(packet) if packet is not None and packet.size else b""

    def _gather(self, first: bytes, limit: int) -> bytes:
        """Datagrams that are waiting already; one that had to be waited for is the last."""
        parts, size = [first], len(first)
        while size + 1500 < limit:
            asked_s = time.monotonic()
            try:
                data = self._next()
            except (av.error.FFmpegError, OSError) as error:
                self._failed = error
                break
            parts.append(data)
            size += len(data)
            if not data or time.monotonic() - asked_s > 0.0005:
                break
        return b"".join(parts)
