"""One input without a cluster: what `vqa analyze` and `vqa_ray.analyze` do."""

import queue
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime

import msgspec

from vqa_ray.config import LIVE, QC, Profile, StreamSpec
from vqa_ray.core.audio import AudioBlock
from vqa_ray.core.incident import Transition
from vqa_ray.core.notice import Incident, Notice, NoticeKind
from vqa_ray.core.picture import Picture
from vqa_ray.core.reading import Input, Reading
from vqa_ray.core.source import State
from vqa_ray.core.timeline import Timeline
from vqa_ray.core.window import WindowRow
from vqa_ray.errors import SourceUnavailable
from vqa_ray.media.source import Connection, EndOfMedia, is_live, open_source
from vqa_ray.pipeline.analysis import Analysis, Item
from vqa_ray.pipeline.evidence import Keeper, Witness
from vqa_ray.pipeline.report import Told
from vqa_ray.pipeline.stream import LOOK_S, StreamRun


class Measured(msgspec.Struct, frozen=True):
    """A reading and the id of the detector that made it."""

    detector: str
    reading: Reading


OnProgress = Callable[[float, float | None], None]


def analyze(
    url: str,
    *,
    profile: Profile | str | None = None,
    stream_id: str | None = None,
    readings: bool = False,
    duration_s: float | None = None,
    wait: bool = True,
    on_progress: OnProgress | None = None,
    on_rows: Callable[[list[WindowRow]], None] | None = None,
    keeper: Keeper | None = None,
) -> Generator[Incident | Measured]:
    """Watch one input in this process and give what is found, as it is found.

    An incident comes when it opens (`end_s` is None), with the same `incident_id` again when its severity rises, and
    when it closes; one that is open when a live input is left stays open. With `readings`, everything that detectors
    say comes too. A file is analysed completely, as fast as possible; a live input for `duration_s` seconds, or until
    the caller stops.
    profile: a shipped one's name or a Profile; None takes `qc` for a file and `live` for a live input. on_progress is
    given the position and the length in seconds (None if unknown). Raises SourceError when a file cannot be opened or
    read; a live input is tried again and again, without `wait` only after it was connected once. keeper: takes evidence
    of what is found.
    """
    chosen = _profile(profile, url)
    name = stream_id or "input"
    if is_live(url):
        yield from _live(StreamSpec(id=name, url=url), chosen, readings, duration_s, wait, on_progress, on_rows, keeper)
    else:
        yield from _file(url, chosen, name, readings, duration_s, on_progress, on_rows, keeper)


def _profile(profile: Profile | str | None, url: str) -> Profile:
    if profile is None:
        return LIVE if is_live(url) else QC
    if isinstance(profile, str):
        from vqa_ray.config import FleetSpec, resolve_profile

        return resolve_profile(FleetSpec(), profile)
    return profile


def _file(
    url: str,
    profile: Profile,
    name: str,
    readings: bool,
    duration_s: float | None,
    on_progress: OnProgress | None,
    on_rows: Callable[[list[WindowRow]], None] | None,
    keeper: Keeper | None,
) -> Iterator[Incident | Measured]:
    said: list[Incident | Measured] = []
    timeline = Timeline()

    def rows(complete: list[WindowRow]) -> None:
        if witness is not None:
            witness.rows(complete)
        if on_rows is not None:
            on_rows(complete)

    analysis = Analysis(
        name,
        profile.specs,
        origin_utc=datetime.now(UTC),
        on_rows=rows,
        on_reading=(lambda detector, reading: said.append(Measured(detector, reading))) if readings else None,
        pts_minus_at_s=lambda: timeline.pts_minus_at_s,
    )
    options = msgspec.structs.replace(profile.source, ring_bytes=0)
    witness = None
    if keeper is not None:
        witness = Witness(keeper, profile.source, analysis.trace, monotonic=lambda: 0.0)  # a file is never waited for
        options = witness.source(profile.source)
    timeline.connect(0.0)
    with closing(open_source(url, options, timeline, live=False)) as connection:
        analysis.connected()
        if witness is not None:
            witness.connected(connection.tape)
        connection.tells_services = Input.SERVICES in analysis.wants
        connection.tells_coding = Input.CODING in analysis.wants
        for found in _until_end(connection, analysis, witness, duration_s, on_progress):
            if said:
                yield from said
                said.clear()
            for _, incident in found:
                yield incident
    found = analysis.finish()
    if witness is not None:
        found = witness.note(found, analysis.book)
        witness.finish()
    yield from said
    yield from (incident for _, incident in found)


def _until_end(
    connection: Connection,
    analysis: Analysis,
    witness: Witness | None,
    duration_s: float | None,
    on_progress: OnProgress | None,
) -> Iterator[Sequence[Transition]]:
    """Read to the end, or to `duration_s`; what each packet brought about, nothing included."""
    at_s = 0.0
    while True:
        try:
            items = connection.read()
        except EndOfMedia:
            return
        item: Item | None = None
        for item in items:
            if found := analysis.feed(item):
                yield found if witness is None else witness.note(found, analysis.book)
            if isinstance(item, Picture):
                at_s = item.until_s
                if witness is not None and item.at_s >= witness.due_s:
                    witness.take(item)
                analysis.coverage.count(item.at_s, 1, 1)
                if on_progress is not None:
                    on_progress(at_s, connection.info.duration_s)
            elif witness is not None and isinstance(item, AudioBlock) and item.at_s >= witness.sound_due_s:
                witness.hear(item.at_s)
        yield ()
        del item
        items.clear()  # the decoder may use the buffer of the picture again
        if duration_s is not None and at_s >= duration_s:
            return


def _live(
    stream: StreamSpec,
    profile: Profile,
    readings: bool,
    duration_s: float | None,
    wait: bool,
    on_progress: OnProgress | None,
    on_rows: Callable[[list[WindowRow]], None] | None,
    keeper: Keeper | None,
) -> Iterator[Incident | Measured]:
    said: queue.SimpleQueue[Incident | Measured] = queue.SimpleQueue()

    def tell(told: Told) -> None:
        said.put(told.notice.incident)

    run = StreamRun(stream, profile, tell=tell, windows=on_rows, keeper=keeper)
    if readings:
        run.analysis.listen(lambda detector, reading: said.put(Measured(detector, reading)))
    run.start()
    began_s = time.monotonic()
    try:
        while run.running:
            elapsed_s = time.monotonic() - began_s
            if duration_s is not None and elapsed_s >= duration_s:
                break
            run.look()
            if not wait:
                wait = _connected(run)
            if on_progress is not None:
                on_progress(elapsed_s, duration_s)
            yield from _waiting(said)
    finally:
        run.stop()
    while not said.empty():
        yield said.get_nowait()


def _connected(run: StreamRun) -> bool:
    """Whether a frame came; SourceUnavailable when the first try has failed."""
    report = run.report()
    if report.state == State.BACKING_OFF and not report.connected_once:
        raise SourceUnavailable(report.reason)
    return report.connected_once


def _waiting(said: "queue.SimpleQueue[Incident | Measured]") -> Iterator[Incident | Measured]:
    """What comes within one look of the watchdog."""
    until_s = time.monotonic() + LOOK_S
    while (left_s := until_s - time.monotonic()) > 0:
        try:
            yield said.get(timeout=left_s)
        except queue.Empty:
            return


__all__ = ["Incident", "Measured", "Notice", "NoticeKind", "analyze"]
