"""Detectors, incidents and windows of one stream, without media."""

from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest

from vqa_ray.core.audio import AudioBlock
from vqa_ray.core.notice import NoticeKind
from vqa_ray.core.picture import Picture
from vqa_ray.core.reading import Input, SourceState
from vqa_ray.detectors.registry import by_id
from vqa_ray.pipeline.analysis import MISSED_AT_MOST_S, REHEARSED_S, Analysis, StreamState

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
    assert [(row.detector, row.count) for row in rows if row.detector != "health"] == [("null", 25), ("null", 25)]


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
    state = msgspec.json.decode(msgspec.json.encode(first.state()), type=StreamState)
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


def saved(watched: Analysis, until_s: float) -> StreamState:
    """What a released stream gives to the next owner, as it travels."""
    state = watched.state(until_s, until_s, reached=True)
    return msgspec.json.decode(msgspec.json.encode(state), type=StreamState)


def level(i: int) -> int:
    """Black from frame 60 to 79, still from 100 on."""
    return 16 if 60 <= i < 80 else 100 + (i * 37 % 100 if i < 100 else 0)


@pytest.mark.parametrize("left", [30, 61, 70, 79, 85, 104, 130])
def test_a_rehearsal_goes_on_to_the_frame_where_the_last_owner_stopped(left: int):
    specs = [spec("black", raise_after_s=0.2, clear_after_s=0.2), spec("freeze", raise_after_s=0.5), spec("null")]
    alone_rows, rows = [], []
    alone = analysis(*specs, on_rows=alone_rows.extend)
    expected = [t for i in range(200) for t in alone.feed(picture(i, level(i)))]
    alone.flush()
    first, second = analysis(*specs, on_rows=rows.extend), analysis(*specs, on_rows=rows.extend)
    second.rehearse()
    found, begun, ahead = [], left - 25, left + 12
    for i in range(left):
        found += first.feed(picture(i, level(i)))
    for i in range(begun, ahead):
        assert second.feed(picture(i, level(i))) == ()
    first.flush()
    assert not any(row.epoch for row in rows)
    found += second.take_over(saved(first, left * 0.04), 2)
    for i in range(ahead, 200):
        found += second.feed(picture(i, level(i)))
    second.flush()
    assert found == expected
    assert counts(rows) == counts(alone_rows)


def counts(rows) -> dict[tuple[str, float], int]:
    """Readings by detector and second, whoever made them."""
    total: dict[tuple[str, float], int] = {}
    for row in rows:
        if row.detector != "health":
            total[row.detector, row.start_s] = total.get((row.detector, row.start_s), 0) + row.count
    return total


def test_a_reading_that_begins_in_what_the_last_owner_has_told_is_cut_there():
    first = analysis(spec("null"))
    first.feed(picture(0, 100))
    said = []
    second = analysis(spec("null"), on_reading=lambda name, reading: said.append((reading.at_s, reading.until_s)))
    second.rehearse()
    for n in range(3):
        second.feed(Picture(np.full((36, 64), 90, np.uint8), at_s=n * 0.04 - 0.03, until_s=n * 0.04 + 0.01))
    second.take_over(saved(first, 0.04), 2)
    assert said == [(0.04, 0.05), (0.05, pytest.approx(0.09))]


def test_a_rehearsal_keeps_the_readings_of_the_last_seconds_only():
    watched = analysis(spec("null"))
    watched.rehearse()
    for i in range(1000):
        watched.feed(picture(i, 100))
    assert len(watched._rehearsed or ()) == pytest.approx(REHEARSED_S / 0.04, abs=2)


def test_whole_seconds_that_nobody_analysed_are_windows_of_coverage_0():
    rows = []
    watched = analysis(spec("black"), epoch=3, on_rows=rows.extend)
    watched.missed(10.4, 13.9)
    assert [(r.detector, r.start_s, r.count, r.coverage, r.epoch) for r in rows] == [
        ("not_analysed", 11.0, 0, 0.0, 3),
        ("not_analysed", 12.0, 0, 0.0, 3),
    ]
    rows.clear()
    watched.missed(10.4, 11.1)
    watched.missed(12.0, 11.0)
    assert rows == []
    watched.missed(0.0, 1e6)
    assert len(rows) == MISSED_AT_MOST_S


def test_what_a_detector_says_of_the_source_cuts_off_nothing_that_it_says_of_media():
    loss = spec("signal_loss", raise_after_s=1.0)
    first = analysis(loss)
    first.feed(SourceState(at_s=9.0, since_s=9.0, silent_s=0.0, state="live"))  # the clock is ahead of what has come
    state = saved(first, 5.0)
    assert state.reached == {"signal_loss (lasting)": 9.0}
    second = analysis(loss)
    second.resume(state)
    (watch,) = second._passing
    assert watch.since_s == -float("inf")


class Failing:
    """Stands in for a detector: it fails at these frames."""

    def __init__(self, detector, frames: set[int]) -> None:
        self._detector, self._frames, self._count = detector, frames, 0

    def read(self, item):
        self._count += 1
        if self._count - 1 in self._frames:
            raise ZeroDivisionError("broke")
        return self._detector.read(item)

    def finish(self):
        return self._detector.finish()


def failing(frames: set[int], faults: list[str] | None) -> Analysis:
    """Black and null, of which black fails at these frames it is shown."""
    return analysis(
        spec("black", raise_after_s=0.1, clear_after_s=0.1),
        spec("null"),
        wrap=lambda name, detector: Failing(detector, frames) if name == "black" else detector,
        on_fault=None if faults is None else lambda name, error: faults.append(f"{name}: {error}"),
    )


def test_without_anybody_to_tell_an_error_in_a_detector_goes_on_its_way():
    watched = failing({3}, None)
    with pytest.raises(ZeroDivisionError):
        for i in range(5):
            watched.feed(picture(i, 120))


def test_a_detector_that_fails_is_left_out_and_the_others_go_on():
    faults, said = [], []
    watched = failing({1}, faults)
    watched.listen(lambda name, reading: said.append(name))
    for i in range(20):
        watched.feed(picture(i, 16))
    assert faults == ["black: broke"]
    assert said.count("null") == 20
    assert watched.finish() == []  # what was under way when it failed was too short to tell


def test_a_detector_that_failed_watches_again_once_it_is_mended_and_keeps_what_it_had_open():
    faults: list[str] = []
    watched = failing({10}, faults)
    found = [t for i in range(20) for t in watched.feed(picture(i, 16))]
    assert [(kind, one.start_s) for kind, one in found] == [(NoticeKind.OPENED, 0.0)]
    watched.mend()
    found = [t for i in range(20, 29) for t in watched.feed(picture(i, 16 if i < 25 else 120))]
    assert [(kind, one.start_s, one.end_s) for kind, one in found] == [(NoticeKind.CLOSED, 0.0, 1.0)]


def test_a_new_connection_mends_too():
    faults: list[str] = []
    watched = failing({0}, faults)
    watched.feed(picture(0, 16))
    watched.disconnected()
    watched.connected()
    watched.feed(picture(0, 16))
    assert faults == ["black: broke"] * 2
