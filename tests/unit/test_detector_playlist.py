"""Live HLS playlists: what they say from look to look, and what is wrong with that."""

import pytest

from tests.pictures import readings
from vqa_ray.core.hold import Edge, Hold
from vqa_ray.core.reading import PlaylistState
from vqa_ray.detectors.playlist import PlaylistSpec
from vqa_ray.media.playlist_state import Follower, Listed, listed, renditions
from vqa_ray.pipeline.analysis import rule_of

TARGET_S = 4.0


def text(sequence: int, count: int = 6, *, ended: bool = False) -> str:
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:4", f"#EXT-X-MEDIA-SEQUENCE:{sequence}"]
    lines += [line for n in range(count) for line in ("#EXTINF:4.0,", f"{sequence + n}.ts")]
    return "\n".join([*lines, *["#EXT-X-ENDLIST"] * ended])


def looks(ends: list[int], step_s: float = TARGET_S) -> list[PlaylistState]:
    """A look each target duration, at playlists that end before these numbers."""
    follower, found = Follower(), []
    for n, end in enumerate(ends):
        advance = follower.step(Listed(end - 6, 6, TARGET_S, False), n * step_s)
        found.append(
            PlaylistState(n * step_s, (n - 1) * step_s, "", TARGET_S, advance.still_s, advance.skipped, False, 0.1)
        )
    return found


def spans(states: list[PlaylistState], part: str, **options: float) -> list[tuple[float, float]]:
    spec = PlaylistSpec(clear_after_s=0.0, **options)
    hold, found = Hold(rule_of(spec), part), []
    for reading in readings(spec.build_lasting(), states):
        if reading.part == part and Edge.CLOSED in hold.step(reading):
            found.append((hold.start_s, hold.end_s))
    return found


def test_a_playlist_is_read():
    assert listed(text(17)) == Listed(17, 6, 4.0, False)
    assert listed(text(17, ended=True)) == Listed(17, 6, 4.0, True)
    for other in ("", "<html>", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8", text(1).replace(":4\n", ":x\n")):
        assert listed(other) is None


def test_a_master_playlist_names_its_renditions_best_first_and_each_once():
    master = """#EXTM3U
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="English, stereo",URI="en/a.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=800000,RESOLUTION=640x360,CODECS="avc1,mp4a",AUDIO="a"
low/v.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=3000000,RESOLUTION=1280x720,AUDIO="a"

# a comment
https://cdn.example/high.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=800000,RESOLUTION=640x360,AUDIO="b"
low/v.m3u8
"""
    found = renditions(master, "http://host/x/master.m3u8?k=1")
    assert [(one.name, one.url) for one in found] == [
        ("1280x720 3000k", "https://cdn.example/high.m3u8"),
        ("640x360 800k", "http://host/x/low/v.m3u8"),
        ("audio English, stereo", "http://host/x/en/a.m3u8"),
    ]
    assert renditions(text(3), "http://host/a.m3u8") == []


def test_a_playlist_that_advances_is_fine_in_every_part():
    found = readings(PlaylistSpec().build_lasting(), looks([6, 7, 8, 8, 9, 11, 11, 12]))
    assert not any(reading.bad for reading in found)
    assert {reading.part for reading in found} == {"stale", "sequence", "missing", "slow"}


def test_a_playlist_that_stands_still_is_stale_from_when_the_next_segment_was_due():
    ends = [6, 7, 8, *[8] * 5, 9, 10]  # the last one comes by 8 s, the next one between 28 s and 32 s
    assert spans(looks(ends), "stale") == [(12.0, 28.0)]
    assert spans(looks(ends), "stale", stale_targets=8.0) == []
    assert spans(looks([6, 7, 8, 8, 8, 8, 9, 10]), "stale") == []  # just three
    assert spans(looks(ends), "sequence") == []


def test_segments_that_were_never_listed_are_skipped_and_what_we_did_not_look_at_is_not():
    assert spans(looks([6, 7, 8, 20, 21, 22]), "sequence") == [(8.0, 12.0)]
    assert spans(looks([6, 7, 8, 12, 13, 14]), "sequence") == []  # in a burst, but all were listed
    assert spans(looks([6, 12, 18, 24], step_s=24.0), "sequence") == []


def test_numbers_that_go_back_are_told_once():
    assert spans(looks([106, 107, 6, 7, 8]), "sequence") == [(4.0, 8.0)]


def test_a_missing_rendition_has_its_name_and_slow_answers_count_against_the_target_duration():
    states = [PlaylistState(4.0 * n, 4.0 * n - 4.0, "640x360", 4.0, 0.0, 0, 2 <= n < 4, 0.1) for n in range(6)]
    assert spans(states, "missing 640x360") == [(4.0, 12.0)]
    slow = [PlaylistState(4.0 * n, 4.0 * n - 4.0, "", 4.0, 0.0, 0, False, 2.5 if n == 2 else 0.1) for n in range(6)]
    assert spans(slow, "slow") == [(4.0, 8.0)]
    assert spans(slow, "slow", slow_targets=1.0) == []


@pytest.mark.parametrize("hostile", ["-5", "9" * 400, ""])
def test_numbers_that_are_none_do_not_raise(hostile):
    assert listed(text(1).replace("SEQUENCE:1", f"SEQUENCE:{hostile}")) == Listed(0, 6, 4.0, False)
