"""DASH manifests: which segments there are now."""

import pytest

from vqa_ray.errors import NotMedia, UnsupportedSource
from vqa_ray.media.manifest import parse

HEAD = '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" '
VIDEO = '<AdaptationSet mimeType="video/mp4">{}<Representation id="v" bandwidth="900"/></AdaptationSet>'


def manifest(attributes: str, body: str, now_s: float = 0.0):
    return parse(f"{HEAD}{attributes}>{body}</MPD>".encode(), now_s)


def urls(found, kind="video"):
    return [segment.url for segment in found.segments[kind]]


def test_a_timeline_gives_each_segment_its_number_and_time():
    template = (
        '<SegmentTemplate timescale="10" startNumber="5" media="$RepresentationID$/$Number%03d$-$Time$.m4s" '
        'initialization="$RepresentationID$/i.mp4"><SegmentTimeline><S t="100" d="20" r="1"/><S d="30"/>'
        "</SegmentTimeline></SegmentTemplate>"
    )
    found = manifest('type="static" mediaPresentationDuration="PT7S"', f"<Period>{VIDEO.format(template)}</Period>")
    assert urls(found) == ["v/005-100.m4s", "v/006-120.m4s", "v/007-140.m4s"]
    assert [segment.duration_s for segment in found.segments["video"]] == [2.0, 2.0, 3.0]
    assert {segment.header for segment in found.segments["video"]} == {"v/i.mp4"}
    assert not found.dynamic


def test_a_live_manifest_with_numbers_gives_those_that_are_whole_by_now():
    template = '<SegmentTemplate timescale="1" duration="4" startNumber="1" media="$Number$.m4s"/>'
    attributes = (
        'type="dynamic" availabilityStartTime="2024-01-01T00:00:00Z" timeShiftBufferDepth="PT12S" '
        'minimumUpdatePeriod="PT3S"'
    )
    start_s = 1_704_067_200.0
    found = manifest(attributes, f'<Period start="PT0S">{VIDEO.format(template)}</Period>', start_s + 41.0)
    assert urls(found) == ["8.m4s", "9.m4s", "10.m4s"]
    assert (found.dynamic, found.update_s) == (True, 3.0)


def test_a_recording_with_numbers_has_as_many_as_its_length_needs():
    template = '<SegmentTemplate timescale="1000" duration="4000" media="$Number$.m4s"/>'
    found = manifest('mediaPresentationDuration="PT10S"', f"<Period>{VIDEO.format(template)}</Period>")
    assert urls(found) == ["1.m4s", "2.m4s", "3.m4s"]


def test_the_best_of_each_kind_is_taken_and_base_urls_are_joined():
    body = (
        "<BaseURL>http://cdn/x/</BaseURL><Period><BaseURL>p/</BaseURL><AdaptationSet contentType='video'>"
        "<Representation id='1' bandwidth='10'><BaseURL>low.mp4</BaseURL></Representation>"
        "<Representation id='2' bandwidth='20'><BaseURL>high.mp4</BaseURL></Representation></AdaptationSet>"
        "<AdaptationSet mimeType='audio/mp4'><Representation bandwidth='1'><BaseURL>a.mp4</BaseURL></Representation>"
        "</AdaptationSet></Period>"
    )
    found = manifest('mediaPresentationDuration="PT1M0.5S"', body)
    assert urls(found) == ["http://cdn/x/p/high.mp4"]
    assert urls(found, "audio") == ["http://cdn/x/p/a.mp4"]
    assert found.segments["video"][0].duration_s == 60.5


def test_an_endless_repetition_reaches_to_the_end_of_the_period():
    template = (
        '<SegmentTemplate timescale="1" media="$Time$.m4s"><SegmentTimeline><S t="0" d="2" r="-1"/></SegmentTimeline>'
        "</SegmentTemplate>"
    )
    found = manifest('mediaPresentationDuration="PT8S"', f"<Period>{VIDEO.format(template)}</Period>")
    assert urls(found) == ["0.m4s", "2.m4s", "4.m4s", "6.m4s"]


def test_encrypted_media_is_refused_with_what_to_do():
    body = f"<Period>{VIDEO.format('<ContentProtection/><BaseURL>a.mp4</BaseURL>')}</Period>"
    with pytest.raises(UnsupportedSource, match="encrypted"):
        manifest("", body)


@pytest.mark.parametrize(
    "text", [b"", b"no xml", b"<smil/>", b'<!DOCTYPE a [<!ENTITY b "c">]><MPD/>', b"<MPD", b'<MPD type="dynamic"/>']
)
def test_what_is_no_manifest_is_told_so_or_is_empty(text):
    try:
        found = parse(text, 0.0)
    except NotMedia:
        return
    assert not any(found.segments.values())
