"""Sync of one input against another of the same programme: what `vqa sync` and `vqa_ray.sync` do."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import msgspec

from vqa_ray.config import LIVE, QC, Profile
from vqa_ray.core.audio import AudioBlock
from vqa_ray.core.picture import Picture
from vqa_ray.core.timeline import Timeline
from vqa_ray.core.urls import redact
from vqa_ray.detectors.reference.fingerprint import Fingerprint
from vqa_ray.detectors.reference.verdict import RANGE_S, Aligned, Marks, Verdict, judge, marks
from vqa_ray.errors import NotMedia, SourceError
from vqa_ray.media.source import Connection, EndOfMedia, is_live, open_source

DURATION_S = 60.0
TOLERANCE_MS = 40.0  # EBU R37: 40 ms early to 60 ms late, from end to end
DRIFT_MS_PER_MIN = 20.0
_RANGE_MS = round(RANGE_S * 1000)


class SyncPiece(msgspec.Struct, frozen=True):
    """Five seconds of the output around `at_s`, and by how much its sound comes late there."""

    at_s: float
    offset_ms: float
    sureness: float


class Sync(msgspec.Struct, frozen=True, kw_only=True):
    """The sync error of an output against its reference, which is taken to be in sync.

    offset_ms: positive when the sound of the output comes late, None where nothing in common was found; worst_ms: where
    it is worst; drift_ms_per_min: None of less than about 40 s, or of a step; delay_ms: of the output's picture behind
    the reference's, each counted from its own beginning. sureness: see `detectors.reference.verdict`; sure: whether it
    is enough. pieces: those that are sure by themselves, in time order. compared_s: seconds that each was listened to.
    """

    measure: str = "sync"
    trust: str = "reference"
    range_ms: tuple[int, int] = (-_RANGE_MS, _RANGE_MS)
    offset_ms: float | None = None
    worst_ms: float | None = None
    drift_ms_per_min: float | None = None
    delay_ms: float | None = None
    sureness: float = 0.0
    sure: bool = False
    pieces: tuple[SyncPiece, ...] = ()
    compared_s: tuple[float, float] = (0.0, 0.0)

    def within(self, tolerance_ms: float, drift_ms_per_min: float = DRIFT_MS_PER_MIN) -> bool:
        """Whether it is sure, nowhere off by more than the tolerance, and does not drift."""
        calm = self.drift_ms_per_min is None or abs(self.drift_ms_per_min) <= drift_ms_per_min
        return self.sure and self.worst_ms is not None and abs(self.worst_ms) <= tolerance_ms and calm


def sync(
    reference: str, output: str, *, duration_s: float = DURATION_S, profiles: tuple[Profile, Profile] | None = None
) -> Sync:
    """Compare two inputs of one programme, both at the same time: `duration_s` of each from where it begins.

    Files are read as fast as possible. Live inputs may be delayed against each other by all but some seconds of the
    duration. Range of the error ±5 s. profiles: by which the two are opened. Raises SourceError when one cannot be
    opened, breaks off within the first seconds, or holds no picture or no sound.
    """
    chosen = profiles or (_default(reference), _default(output))
    stopping = threading.Event()
    with ThreadPoolExecutor(2, thread_name_prefix="sync") as pool:
        listening = [
            pool.submit(_listen, url, profile, duration_s, stopping)
            for url, profile in zip((reference, output), chosen, strict=True)
        ]
        try:
            heard = [one.result() for one in listening]
        finally:
            stopping.set()  # at its next packet
    return _told(judge(*heard), (heard[0].seconds, heard[1].seconds))


def _default(url: str) -> Profile:
    return LIVE if is_live(url) else QC


def _told(verdict: Verdict, compared_s: tuple[float, float]) -> Sync:
    best, worst = verdict.best, verdict.worst
    rounded = (round(compared_s[0], 2), round(compared_s[1], 2))
    if best is None or worst is None:
        return Sync(compared_s=rounded)
    drift = verdict.drift_ms_per_min
    return Sync(
        offset_ms=_ms(best.offset_s),
        worst_ms=_ms(worst.offset_s),
        drift_ms_per_min=None if drift is None else round(drift, 1),
        delay_ms=_ms(best.delay_s),
        sureness=round(best.sureness, 2),
        sure=best.sure,
        pieces=tuple(map(_piece, verdict.pieces)),
        compared_s=rounded,
    )


def _piece(piece: Aligned) -> SyncPiece:
    return SyncPiece(round(piece.at_s, 2), _ms(piece.offset_s), round(piece.sureness, 2))


def _ms(seconds: float) -> float:
    return round(seconds * 1000.0, 1) + 0.0  # no negative zero


def _listen(url: str, profile: Profile, duration_s: float, stopping: threading.Event) -> Marks:
    """The changes of picture and sound of one input."""
    live, timeline = is_live(url), Timeline()
    timeline.connect(0.0)
    with closing(open_source(url, profile.source, timeline, live=live)) as connection:
        for what, track in (("picture", connection.info.video), ("sound", connection.info.audio)):
            if track is None:
                raise NotMedia(f"{redact(url)}: holds no {what}, so there is no sync to measure")
        return marks(_taken(connection, duration_s, live, stopping))


def _taken(connection: Connection, duration_s: float, live: bool, stopping: threading.Event) -> Fingerprint:
    """`duration_s` of it: of a file in its own time, of a live input by the clock."""
    taken, until_s = Fingerprint(), time.monotonic() + duration_s
    while not stopping.is_set():
        try:
            items = connection.read()
        except EndOfMedia:
            break
        except SourceError:
            if taken.seconds < 0.5 * duration_s:
                raise
            break
        for item in items:
            if isinstance(item, Picture | AudioBlock):
                taken.take(item)
        if time.monotonic() >= until_s if live else taken.seconds >= duration_s:
            break
    return taken
