"""Schemes: what may be opened, and with which options."""

import pytest

from vqa_ray.errors import ForbiddenProtocol, UnsupportedSource
from vqa_ray.media.options import SourceOptions
from vqa_ray.media.playlist import targets
from vqa_ray.media.schemes import PLUMBING, SCHEMES, libav_options, row_of, whitelist

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
