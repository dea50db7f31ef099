"""How old the media is that an HLS input begins with."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqa_ray.media.edge import VARIANT, Listed, age_s, parse

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def playlist(*durations: float, date: datetime | None = None, end: bool = False) -> str:
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:6", "#EXT-X-MEDIA-SEQUENCE:7"]
    lines += [f"#EXT-X-PROGRAM-DATE-TIME:{date.isoformat(timespec='milliseconds')}"] if date else []
    for number, duration_s in enumerate(durations):
        lines += [f"#EXTINF:{duration_s:.3f},title, with comma", f"{number}.ts"]
    return "\n".join([*lines, *(["#EXT-X-ENDLIST"] if end else []), ""])


def age(text: str, start_index: int = -1) -> float:
    listed = parse(text)
    assert listed is not None
    return age_s(listed, start_index, NOW.timestamp())


def test_without_a_wall_clock_the_last_segment_was_listed_half_of_its_length_ago():
    assert age(playlist(6, 6, 6, 4)) == 4 + 2
    assert age(playlist(6, 6, 6, 4), start_index=-3) == 6 + 6 + 4 + 2


def test_a_list_shorter_than_the_start_index_is_read_from_its_beginning():
    assert age(playlist(6, 6), start_index=-3) == 6 + 6 + 3


def test_the_wall_clock_of_the_playlist_counts_and_goes_on_by_the_lengths():
    text = playlist(6, 6, 6, date=NOW - timedelta(seconds=25.5))
    assert age(text) == pytest.approx(13.5)
    assert age(text, start_index=-2) == pytest.approx(19.5)


@pytest.mark.parametrize("off_s", [-30.0, 3600.0], ids=["in the future", "an hour ago"])
def test_a_wall_clock_that_cannot_be_ours_is_left_aside(off_s):
    assert age(playlist(6, 6, 6, date=NOW - timedelta(seconds=18 + off_s))) == 6 + 3


def test_a_break_without_a_new_wall_clock_has_none():
    text = playlist(6, 6, date=NOW - timedelta(seconds=20)).replace(
        "#EXTINF:6.000,title, with comma\n1", "#EXT-X-DISCONTINUITY\n#EXTINF:6.000,\n1"
    )
    assert parse(text) == Listed((6.0, 6.0), (NOW.timestamp() - 20, None), False)


def test_a_recording_ends_now_and_is_read_from_its_beginning():
    assert age(playlist(6, 6, 6, date=NOW - timedelta(days=3), end=True)) == 18


@pytest.mark.parametrize("text", ["", "<MPD/>", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv.m3u8\n", "\0\1\2"])
def test_what_lists_no_segment_gives_nothing(text):
    assert parse(text) is None


def test_the_first_variant_of_a_master_playlist_is_found():
    variants = "#EXT-X-STREAM-INF:BANDWIDTH=1\n\n# a note\nhigh/v.m3u8?x=1\n#EXT-X-STREAM-INF:B=2\nlow\n"
    text = f'#EXTM3U\n#EXT-X-MEDIA:URI="a.m3u8"\n{variants}'
    found = VARIANT.search(text)
    assert found is not None
    assert found.group(1) == "high/v.m3u8?x=1"


@pytest.mark.parametrize("length", ["inf", "nan", "-6", "1e99", "six", ""])
def test_a_length_that_is_none_counts_nothing(length):
    assert age(f"#EXTM3U\n#EXTINF:6,\na\n#EXTINF:{length},\nb\n", start_index=-2) == 6


@given(st.text(alphabet=st.sampled_from("#EXTINF:-PROGRAM-DATE-TIME0123456789.,\nats"), max_size=200))
def test_no_text_raises(text):
    listed = parse("#EXTM3U\n" + text)
    assert listed is None or age_s(listed, -3, 0.0) >= 0.0
