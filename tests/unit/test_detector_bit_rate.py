"""Bit rate: seconds by each track's own time, limits, and what is usual in a stream."""

from collections.abc import Callable, Iterator

import pytest

from tests.pictures import incidents, readings
from vqa_ray.core.reading import Continuity, PacketInfo
from vqa_ray.detectors.bit_rate import BitRateSpec


def packet(kind: str, at_s: float | None, size: int) -> PacketInfo:
    return PacketInfo(kind, int(kind == "audio"), at_s, 0.04, at_s, size, False, False, Continuity.STEADY, 0.0, 0.0)


def stream(
    seconds: float, video: Callable[[float], int], audio: int = 640, start_s: float = 7.3
) -> Iterator[PacketInfo]:
    """25 packets a second of each; sound is 0.2 s ahead."""
    for n in range(round(seconds * 25)):
        yield packet("video", start_s + n / 25, video(n / 25))
        yield packet("audio", start_s + 0.2 + n / 25, 640)


def test_each_whole_second_is_told_of_picture_sound_and_both() -> None:
    found = readings(BitRateSpec().build(), stream(5.5, lambda at_s: 5000))
    video = [r for r in found if r.part == "video"]
    assert [r.value for r in video] == pytest.approx([1000.0] * 5)
    assert [r.value for r in found if r.part == "audio"] == pytest.approx([128.0] * 5)
    assert [r.value for r in found if r.part == "total"][1:] == pytest.approx([1128.0] * 4, rel=0.02)
    assert [round(r.at_s, 3) for r in video] == [7.3, 8.3, 9.3, 10.3, 11.3]
    assert not any(r.bad for r in found)


def test_a_collapse_to_next_to_nothing_is_an_incident_and_a_quiet_scene_is_none() -> None:
    def rate(at_s: float) -> int:
        return 20 if 40.0 <= at_s < 50.0 else 300 if 60.0 <= at_s < 70.0 else 5000

    ((start_s, end_s),) = incidents(BitRateSpec(), stream(90.0, rate), "video")
    assert (start_s, end_s) == (pytest.approx(47.3), pytest.approx(57.3))


def test_nothing_is_usual_in_the_first_seconds() -> None:
    assert incidents(BitRateSpec(), stream(30.0, lambda at_s: 10 if 10.0 <= at_s < 18.0 else 5000), "video") == []


def test_spikes_count_where_they_are_asked_for() -> None:
    def rate(at_s: float) -> int:
        return 50_000 if 40.0 <= at_s < 48.0 else 5000

    assert incidents(BitRateSpec(), stream(60.0, rate), "video") == []
    assert incidents(BitRateSpec(spike_factor=4.0), stream(60.0, rate), "video") == [(47.3, 55.3)]


def test_limits_hold_for_picture_and_sound_together() -> None:
    def rate(at_s: float) -> int:
        return 2000 if 10.0 <= at_s < 20.0 else 5000

    assert incidents(BitRateSpec(min_kbps=800.0), stream(30.0, rate), "total") == [(17.3, 27.3)]
    assert incidents(BitRateSpec(min_kbps=800.0), stream(30.0, rate), "video") == []
    ((start_s, _),) = incidents(BitRateSpec(max_kbps=800.0), stream(30.0, rate), "total")[:1]
    assert start_s == pytest.approx(7.3)


def test_a_gap_is_no_collapse_and_packets_without_a_time_count_where_they_come() -> None:
    items = [one for one in stream(60.0, lambda at_s: 5000) if not 40.0 <= (one.at_s or 0.0) < 52.0]
    items.insert(100, packet("video", None, 5000))
    found = readings(BitRateSpec().build(), items)
    assert incidents(BitRateSpec(), items, "video") == []
    assert max(r.value for r in found if r.part == "video") == pytest.approx(1040.0)
