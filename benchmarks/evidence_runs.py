"""What `evidence` measures, each in a process of its own."""

import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from typing import Any, ClassVar

import msgspec

from benchmarks.cost_runs import Cost, _measured, _peak_bytes
from benchmarks.measure import cpu_s
from vqa_ray.config import LIVE, Profile, StreamSpec
from vqa_ray.core.evidence import EvidenceOptions
from vqa_ray.core.notice import Incident
from vqa_ray.core.picture import Picture
from vqa_ray.core.reading import Input, Reading, Severity
from vqa_ray.core.still import still_of
from vqa_ray.core.timeline import Timeline
from vqa_ray.core.window import WindowRow
from vqa_ray.detectors.base import DetectorSpec, Immediate
from vqa_ray.media.source import EndOfMedia, SourceOptions, open_source
from vqa_ray.pipeline.evidence import Case, Desk, DeskStats
from vqa_ray.pipeline.evidence.case import Exact
from vqa_ray.pipeline.local import analyze
from vqa_ray.pipeline.worker import Worker
from vqa_ray.sinks.evidence import EvidenceStore

FPS = 25
CLOSE_S = 20.0
SLACK = 1  # a picture at the edge of the time looked at may fall on either side of it


class _Nowhere:
    """A store that takes everything and keeps nothing, `file_s` a file."""

    def __init__(self, file_s: float = 0.0) -> None:
        self.file_s = file_s

    def write(self, path: str, data: bytes) -> None:
        time.sleep(self.file_s)

    def used_bytes(self, day: str, stream_id: str) -> int:
        return 0


def pipeline(path: str, proved: bool) -> Cost:
    """All of `vqa_ray.analyze` with the live profile; proved: ready to give evidence of what it finds."""
    rows: list[WindowRow] = []
    with _measured() as cost:
        _analyze(path, proved, rows)
    cost["frames"] = sum(row.count for row in rows if row.detector == "black")
    return cost


def _analyze(path: str, proved: bool, rows: list[WindowRow]) -> None:
    desk = Desk(_Nowhere(), EvidenceOptions(), base="", wait=True) if proved else None
    for _ in analyze(path, profile=LIVE, on_rows=rows.extend, keeper=desk):
        pass
    if desk is not None:
        desk.close(60.0)


