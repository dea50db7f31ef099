"""When a fault was: wall-clock times of incidents in live inputs, against the script of their source."""

import time
from datetime import UTC, datetime

import msgspec
import pytest

from vqa_ray.config import LIVE, DetectorSet, StreamSpec
from vqa_ray.detectors.registry import by_id
from vqa_ray.media.synthetic.script import Fault, FaultKind
from vqa_ray.media.synthetic.source import serve
from vqa_ray.pipeline.worker import Worker

SEGMENT_S = 1.0  # of the synthetic HLS source
PROFILE = msgspec.structs.replace(
    LIVE,
    detectors=DetectorSet(
        black=by_id["black"](raise_after_s=0.3, clear_after_s=0.2), signal_loss=by_id["signal_loss"]()
    ),
)


def watch(kind, faults, until_s):
    """What a worker tells of such a source; how far the newest window that it gave out lay in the future, at most."""
    told, ahead = [], [float("-inf")]

    def windows(rows):
        now = datetime.now(UTC)
        ahead[0] = max(ahead[0], *((row.start_utc - now).total_seconds() for row in rows))

    with serve(kind, faults) as source:
        worker = Worker("w", tell=told.append, windows=windows)
        try:
            worker.assign(StreamSpec(id="s", url=source.url), PROFILE, epoch=1)
            while source.now_s < until_s:
                time.sleep(0.05)
        finally:
            worker.stop()
    return source.script, told, ahead[0]


@pytest.mark.parametrize(
    ("kind", "bound_s"),
    [("hls", SEGMENT_S), ("rtsp", 1.0), ("rtmp", 1.5)],  # RTMP begins at a key frame, which may be a second later
)
def test_a_fault_is_dated_when_it_was_sent_though_media_that_had_gathered_is_read_at_once(kind, bound_s):
    script, told, ahead_s = watch(kind, [Fault(FaultKind.BLACK, 12.0, 2.0)], 18.0)
    assert [(one.notice.kind, one.notice.incident.detector) for one in told] == [
        ("opened", "black"),
        ("closed", "black"),
    ]
    closed = told[1].notice.incident
    assert (closed.start_utc - script[0].start_utc).total_seconds() == pytest.approx(0.0, abs=bound_s)
    assert (closed.end_utc - script[0].end_utc).total_seconds() == pytest.approx(0.0, abs=bound_s)
    assert all(one.notice.noticed_utc > one.notice.incident.start_utc for one in told)
    assert ahead_s < SEGMENT_S


def test_hls_that_dies_and_returns_is_dated_as_well_and_time_never_goes_back():
    script, told, ahead_s = watch("hls", [Fault(FaultKind.OUTAGE, 10.0, 4.0), Fault(FaultKind.BLACK, 22.0, 2.0)], 28.0)
    closed = [one.notice.incident for one in told if one.notice.incident.end_utc is not None]
    assert [one.detector for one in closed] == ["signal_loss", "black"]
    assert (closed[0].start_utc - script[0].start_utc).total_seconds() == pytest.approx(0.0, abs=2 * SEGMENT_S)
    assert (closed[1].start_utc - script[1].start_utc).total_seconds() == pytest.approx(0.0, abs=SEGMENT_S)
    assert all(one.start_s <= one.end_s for one in closed)
    assert ahead_s < SEGMENT_S
