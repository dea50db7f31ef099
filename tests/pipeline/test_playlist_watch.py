"""Playlists over loopback: looked at beside the player, within limits, and nothing that may not be opened."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.media_factory import Audio, Video, transport
from tests.media_servers import silent, tcp_server
from tests.unit.test_detector_playlist import text
from vqa_ray.config import DetectorSet, Profile, StreamSpec
from vqa_ray.core.notice import NoticeKind
from vqa_ray.core.reading import PlaylistState
from vqa_ray.core.source import ReconnectOptions
from vqa_ray.detectors.playlist import PlaylistSpec
from vqa_ray.media.live_watch import LIMIT_S, LiveWatch
from vqa_ray.media.manifest_watch import ManifestWatch
from vqa_ray.media.options import SourceOptions
from vqa_ray.media.playlist_watch import PlaylistWatch
from vqa_ray.pipeline.worker import Told, Worker

MASTER = """#EXTM3U
#EXT-X-STREAM-INF:BANDWIDTH=3000000,RESOLUTION=1280x720
high.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=800000,RESOLUTION=640x360
low.m3u8
"""


@contextmanager
def server(answer: Callable[[str], str | bytes | None]) -> Iterator[tuple[str, list[str]]]:
    """Answers paths, None with 404; its URL, and what it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            found = answer(self.path)
            body = found.encode() if isinstance(found, str) else found or b""
            self.send_response(200 if found is not None else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{http.server_port}", asked
    finally:
        http.shutdown()
        http.server_close()


def looked(url: str, seconds: float, kind: type[LiveWatch] = PlaylistWatch) -> list[PlaylistState]:
    watch = kind(url, SourceOptions())
    watch.start()
    time.sleep(seconds)
    assert watch.stop()
    return watch.take()


def short(sequence: int, **kwargs: Any) -> str:
    return text(sequence, **kwargs).replace("TARGETDURATION:4", "TARGETDURATION:1")


def test_the_best_rendition_is_followed_and_another_one_that_is_gone_is_missing():
    began_s = time.monotonic()

    def answer(path: str) -> str | None:
        now = int(time.monotonic() - began_s)
        return {"/m.m3u8": MASTER, "/high.m3u8": short(10 + now)}.get(path)

    with server(answer) as (url, asked):
        found = looked(f"{url}/m.m3u8", 3.6)
    played = [state for state in found if not state.rendition]
    assert len(played) >= 3
    assert not any(state.missing or state.skipped or state.still_s > 1.5 for state in played)
    assert {(state.rendition, state.missing) for state in found if state.rendition} == {("640x360 800k", True)}
    assert asked.count("/m.m3u8") == 1
    assert asked.count("/high.m3u8") <= 5


def test_a_playlist_that_stands_still_and_then_skips_is_seen():
    began_s = time.monotonic()
    with server(lambda path: short(10 if time.monotonic() - began_s < 2.6 else 40)) as (url, _):
        found = looked(f"{url}/live.m3u8", 4.2)
    assert max(state.still_s for state in found) > 1.5
    assert [state.skipped for state in found if state.skipped] == [24]


MANIFEST = """<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="{type}" availabilityStartTime="2024-01-01T00:00:00Z"
 minimumUpdatePeriod="PT1S" timeShiftBufferDepth="PT6S"><Period start="PT0S"><AdaptationSet mimeType="video/mp4">
<SegmentTemplate timescale="1" media="$RepresentationID$/$Time$.m4s"{more}>{timeline}</SegmentTemplate>
<Representation id="high" bandwidth="900" height="720"/><Representation id="low" bandwidth="300" height="360"/>
</AdaptationSet></Period></MPD>"""


def manifest(first: int, *, type: str = "dynamic") -> str:
    """Six segments of a second, from this one on."""
    return MANIFEST.format(
        type=type, more="", timeline=f'<SegmentTimeline><S t="{first}" d="1" r="5"/></SegmentTimeline>'
    )


def test_a_manifest_that_goes_on_is_in_order_and_a_version_without_segments_is_missing():
    began_s = time.monotonic()

    def answer(path: str) -> str | None:
        if path == "/live.mpd":
            return manifest(10 + int(time.monotonic() - began_s))
        return "segment" if path.startswith("/high/") else None

    with server(answer) as (url, _):
        found = looked(f"{url}/live.mpd", 3.6, ManifestWatch)
    played = [state for state in found if not state.rendition]
    assert len(played) >= 2
    assert not any(state.missing or state.skipped for state in played)
    assert {(state.rendition, state.missing) for state in found if state.rendition} == {("video 360p low", True)}


def test_a_manifest_that_stands_still_and_then_skips_is_seen():
    began_s = time.monotonic()

    def answer(path: str) -> str | None:
        return manifest(10 if time.monotonic() - began_s < 2.6 else 40) if path == "/live.mpd" else "segment"

    with server(answer) as (url, _):
        found = looked(f"{url}/live.mpd", 5.2, ManifestWatch)
    assert max(state.still_s for state in found) > 1.0
    assert [state.skipped for state in found if state.skipped] == [24]


def test_a_manifest_of_numbers_stands_still_when_its_segments_are_not_there():
    text = MANIFEST.format(type="dynamic", more=' duration="1"', timeline="").replace("$Time$", "$Number$")
    began_s = time.monotonic()

    def answer(path: str) -> str | None:
        return text if path == "/live.mpd" else "segment" if time.monotonic() - began_s < 1.5 else None

    with server(answer) as (url, _):
        found = [state for state in looked(f"{url}/live.mpd", 5.2, ManifestWatch) if not state.rendition]
    assert found[0].still_s == 0.0
    assert found[-1].still_s > 1.5
    assert not any(state.skipped or state.missing for state in found)


def test_a_manifest_that_is_gone_is_missing_and_one_that_has_ended_is_looked_at_once():
    with server(lambda path: None) as (url, _):
        assert all(state.missing for state in looked(f"{url}/live.mpd", 0.8, ManifestWatch))
    with server(lambda path: manifest(0, type="static")) as (url, asked):
        assert looked(f"{url}/live.mpd", 1.5, ManifestWatch) == []
    assert len(asked) == 1


def test_what_has_ended_is_looked_at_once():
    with server(lambda path: short(10, ended=True)) as (url, asked):
        assert looked(f"{url}/vod.m3u8", 1.5) == []
    assert len(asked) == 2  # as a master, and as itself


def test_what_the_playlist_may_not_name_is_not_opened(tmp_path):
    secret = tmp_path / "secret.m3u8"
    secret.write_text(short(10))
    with server(lambda path: MASTER.replace("high.m3u8", f"file://{secret}")) as (url, _):
        found = looked(f"{url}/m.m3u8", 1.5)
    assert [state for state in found if not state.rendition] == []


def test_a_server_that_is_gone_says_nothing_and_one_that_hangs_holds_nobody_up():
    assert looked("http://127.0.0.1:9/live.m3u8", 1.2) == []
    with tcp_server(silent) as port:
        watch = PlaylistWatch(f"http://127.0.0.1:{port}/live.m3u8", SourceOptions())
        watch.start()
        time.sleep(0.3)
        asked_s = time.monotonic()
        assert watch.stop()
        assert time.monotonic() - asked_s < 2 * LIMIT_S
        assert watch.take() == []


def test_a_stale_playlist_is_an_incident_of_the_stream_over_its_reconnects():
    began_s = time.monotonic()
    segments = [transport(video=Video(gop=25), audio=Audio(), seconds=1.0, offset_s=float(n)) for n in range(20)]

    def answer(path: str) -> str | bytes | None:
        if path.endswith(".ts"):
            return segments[int(path.strip("/.ts")) - 10]
        now_s = time.monotonic() - began_s
        return short(10 + int(min(now_s, 4.0) if now_s < 12.0 else now_s - 8.0), count=6).replace("4.0,", "1.0,")

    told: list[Told] = []
    tested = Profile(
        name="test",
        live=True,
        detectors=DetectorSet(playlist=PlaylistSpec(clear_after_s=0.5)),
        source=SourceOptions(open_timeout_s=4.0, read_timeout_s=2.0),
        reconnect=ReconnectOptions(stall_after_s=0.5, first_delay_s=0.2, max_delay_s=0.4),
    )
    with server(answer) as (url, _):
        worker = Worker("w", tell=told.append)
        try:
            worker.assign(StreamSpec(id="a", url=f"{url}/live.m3u8"), tested, epoch=1)
            deadline_s = began_s + 20.0
            while time.monotonic() < deadline_s and sum(one.notice.incident.part == "stale" for one in told) < 2:
                time.sleep(0.1)
        finally:
            worker.stop(5.0)
    stale = [one.notice for one in told if one.notice.incident.part == "stale"]
    assert [notice.kind for notice in stale] == [NoticeKind.OPENED, NoticeKind.CLOSED]
    assert stale[0].incident.incident_id == stale[1].incident.incident_id
    assert stale[1].incident.end_s - stale[1].incident.start_s == pytest.approx(7.5, abs=2.0)