def peak_memory(path: str, streams: int, proved: bool) -> float:
    """Largest resident size, in bytes, of a process that analyses `streams` of the clip at once, a thread each."""
    threads = [threading.Thread(target=_analyze, args=(path, proved, []), daemon=True) for _ in range(streams)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return _peak_bytes()


def moments(path: str, count: int) -> dict[str, float]:
    """CPU seconds of the evidence of one moment in mid-GOP, as a desk makes it and a local folder keeps it."""
    timeline, stills, number = Timeline(), [], 0
    timeline.connect(0.0)
    with closing(open_source(path, SourceOptions(), timeline, live=False)) as connection:
        try:
            while number < 9 * FPS:
                for item in connection.read():
                    if isinstance(item, Picture):
                        number += 1
                        if number % FPS == 0:
                            stills.append(still_of(item))
                    del item
        except EndOfMedia:
            pass
        footage = connection.tape.grab()
    at_s = stills[-1].at_s - 4.5
    with tempfile.TemporaryDirectory(prefix="vqa-evidence-") as folder:
        desk = Desk(EvidenceStore(folder), EvidenceOptions(), base="")
        began_s = cpu_s()
        for k in range(count):
            case = Case(
                incident=_incident(f"{k:016x}", at_s),
                moment="start",
                at_s=at_s,
                footage=footage,
                stills=tuple(stills),
                rows=(),
                readings=(),
                final=False,
                exact=Exact(),
            )
            desk.put(case)
            desk.put(msgspec.structs.replace(case, final=True))
        desk.close(300.0)
        done = desk.stats()
        assert done.clips == count, done
        return {"cpu_s": (cpu_s() - began_s) / count, "bytes": done.written_bytes / count}


def _incident(incident_id: str, at_s: float) -> Incident:
    from datetime import UTC, datetime

    return Incident(
        incident_id=incident_id, stream_id="bench", detector="null", severity=Severity.MAJOR, start_s=at_s, end_s=None,
        start_utc=datetime.now(UTC), end_utc=None, value=1.0, unit="",
    )  # fmt: skip


# ---- a hundred at once


class _Scripted(Immediate):
    """Finds fault from a moment on."""

    def __init__(self, from_s: float) -> None:
        self._from_s = from_s

    def read(self, picture: Picture) -> Sequence[Reading]:
        bad = picture.at_s >= self._from_s
        return (Reading(picture.at_s, picture.until_s, float(bad), bad),)


class _ScriptedSpec(DetectorSpec, frozen=True, kw_only=True):
    """Its options."""

    inputs: ClassVar[tuple[Input, ...]] = (Input.VIDEO,)
    unit: ClassVar[str] = ""

    from_s: float = 0.0

    def build(self) -> _Scripted:
        return _Scripted(self.from_s)


class _Troubled(Profile, frozen=True, kw_only=True):
    """The live profile with detectors that find fault one frame after the other."""

    scripted: tuple[Any, ...]

    @property
    def specs(self) -> tuple[DetectorSpec, ...]:
        return (*super().specs, *self.scripted)


def _troubled(count: int, from_s: float) -> _Troubled:
    kinds: list[Any] = [
        type(
            f"_Scripted{k}",
            (_ScriptedSpec,),
            {"id": f"scripted_{k}", "__annotations__": {"id": ClassVar[str]}},
            frozen=True,
            kw_only=True,
        )
        for k in range(count)
    ]
    shipped = {name: getattr(LIVE, name) for name in LIVE.__struct_fields__}
    scripted = tuple(kind(from_s=from_s + k / FPS, raise_after_s=0.5) for k, kind in enumerate(kinds))
    return _Troubled(**shipped, scripted=scripted)


class _Delayed(EvidenceStore):
    """A folder behind a slow line."""

    def __init__(self, folder: str, file_s: float) -> None:
        super().__init__(folder)
        self._file_s = file_s

    def write(self, path: str, data: bytes) -> None:
        time.sleep(self._file_s)
        super().write(path, data)


def at_once(
    urls: list[str], incidents: int, settle_s: float, seconds: float, folder: str, file_s: float | None
) -> None:
    """Watch the streams as an analyzer does, let `incidents` of each open at one moment; print what became of all."""
    counts: dict[str, dict[float, tuple[int, float]]] = {}  # by stream and second: frames, and when that was known
    told: list[str] = []

    def rows(found: list[WindowRow]) -> None:
        for row in found:
            if row.detector == "black":
                counts.setdefault(row.stream_id, {})[row.start_s] = row.count, time.monotonic()

    desk = Desk(_Delayed(folder, file_s), EvidenceOptions(), base=folder) if file_s is not None else None
    worker = Worker("evidence", tell=lambda one: told.append(one.notice.incident.detector), windows=rows, keeper=desk)
    profile = _troubled(incidents, settle_s)
    for k, url in enumerate(urls):
        worker.assign(StreamSpec(id=f"s{k}", url=url), profile, 0)
    time.sleep(settle_s + seconds)
    reports = worker.reports()
    worker.stop(5.0)
    stats = DeskStats()
    if desk is not None:
        desk.close(CLOSE_S)
        stats = desk.stats()
    frames, lost, late_s = _lost(counts, settle_s - 3.0, settle_s + seconds - 1.0)
    result = {
        "incidents": sum(name.startswith("scripted") for name in told),
        "clips": stats.clips,
        "dropped": stats.dropped,
        "frames": frames,
        "lost": lost,
        "late_s": late_s,
        "reconnects": sum(report.reconnects for report in reports),
    }
    print(json.dumps(result), flush=True)
    sys.stdout.close()
    os._exit(0)


def _lost(counts: dict[str, dict[float, tuple[int, float]]], from_s: float, until_s: float) -> tuple[int, int, float]:
    """Frames analysed, frames missing, and the longest wait for a second beyond the least, of all streams."""
    frames = lost = 0
    late_s = 0.0
    for of_one in counts.values():
        whole = [second for second in of_one if from_s <= second < until_s]
        if not whole:
            continue
        span = round(max(whole) - min(whole)) + 1
        here = sum(of_one[second][0] for second in whole)
        missing = span * FPS - here
        frames, lost = frames + here, lost + (missing if missing > SLACK else 0)
        delays = [of_one[second][1] - second for second in whole]
        late_s = max(late_s, max(delays) - min(delays))
    return frames, lost, late_s
