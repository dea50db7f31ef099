"""What the page and the API ask for, from a running fleet and its result store; everything here blocks."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar

from vqa_ray.cluster.client import Fleet
from vqa_ray.cluster.messages import FleetStatus
from vqa_ray.core import evidence
from vqa_ray.core.notice import Incident
from vqa_ray.core.quiet import Mute, Quiet
from vqa_ray.core.remark import Remark, RemarkKind
from vqa_ray.core.stay import Stay
from vqa_ray.errors import VqaError
from vqa_ray.pipeline.about import About
from vqa_ray.sinks.evidence import EvidenceStore
from vqa_ray.sinks.store import read_incidents, read_windows
from vqa_ray.web.curves import Curve, curves

Result = TypeVar("Result")

LATEST = 1000  # incidents of the control journal that the page shows
FRESH_S = 0.5  # answers that are this young serve all who ask
CURVE_POINTS = 600
AROUND_S = 60.0  # of an incident, for its curve


class Desk(Protocol):
    """What the page needs. Methods block, and raise VqaError; they may be called from several threads."""

    def status(self) -> FleetStatus:
        """How everything is now."""

    def incidents(self) -> list[Incident]:
        """The latest, newest start first."""

    def incident(self, incident_id: str) -> Incident | None:
        """One of them, or an older one; None if there is none."""

    def remarks(self) -> list[Remark]:
        """What people said."""

    def remark(self, remark: Remark) -> bool:
        """Someone says something; False if there is no such incident."""

    def retract(self, incident_id: str, kind: RemarkKind) -> None:
        """It is taken back."""

    def quiet(self) -> Quiet:
        """The mutes that last, and the fleet's windows."""

    def mute(self, mute: Mute) -> None:
        """One more."""

    def unmute(self, mute_id: str) -> bool:
        """It ends; whether it lasted."""

    def source(self, stream_id: str) -> str | None:
        """The stream's URL without secrets."""

    def about(self, stream_id: str) -> About:
        """What is known of its source."""

    def stays(self, stream_id: str) -> list[Stay]:
        """Where it was and why, the latest first."""

    def still(self, stream_id: str) -> bytes | None:
        """The newest small picture as JPEG."""

    def history(self, stream_id: str, since: datetime, until: datetime) -> list[Incident]:
        """Incidents of a stream that began then, in order of start."""

    def curves(self, stream_id: str, since: datetime, until: datetime, detector: str | None) -> list[Curve]:
        """What its detectors said then, from the result store."""

    def evidence(self, incident: Incident) -> list[str]:
        """The files that prove it."""

    def evidence_file(self, incident: Incident, name: str) -> bytes | None:
        """One of them."""


class _Kept:
    """The last answer to one question."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.asked_s = float("-inf")
        self.answer: object = None
        self.error: VqaError | None = None


class FleetDesk:
    """The Desk of a running fleet. See Desk for what the methods do."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._kept: defaultdict[str, _Kept] = defaultdict(_Kept)

    def status(self) -> FleetStatus:  # noqa: D102
        return self._fresh("status", self._fleet.status)

    def incidents(self) -> list[Incident]:  # noqa: D102
        return self._fresh("incidents", lambda: self._fleet.incidents(limit=LATEST))

    def incident(self, incident_id: str) -> Incident | None:  # noqa: D102
        return self._fleet.incident(incident_id)

    def remarks(self) -> list[Remark]:  # noqa: D102
        return self._fresh("remarks", self._fleet.remarks)

    def remark(self, remark: Remark) -> bool:  # noqa: D102
        done = self._fleet.remark(remark)
        self._forget("remarks")
        return done

    def retract(self, incident_id: str, kind: RemarkKind) -> None:  # noqa: D102
        self._fleet.retract(incident_id, kind)
        self._forget("remarks")

    def quiet(self) -> Quiet:  # noqa: D102
        return self._fresh("quiet", self._fleet.quiet)

    def mute(self, mute: Mute) -> None:  # noqa: D102
        self._fleet.mute(mute)
        self._forget("quiet")

    def unmute(self, mute_id: str) -> bool:  # noqa: D102
        done = self._fleet.unmute(mute_id)
        self._forget("quiet")
        return done

    def source(self, stream_id: str) -> str | None:  # noqa: D102
        return self._fleet.source(stream_id)

    def about(self, stream_id: str) -> About:  # noqa: D102
        analyzer = self._analyzer(stream_id)
        return self._fleet.about(stream_id, analyzer) if analyzer else About()

    def stays(self, stream_id: str) -> list[Stay]:  # noqa: D102
        return self._fleet.stays(stream_id)

    def still(self, stream_id: str) -> bytes | None:  # noqa: D102
        analyzer = self._analyzer(stream_id)
        return self._fleet.still(stream_id, analyzer) if analyzer else None

    def _analyzer(self, stream_id: str) -> str | None:
        return {one.stream_id: one.analyzer for one in self.status().streams}.get(stream_id)

    def history(self, stream_id: str, since: datetime, until: datetime) -> list[Incident]:  # noqa: D102
        found = {}
        if (uri := self._store()) is not None:
            found = {one.incident_id: one for one in read_incidents(uri, since=since, until=until, stream=stream_id)}
        for one in self.incidents():  # fresher than what is written to the store by now
            if one.stream_id == stream_id and since <= one.start_utc < until:
                found[one.incident_id] = one
        return sorted(found.values(), key=lambda one: (one.start_utc, one.incident_id))

    def curves(self, stream_id: str, since: datetime, until: datetime, detector: str | None) -> list[Curve]:  # noqa: D102
        uri = self._store()
        if uri is None:
            return []
        table = read_windows(uri, since=since, until=until, stream=stream_id, detector=detector)
        return curves(table.to_pydict(), since, until, CURVE_POINTS)

    def evidence(self, incident: Incident) -> list[str]:  # noqa: D102
        uri = self._store()
        return EvidenceStore(uri).names(evidence.place(incident)) if uri else []

    def evidence_file(self, incident: Incident, name: str) -> bytes | None:  # noqa: D102
        uri = self._store()
        if uri is None or name not in self.evidence(incident):
            return None
        return EvidenceStore(uri).read(f"{evidence.place(incident)}/{name}")

    def _store(self) -> str | None:
        return self._fresh("store", self._fleet.store)

    def _fresh(self, name: str, ask: Callable[[], Result]) -> Result:
        """What `ask` says, or said just now: a thousand open pages ask the fleet no more often than one.

        That it does not answer is said to all who waited, too: else each would wait for itself, one behind the other.
        """
        kept = self._kept[name]
        with kept.lock:
            if time.monotonic() - kept.asked_s > FRESH_S:
                try:
                    kept.answer, kept.error = ask(), None
                except VqaError as error:
                    kept.error = error
                kept.asked_s = time.monotonic()
            if kept.error is not None:
                raise kept.error
            return kept.answer  # type: ignore[return-value]

    def _forget(self, name: str) -> None:
        self._kept[name].asked_s = float("-inf")


def around(incident: Incident) -> tuple[datetime, datetime]:
    """The span whose values say something of an incident."""
    margin = timedelta(seconds=AROUND_S)
    return incident.start_utc - margin, (incident.end_utc or datetime.now(UTC)) + margin
