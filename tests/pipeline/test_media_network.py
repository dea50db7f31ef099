"""Network inputs on loopback: that they come in, and that nothing they do hangs us or opens what it may not."""

import contextlib
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.media_factory import Audio, Video, joined, luma_of, make, packets_of, pid_of, transport
from tests.media_servers import (
    ended,
    free_port,
    http_answer,
    http_folder,
    pusher,
    reset,
    silent,
    tcp_server,
    udp_sender,
)
from vqa_ray.core.audio import AudioBlock
from vqa_ray.core.batch import SMALLEST, STEPS, Batch
from vqa_ray.core.picture import Picture
from vqa_ray.core.reading import TransportFault
from vqa_ray.core.timeline import Timeline
from vqa_ray.errors import ForbiddenProtocol, NotMedia, SourceError, SourceUnavailable
from vqa_ray.media.source import Connection, EndOfMedia, SourceOptions, open_source

LIMIT_S = 1.0
SLACK_S = 1.5  # of a busy machine

NOISE = np.random.default_rng(3).integers(0, 60, (4, 96, 160), dtype=np.uint8)


def noisy(number: int, width: int, height: int) -> np.ndarray:
    return luma_of(number, width, height) // 2 + NOISE[number % 4]


@pytest.fixture(scope="module")
def media() -> bytes:
    return transport(video=Video(bframes=2, luma=noisy), audio=Audio(), seconds=4.0)


def connect(url: str, *, live: bool = True, now_s: float = 0.0, **options: Any) -> Connection:
    timeline = Timeline()
    timeline.connect(now_s)
    limits = {"open_timeout_s": LIMIT_S, "read_timeout_s": LIMIT_S} | options
    return open_source(url, SourceOptions(**limits), timeline, live=live)


def read_until(connection: Connection, enough: Callable[[list[Any]], bool] = lambda items: False) -> list[Any]:
    """Items until there are enough, or the source ends; closes the connection unless it broke."""
    items: list[Any] = []
    try:
        while not enough(items):
            items += connection.read()
    except EndOfMedia:
        pass
    connection.close()
    return items


def read_until_broken(connection: Connection) -> list[Any]:
    """Items until the source breaks off, which it must say in time."""
    items, asked_s = [], time.monotonic()
    try:
        while True:
            asked_s = time.monotonic()
            items += connection.read()
    except SourceUnavailable:
        assert time.monotonic() - asked_s < LIMIT_S + SLACK_S
    connection.close()
    return items


def pictures(items: list[Any]) -> list[Picture]:
    return [item for item in items if isinstance(item, Picture)]


def refused(url: str, error: type[SourceError] = SourceUnavailable, **options: Any) -> str:
    began_s = time.monotonic()
    with pytest.raises(error) as caught:
        read_until(connect(url, **options))
    assert time.monotonic() - began_s < options.get("open_timeout_s", LIMIT_S) + SLACK_S
    return str(caught.value)


HANGING = [
    "http://ann:s3cret@127.0.0.1:{}/a.ts?token=s3cret",
    "http://ann:s3cret@127.0.0.1:{}/a.m3u8",
    "http://ann:s3cret@127.0.0.1:{}/a.mpd",
    "https://ann:s3cret@127.0.0.1:{}/a.ts",
    "rtmp://ann:s3cret@127.0.0.1:{}/live/s3cret-stream-key",
    "rtsp://ann:s3cret@127.0.0.1:{}/a",
    "tcp://127.0.0.1:{}",
]


@pytest.mark.parametrize("url", HANGING)
def test_a_server_that_accepts_and_says_nothing_is_given_up_in_time(url):
    with tcp_server(silent) as port:
        message = refused(url.format(port))
    assert "s3cret" not in message
    assert str(port) in message


@pytest.mark.parametrize("url", HANGING)
def test_a_server_that_resets_is_told_as_unavailable(url):
    with tcp_server(reset) as port:
        assert "s3cret" not in refused(url.format(port))


