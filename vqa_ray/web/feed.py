"""What changed, as server-sent events: one look at the fleet a second, however many pages are open."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from vqa_ray.cluster.messages import FleetStatus, StreamStatus
from vqa_ray.core.notice import Incident
from vqa_ray.core.remark import Remark
from vqa_ray.core.sizing import USUAL
from vqa_ray.errors import VqaError
from vqa_ray.web.desk import Desk

log = logging.getLogger(__name__)

LOOK_S = 1.0
MOST_WAITING = 30  # events that a slow reader may be behind; then it begins anew
KEEP_ALIVE_S = 15.0


class Seen(msgspec.Struct, frozen=True):
    """One look."""

    status: FleetStatus
    incidents: dict[str, Incident]
    remarks: tuple[Remark, ...]


class Feed:
    """Looks while anybody listens. `listen` gives texts of the event stream format (HTML standard, 9.2)."""

    def __init__(self, desk: Desk, *, look_s: float = LOOK_S) -> None:
        self._desk = desk
        self._look_s = look_s
        self._seen: Seen | None = None
        self._listeners: set[asyncio.Queue[str | None]] = set()
        self._looking: asyncio.Task[None] | None = None

    async def listen(self) -> AsyncIterator[str]:
        """First everything, then what changes; ends when the reader is too slow or the feed is closed."""
        queue: asyncio.Queue[str | None] = asyncio.Queue(MOST_WAITING)
        if self._seen is not None:
            queue.put_nowait(_event("all", whole(self._seen)))
        self._listeners.add(queue)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look_on())
        try:
            while True:
                try:
                    text = await asyncio.wait_for(queue.get(), KEEP_ALIVE_S)
                except TimeoutError:
                    text = ": still here\n\n"
                if text is None:
                    return
                yield text
        finally:
            self._listeners.discard(queue)

    async def close(self) -> None:
        """Ends all listeners."""
        if self._looking is not None:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking
        for queue in self._listeners:
            _end(queue)

    async def _look_on(self) -> None:
        while self._listeners:
            try:
                seen = await asyncio.to_thread(self._look)
            except VqaError as error:  # the supervisor restarts: pages say so, and go on by themselves
                self._tell("away", {"reason": str(error)})
            else:
                before, self._seen = self._seen, seen
                if before is None:
                    self._tell("all", whole(seen))
                elif changes := changed(before, seen):
                    self._tell("changed", changes)
            await asyncio.sleep(self._look_s)
        self._seen = None

    def _look(self) -> Seen:
        found = {one.incident_id: one for one in self._desk.incidents()}
        return Seen(self._desk.status(), found, tuple(self._desk.remarks()))

    def _tell(self, name: str, data: Any) -> None:
        text = _event(name, data)
        for queue in tuple(self._listeners):
            try:
                queue.put_nowait(text)
            except asyncio.QueueFull:
                _end(queue)


def _end(queue: "asyncio.Queue[str | None]") -> None:
    """The reader gets no more; what waits for it is dropped."""
    while not queue.empty():
        queue.get_nowait()
    queue.put_nowait(None)


def whole(seen: Seen) -> dict[str, Any]:
    """Everything of a look."""
    return {
        "fleet": fleet_of(seen.status),
        "streams": [row(one) for one in seen.status.streams],
        "incidents": list(seen.incidents.values()),
        "remarks": seen.remarks,
    }


def changed(before: Seen, now: Seen) -> dict[str, Any]:
    """What a page needs to get from the one look to the other; empty if nothing changed."""
    known = {one.stream_id: row(one) for one in before.status.streams}
    rows = [row(one) for one in now.status.streams]
    parts: dict[str, Any] = {
        "streams": [one for one in rows if known.get(one["stream_id"]) != one],
        "gone": sorted(known.keys() - {one["stream_id"] for one in rows}),
        "incidents": [one for key, one in now.incidents.items() if before.incidents.get(key) != one],
    }
    if (fleet := fleet_of(now.status)) != fleet_of(before.status):
        parts["fleet"] = fleet
    if now.remarks != before.remarks:
        parts["remarks"] = now.remarks
    return {name: part for name, part in parts.items() if part or name == "remarks"}


def fleet_of(status: FleetStatus) -> dict[str, Any]:
    """The fleet but for its streams, in figures that do not change without reason."""
    told: dict[str, Any] = msgspec.to_builtins(status)
    del told["streams"]
    for one in told["analyzers"]:
        one["load"], one["reserved"] = round(one["load"], 2), round(one["reserved"], 2)
        one["rss_bytes"] = one["rss_bytes"] >> 20 << 20
    told["usd_core_hour"] = round(USUAL.usd_hour / USUAL.vcpus, 4)
    return told


def row(stream: StreamStatus) -> dict[str, Any]:
    """A stream as the page shows it, likewise."""
    told: dict[str, Any] = msgspec.to_builtins(stream)
    for name, digits in (("fps", 0), ("cpu_share", 2), ("lag_s", 1), ("coverage", 4)):
        told[name] = round(told[name], digits)
    told["health"] = None if stream.health is None else round(stream.health)
    del told["at_s"]  # grows all the time
    return told


def _event(name: str, data: Any) -> str:
    return f"event: {name}\ndata: {msgspec.json.encode(data).decode()}\n\n"
