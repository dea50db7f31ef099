"""Schemes: what may be opened, and with which options."""

import pytest

from vqa_ray.errors import ForbiddenProtocol, UnsupportedSource
from vqa_ray.media.options import SourceOptions
from vqa_ray.media.playlist import targets
from vqa_ray.media.schemes import PLUMBING, SCHEMES, libav_options, row_of, serves_one, whitelist

OPTIONS = SourceOptions()


@pytest.mark.parametrize("url", ["srt://h:1?passphrase=s3cret", "rist://h:1"])
def test_what_libav_lacks_is_refused_with_what_to_do_instead(url):
    with pytest.raises(UnsupportedSource, match="udp://") as caught:
        row_of(url, OPTIONS, live=True)
    assert "s3cret" not in str(caught.value)


def test_an_unknown_scheme_names_the_known_ones():
    with pytest.raises(UnsupportedSource, match="rtmp"):
        row_of("gopher://h/1", OPTIONS, live=True)


@pytest.mark.parametrize("url", ["/etc/passwd", "file:///etc/passwd", "FILE:/etc/passwd"])
@pytest.mark.parametrize("protocols", [None, ("file", "http")])
def test_a_live_profile_never_opens_a_file_whatever_it_lists(url, protocols):
    with pytest.raises(ForbiddenProtocol):
        row_of(url, SourceOptions(protocols=protocols), live=True)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("udp://127.0.0.1:99999999", "is no address: Port out of range"),
        ("http:/x", "names no host"),
        ("rtmp://", "names no host"),
        ("http://[::1/x", "is no address: Invalid IPv6"),
        ("udp://239.1.1.1", "names no port"),
    ],
)
def test_an_address_that_can_name_nothing_is_refused(url, why):
    with pytest.raises(UnsupportedSource, match=why.replace("[", ".")):
        row_of(url, OPTIONS, live=True)


@pytest.mark.parametrize("url", ["udp://@239.1.1.1:1234", "udp://:5000", "http://${HOST}:${PORT}/x", "https://h/x"])
def test_an_address_that_may_name_something_is_not(url):
    assert row_of(url, OPTIONS, live=True)


@pytest.mark.parametrize(
    "url", ["crypto+file:/etc/passwd", "concat:/etc/passwd", "subfile,,start,0,end,9,,:/etc/passwd"]
)
def test_no_other_name_of_libav_leads_to_a_file(url):
    with pytest.raises((ForbiddenProtocol, UnsupportedSource)):
        row_of(url, OPTIONS, live=True)


@pytest.mark.parametrize("name", sorted(set(SCHEMES) - {"file"}))
def test_no_live_whitelist_holds_a_way_to_local_files(name):
    allowed = set(whitelist(SCHEMES[name], OPTIONS, live=True).split(","))
    assert not allowed & {"file", "subfile", "concat", "concatf", "pipe", "fd", "unix", "async", "cache"}
    assert name in allowed


def test_a_profile_that_allows_https_alone_lets_no_playlist_go_to_http():
    allowed = whitelist(SCHEMES["https"], SourceOptions(protocols=("https",)), live=True).split(",")
    assert "https" in allowed
    assert "http" not in allowed


def test_the_whitelist_cannot_be_overridden_by_options():
    options = SourceOptions(options={"protocol_whitelist": "file,http", "probesize": "1000"})
    chosen = libav_options("http://h/a.m3u8", options, live=True)
    assert "file" not in chosen["protocol_whitelist"]
    assert chosen["probesize"] == "1000"


@pytest.mark.parametrize("url", ["http://h/a.ts", "udp://h:1", "rtmp://h/a/b", "rtsp://h/a", "tcp://h:1", "rtp://h:1"])
def test_every_network_scheme_gets_its_own_time_limit(url):
    chosen = libav_options(url, SourceOptions(read_timeout_s=3.0), live=True)
    assert "3000000" in (chosen.get("rw_timeout"), chosen.get("timeout"))


def test_rtsp_takes_the_transport_asked_for():
    assert libav_options("rtsp://h/a", OPTIONS, live=True)["rtsp_transport"] == "tcp"
    assert libav_options("rtsp://h/a", SourceOptions(rtsp_transport="udp"), live=True)["rtsp_transport"] == "udp"


def test_every_scheme_needs_what_libav_knows_by_name():
    for name, row in SCHEMES.items():
        assert name in row.needs
        assert set(row.needs) <= set(SCHEMES) | PLUMBING | {"rtcp", "srtp", "rtmpt", "rtmpts"}


def test_targets_of_playlists_and_manifests_are_found():
    hls = '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="k.bin"\n#EXTINF:2,\nfile:///a.ts\n# note\n b.ts \n'
    assert targets(hls) == ["k.bin", "file:///a.ts", "b.ts"]
    dash = '<MPD><BaseURL> file:///v/ </BaseURL><SegmentTemplate media="$Number$.m4s" initialization="i.mp4"/></MPD>'
    assert targets(dash) == ["file:///v/", "$Number$.m4s", "i.mp4"]
    assert targets("something else") == []


def test_a_live_stream_is_not_kept_waiting_while_its_rate_is_measured_and_a_file_is_looked_at_in_full():
    assert int(libav_options("rtmp://h/a/b", OPTIONS, live=True)["fpsprobesize"]) < 20  # libav's own
    assert "fpsprobesize" not in libav_options("/a.ts", OPTIONS, live=False)
    mine = SourceOptions(options={"fpsprobesize": "20"})
    assert libav_options("rtmp://h/a/b", mine, live=True)["fpsprobesize"] == "20"


@pytest.mark.parametrize(
    ("url", "options", "one"),
    [
        ("http://h/live.ts", {}, False),
        ("rtsp://h/live", {}, False),
        ("rtsp://h/live", {"single_client": True}, True),
        ("udp://239.1.2.3:5000", {}, False),
        ("udp://@239.1.2.3:5000", {}, False),
        ("udp://127.0.0.1:5000", {}, True),
        ("udp://0.0.0.0:5000", {"single_client": False}, False),
        ("rtp://host.example:5000", {}, True),
        ("rtmp://0.0.0.0/live/key", {"listen": True}, True),
        ("udp://[::1", {}, True),
    ],
)
def test_whether_a_source_serves_one_client_is_told_by_its_url_or_by_the_option(url, options, one):
    assert serves_one(url, SourceOptions(**options)) is one
