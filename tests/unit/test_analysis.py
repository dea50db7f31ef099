"""Detectors, incidents and windows of one stream, without media."""

from datetime import UTC, datetime

import msgspec
import numpy as np

from vqa_ray.core.audio import AudioBlock
from vqa_ray.core.incident import BookState
from vqa_ray.core.notice import NoticeKind
from vqa_ray.core.picture import Picture
from vqa_ray.core.reading import Input, SourceState
from vqa_ray.detectors.registry import by_id
from vqa_ray.pipeline.analysis import Analysis

ORIGIN = datetime(2026, 1, 1, tzinfo=UTC)


def picture(i: int, level: int) -> Picture:
    return Picture(np.full((36, 64), level, np.uint8), at_s=i * 0.04, until_s=(i + 1) * 0.04)


def spec(name: str, **options):
    return msgspec.structs.replace(by_id[name](), **options)


def analysis(*specs, **more) -> Analysis:
    made = Analysis("s", specs, origin_utc=ORIGIN, **more)
    made.connected()
    return made


def test_a_black_stretch_becomes_one_incident_exact_to_the_frame():
    watched = analysis(spec("black", raise_after_s=0.1, clear_after_s=0.1))
    found = [t for i in range(50) for t in watched.feed(picture(i, 16 if 10 <= i < 20 else 120))]
    assert [(kind, i.start_s, i.end_s) for kind, i in found] == [
        (NoticeKind.OPENED, 0.4, None),
        (NoticeKind.CLOSED, 0.4, 0.8),
    ]


def test_root_causes_read_a_frame_before_what_they_hide():
    watched = analysis(spec("freeze"), spec("black"), spec("signal_loss"))
    order = [one.id for one in watched.specs]
    assert order.index("signal_loss") < order.index("black") < order.index("freeze")


def test_items_that_no_detector_reads_cost_nothing_and_say_nothing():
    watched = analysis(spec("black"))
    block = AudioBlock(np.zeros((2, 4800), np.float32), at_s=0, until_s=0.1, rate_hz=48000, channels=("FL", "FR"))
    assert watched.feed(block) == ()
    assert watched.wants == {Input.VIDEO}


def test_readings_and_windows_are_given_out():
    rows, said = [], []
    watched = analysis(spec("null"), on_rows=rows.extend, on_reading=lambda name, reading: said.append(name))
    for i in range(50):
        watched.feed(picture(i, 100))
    watched.flush()
    assert said == ["null"] * 50
    assert [(row.detector, row.count) for row in rows] == [("null", 25), ("null", 25)]


def test_no_signal_is_told_over_reconnects_and_hides_what_was_open():
    watched = analysis(spec("signal_loss", raise_after_s=1.0), spec("black", raise_after_s=0.0))
    watched.feed(SourceState(at_s=0.0, since_s=0.0, silent_s=0.0, state="live"))
    for i in range(25):
        watched.feed(picture(i, 16))
    watched.disconnected()
    found = []
    for second in range(2, 6):
        state = SourceState(at_s=float(second), since_s=1.0, silent_s=second - 1.0, state="backing_off")
        found += watched.feed(state)
    assert [(kind.value, i.detector) for kind, i in found] == [("opened", "signal_loss"), ("closed", "black")]
    assert found[0][1].start_s == 1.0


def test_an_open_incident_goes_on_elsewhere():
    first = analysis(spec("black", raise_after_s=0.1, clear_after_s=0.0))
    opened = [t for i in range(5) for t in first.feed(picture(i, 16))]
    state = msgspec.json.decode(msgspec.json.encode(first.state()), type=BookState)
    second = analysis(spec("black", raise_after_s=0.1, clear_after_s=0.0))
    second.resume(state)
    found = [t for i in range(50, 60) for t in second.feed(picture(i, 16 if i < 55 else 120))]
    assert [kind for kind, _ in found] == [NoticeKind.CLOSED]
    assert found[0][1].incident_id == opened[0][1].incident_id


def test_the_end_of_the_media_closes_everything():
    watched = analysis(spec("black", raise_after_s=0.1))
    for i in range(10):
        watched.feed(picture(i, 16))
    assert [(kind, i.end_s) for kind, i in watched.finish()] == [(NoticeKind.CLOSED, 0.4)]