@pytest.mark.parametrize("url", HANGING)
def test_a_port_where_nobody_listens_is_told_as_unavailable(url):
    assert "refused" in refused(url.format(free_port()))


@pytest.mark.parametrize("url", ["udp://127.0.0.1:{}", "rtp://127.0.0.1:{}"])
def test_silence_on_udp_is_given_up_in_time(url):
    refused(url.format(free_port()))


@pytest.mark.parametrize("url", ["rtmp://127.0.0.1:{}/live/a", "rtsp://127.0.0.1:{}/a", "tcp://127.0.0.1:{}"])
def test_nobody_pushing_to_where_we_listen_is_given_up_in_time(url):
    refused(url.format(free_port()), listen=True)


def test_a_transport_stream_over_http_comes_whole_and_ends(media):
    with tcp_server(http_answer(media, ended)) as port:
        items = read_until(connect(f"http://127.0.0.1:{port}/live", now_s=100.0))
    shown = pictures(items)
    assert len(shown) == 100
    assert 100.0 <= shown[0].at_s < 102.0
    assert shown[-1].until_s - shown[0].at_s == pytest.approx(4.0, abs=0.01)
    assert sum(isinstance(item, AudioBlock) for item in items) == 41
    faults = [item for item in items if isinstance(item, TransportFault)]
    assert faults
    assert not any(fault.errors for fault in faults)


@pytest.mark.parametrize("then", [silent, reset])
@pytest.mark.parametrize("url", ["http://127.0.0.1:{}/a.ts", "http://127.0.0.1:{}/a.mkv"])
def test_a_server_that_dies_in_mid_stream_is_told_in_time(tmp_path, media, url, then):
    data = media
    if url.endswith("mkv"):
        make(tmp_path / "a.mkv", video=Video(), audio=Audio(), seconds=4.0)
        data = (tmp_path / "a.mkv").read_bytes()
        data = data[: len(data) * 3 // 4]
    with tcp_server(http_answer(data, then)) as port:
        items = read_until_broken(connect(url.format(port)))
    assert len(pictures(items)) > 50


def told_of(items: list[Any]) -> list[tuple[Any, ...]]:
    """What can be compared between two connections: what lies between times, not the times."""
    shown = [("picture", one.key, one.leap, bytes(one.luma[0]), one.change) for one in pictures(items)]
    return shown + [("sound", one.levels) for one in items if isinstance(one, AudioBlock)]


def read_in(batch: Batch, url: str) -> list[list[Any]]:
    """What each read gives, by what can be compared; pictures are looked at before the next read."""
    connection, reads = connect(url), []
    connection.batch = batch
    with contextlib.suppress(EndOfMedia):
        while True:
            reads.append(told_of(connection.read()))
    connection.close()
    return reads


@pytest.mark.parametrize("batch", [step for _, step in STEPS[1:]])
def test_what_is_taken_in_batches_is_what_comes_one_by_one(media, batch):
    with tcp_server(http_answer(media, ended)) as port:
        one_by_one, together = (read_in(taken, f"http://127.0.0.1:{port}/live") for taken in (SMALLEST, batch))
    for kind, count in (("picture", 100), ("sound", 41)):
        whole = [one for read in one_by_one for one in read if one[0] == kind]
        found = [one for read in together for one in read if one[0] == kind]
        assert len(whole) == count
        assert [one[:4] for one in found] == [one[:4] for one in whole]
        if kind == "picture":
            assert [one[4] for one in found] == pytest.approx([one[4] for one in whole], abs=1e-3)
    assert max(sum(one[0] == "picture" for one in read) for read in together) == 1


def test_a_slow_source_is_not_waited_for_until_a_batch_is_full():
    slow = transport(video=Video(rate=2, gop=1), seconds=12.0)
    port = free_port()
    with udp_sender(slow, port, 12.0):
        connection = connect(f"udp://127.0.0.1:{port}", open_timeout_s=10.0, read_timeout_s=3.0)
        connection.batch = Batch(8, 0.16)
        came: list[float] = []
        while len(came) < 12:
            came += [time.monotonic() for _ in pictures(connection.read())]
        connection.close()
    later = [at_s for at_s in came if at_s > came[0] + 0.3]  # the first were kept while libav looked at them
    assert len(later) > 4  # so that more than four at once would show
    assert all(later[n + 4] - later[n] > 0.3 for n in range(len(later) - 4))


def test_another_codec_in_mid_stream_is_decoded_over_the_net_too(media):
    other = transport(video=Video("mpeg2video", size=(320, 240)), audio=Audio("mp2"), seconds=2.0, offset_s=4.0)
    with tcp_server(http_answer(joined(media, other))) as port:
        items = read_until(connect(f"http://127.0.0.1:{port}/a.ts", open_timeout_s=5.0))
    shapes = [picture.luma.shape for picture in pictures(items)]
    assert shapes.count((96, 160)) >= 97
    assert shapes.count((240, 320)) >= 47
    faults = [item for item in items if isinstance(item, TransportFault) and item.errors]
    assert not faults


def test_what_is_no_media_over_http_is_told_so():
    with tcp_server(http_answer(b"<html>" + b"no media here " * 900, kind="text/html")) as port:
        refused(f"http://127.0.0.1:{port}/live", NotMedia)


def test_a_matroska_stream_without_a_suffix_is_opened_without_the_look_at_its_bytes(tmp_path):
    make(tmp_path / "a.mkv", video=Video(), seconds=2.0)
    with tcp_server(http_answer((tmp_path / "a.mkv").read_bytes())) as port:
        connection = connect(f"http://127.0.0.1:{port}/live")
        assert "matroska" in connection.info.format
        assert len(pictures(read_until(connection))) == 50


def test_udp_comes_in_and_its_losses_are_told_and_its_end_noticed(media):
    video = [n for n, packet in enumerate(packets_of(media)) if pid_of(packet) == 256]
    lost = set(video[len(video) * 3 // 4 :][:4])
    data = b"".join(packet for n, packet in enumerate(packets_of(media)) if n not in lost)
    port = free_port()
    with udp_sender(data, port, 2.0):
        items = read_until_broken(connect(f"udp://127.0.0.1:{port}", open_timeout_s=4.0))
    assert len(pictures(items)) > 80
    errors = [item for item in items if isinstance(item, TransportFault) and item.errors]
    assert {fault.pid for fault in errors} == {256}
    first = next(item for item in items if isinstance(item, Picture))
    assert errors[0].at_s - first.at_s == pytest.approx(3.0, abs=0.6)


def test_multicast_comes_in(media):
    port = free_port()
    with udp_sender(media, port, 2.0, host="239.255.77.7"):
        connection = connect(f"udp://239.255.77.7:{port}?localaddr=127.0.0.1", open_timeout_s=4.0)
        assert len(pictures(read_until(connection, lambda items: len(pictures(items)) >= 20))) >= 20


def test_datagrams_that_are_no_transport_stream_are_told_so():
    port = free_port()
    with udp_sender(b"\x80\x21" + bytes(40_000), port, 1.0, size=1000):
        assert "rtp://" in refused(f"udp://127.0.0.1:{port}", NotMedia, open_timeout_s=4.0)


@pytest.mark.parametrize(
    ("scheme", "path", "container"), [("rtmp", "/live/a", "flv"), ("rtsp", "/a", "rtsp"), ("tcp", "", "mpegts")]
)
def test_a_sender_that_pushes_is_taken_where_we_listen(tmp_path, scheme, path, container):
    make(tmp_path / "a.mp4", video=Video(gop=10), audio=Audio(), seconds=20.0)
    url = f"{scheme}://127.0.0.1:{free_port()}{path}"
    if scheme == "tcp":
        make(tmp_path / "a.ts", video=Video(gop=10), audio=Audio(), seconds=20.0)
    with pusher(tmp_path / ("a.ts" if scheme == "tcp" else "a.mp4"), url, container):
        connection = connect(url, listen=True, open_timeout_s=8.0)
        assert connection.info.video.codec == "h264"
        items = read_until(connection, lambda items: len(pictures(items)) >= 30)
    assert any(isinstance(item, AudioBlock) for item in items)


def test_transport_streams_in_rtp_come_in(tmp_path):
    make(tmp_path / "a.ts", video=Video(gop=10), audio=Audio(), seconds=20.0)
    url = f"rtp://127.0.0.1:{free_port() // 2 * 2}"
    with pusher(tmp_path / "a.ts", url, "rtp_mpegts"):
        connection = connect(url, open_timeout_s=8.0)
        assert len(pictures(read_until(connection, lambda items: len(pictures(items)) >= 20))) >= 20


SEGMENTED = [
    ("hls", "a.m3u8", {"hls_time": "1", "hls_list_size": "0"}),
    ("dash", "a.mpd", {"seg_duration": "1"}),
    ("dash", "a.mpd", {"seg_duration": "1", "use_timeline": "0"}),
    ("dash", "a.mpd", {"seg_duration": "1", "use_template": "0", "use_timeline": "0"}),
    ("dash", "a.mpd", {"single_file": "1"}),
    ("dash", "a.mpd", {"init_seg_name": "$RepresentationID$.m4v", "media_seg_name": "$RepresentationID$-$Number$.m4v"}),
    ("dash", "a.mpd", {"init_seg_name": "$RepresentationID$", "media_seg_name": "$RepresentationID$-$Number$.dash"}),
]


@pytest.mark.parametrize(("container", "name", "options"), SEGMENTED)
def test_segmented_media_comes_whole(tmp_path, container, name, options):
    make(tmp_path / name, video=Video(gop=25), audio=Audio(), seconds=4.0, container=container, options=options)
    with http_folder(tmp_path) as root:
        connection = connect(f"{root}/{name}", open_timeout_s=5.0)
        assert container in connection.info.format
        items = read_until(connection)
    assert len(pictures(items)) == 100
    assert {info.kind for item in items if isinstance(item, tuple) for info in item} == {"video", "audio"}


def test_a_live_manifest_that_begins_anew_ends_the_connection(tmp_path):
    options = {"seg_duration": "1"}
    make(tmp_path / "a.mpd", video=Video(gop=25), audio=Audio(), seconds=6.0, container="dash", options=options)
    recorded = (tmp_path / "a.mpd").read_text()

    def publish(origin: str) -> None:
        live = f'type="dynamic" availabilityStartTime="{origin}" minimumUpdatePeriod="PT1S"'
        (tmp_path / "new").write_text(recorded.replace('type="static"', live))
        (tmp_path / "new").rename(tmp_path / "a.mpd")

    publish("2024-01-01T00:00:00Z")
    with http_folder(tmp_path) as root:
        connection = connect(f"{root}/a.mpd", open_timeout_s=5.0, read_timeout_s=5.0)
        publish("2024-01-01T08:00:00Z")
        with pytest.raises(SourceUnavailable, match="began anew"):
            read_until(connection)
    connection.close()


def test_a_packager_behind_the_clock_of_its_manifest_loses_no_segment(tmp_path):
    options = {"seg_duration": "1", "use_timeline": "0"}
    make(tmp_path / "a.mpd", video=Video(gop=25), seconds=6.0, container="dash", options=options)
    live = f'type="dynamic" availabilityStartTime="{datetime.now(UTC) - timedelta(seconds=4.5):%Y-%m-%dT%H:%M:%S.%fZ}"'
    (tmp_path / "a.mpd").write_text((tmp_path / "a.mpd").read_text().replace('type="static"', live))
    late = sorted(tmp_path.glob("chunk-stream0-0000[456]*"))
    assert len(late) == 3
    for file in late:
        file.rename(file.with_suffix(".later"))

    def publish() -> None:
        for file in late:
            time.sleep(0.8)
            file.with_suffix(".later").rename(file)

    threading.Thread(target=publish, daemon=True).start()
    with http_folder(tmp_path) as root:
        connection = connect(f"{root}/a.mpd", open_timeout_s=5.0, read_timeout_s=5.0)
        seen = pictures(read_until(connection, lambda items: len(pictures(items)) >= 60))
    connection.close()
    steps = {round(after.at_s - before.at_s, 3) for before, after in pairwise(seen)}
    assert steps == {0.04}


EVIL = {
    "segment": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.0,\n{target}\n#EXT-X-ENDLIST\n",
    "live segment": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.0,\n{target}\n",
    "variant": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000\n{target}\n",
    "map": '#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MAP:URI="{target}"\n#EXTINF:2.0,\nb.m4s\n#EXT-X-ENDLIST\n',
    "key": (
        '#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-KEY:METHOD=AES-128,URI="{target}"\n'
        "#EXTINF:2.0,\nb.ts\n#EXT-X-ENDLIST\n"
    ),
    "concatenation": "ffconcat version 1.0\nfile '{target}'\n",
    "manifest": (
        '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT2S"'
        ' profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period duration="PT2S"><AdaptationSet'
        ' mimeType="video/mp4"><Representation id="1" bandwidth="1000" codecs="avc1.42c00d"><BaseURL>{target}</BaseURL>'
        "</Representation></AdaptationSet></Period></MPD>"
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    "form", ["file://{}", "file:{}", "crypto+file:{}", "subfile,,start,0,end,0,,:{}", "concat:{}", "{}"]
)
@pytest.mark.parametrize("how", sorted(EVIL))
def test_no_playlist_leads_a_live_profile_to_a_local_file(tmp_path, media, how, form):
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    (outside / "a.ts").write_bytes(media)
    make(outside / "a.m3u8", video=Video(), seconds=1.0, container="hls")
    (inside / "b.ts").write_bytes(media)
    target = form.format(outside / ("a.m3u8" if how == "variant" else "a.ts"))
    name = "a.mpd" if how == "manifest" else "a.m3u8" if how != "concatenation" else "a.ffconcat"
    (inside / name).write_text(EVIL[how].format(target=target))
    items: list[Any] = []
    with http_folder(inside) as root:
        began_s = time.monotonic()
        with pytest.raises(SourceError):
            connection = connect(f"{root}/{name}")
            while True:
                try:
                    items += connection.read()
                except EndOfMedia:
                    connection.close()
                    raise SourceUnavailable("ended without a picture") from None
        assert time.monotonic() - began_s < 2 * LIMIT_S + SLACK_S
    assert not pictures(items)


def test_a_playlist_that_names_a_file_is_told_as_forbidden_with_the_name(tmp_path):
    (tmp_path / "a.m3u8").write_text(EVIL["segment"].format(target="file:///etc/hostname"))
    with http_folder(tmp_path) as root:
        assert "file:///etc/hostname" in refused(f"{root}/a.m3u8", ForbiddenProtocol)


def test_a_local_playlist_of_the_qc_profile_may_name_files_but_no_net(tmp_path: Path, media):
    (tmp_path / "b.ts").write_bytes(media)
    (tmp_path / "a.m3u8").write_text(EVIL["segment"].format(target="b.ts"))
    assert len(pictures(read_until(connect(str(tmp_path / "a.m3u8"), live=False)))) == 100
    (tmp_path / "c.m3u8").write_text(EVIL["segment"].format(target="http://127.0.0.1:1/b.ts"))
    refused(str(tmp_path / "c.m3u8"), ForbiddenProtocol, live=False)
