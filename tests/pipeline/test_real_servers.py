"""Live streams through real servers: nginx (HLS, DASH, RTMP, and what its RTMP module packs), GStreamer (RTSP).

One story for all of them, watched by one worker: each stream shows a scripted black, then its server is killed and
started again. The tests read what was told of each.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import require
from tests.publisher import Job, publishing
from tests.real_servers import RTMP_MODULE, Nginx, RtspServer, has_gstreamer
from tests.story import BLACK_S, FPS, Story, wait_until, watched
from vqa_ray.media.synthetic import Fault, FaultKind, Programme, write_file

pytestmark = [pytest.mark.server, pytest.mark.timeout(240)]

PROGRAMME = Programme(width=320, height=180, fps=FPS, b_frames=2)
BLACK = Fault(FaultKind.BLACK, 12.0, BLACK_S)  # of what is encoded in real time
FILE_BLACK = Fault(FaultKind.BLACK, 4.0, BLACK_S)  # of the file that each RTSP client gets from its beginning
FILE_S = 90.0

HLS = {"hls_time": "1", "hls_list_size": "5", "hls_flags": "delete_segments"}
DASH = {"seg_duration": "1", "window_size": "5", "extra_window_size": "5"}
SEGMENTED: dict[str, tuple[str, str, dict[str, str]]] = {  # what the child's encoder writes into nginx's folder
    "hls-ts": ("hls", "live.m3u8", HLS),
    "hls-fmp4": ("hls", "live.m3u8", HLS | {"hls_segment_type": "fmp4"}),
    "dash-timeline": ("dash", "live.mpd", DASH),
    "dash-number": ("dash", "live.mpd", DASH | {"use_timeline": "0"}),
}
PACKED = {"packed-hls": "packed_hls/rtmp.m3u8", "packed-dash": "packed_dash/rtmp.mpd"}  # by nginx, from the RTMP stream
RTSP = {"rtsp-tcp": "tcp", "rtsp-udp": "udp"}
STREAMS = [*SEGMENTED, "rtmp", *PACKED, *RTSP]


@pytest.fixture(scope="module")
def story(require_program: Any, tmp_path_factory: Any) -> Iterator[Story]:
    nginx_program = require_program("nginx")
    require(RTMP_MODULE.exists(), "libnginx-mod-rtmp")
    require(has_gstreamer(), "gir1.2-gst-rtsp-server-1.0 with python3-gi")
    folder: Path = tmp_path_factory.mktemp("servers")
    with ExitStack() as stack:
        nginx = stack.enter_context(Nginx(nginx_program, folder / "nginx"))
        media = write_file(folder / "media.mp4", FILE_S, PROGRAMME, [FILE_BLACK])
        rtsp = stack.enter_context(RtspServer(media, folder))
        urls = dict.fromkeys(RTSP, rtsp.url) | {name: f"{nginx.url}/{path}" for name, path in PACKED.items()}
        urls["rtmp"] = target = f"{nginx.rtmp}/rtmp"
        stack.enter_context(publishing(Job(target=target, container="flv", programme=PROGRAMME, faults=(BLACK,))))
        for name, (container, file, options) in SEGMENTED.items():
            (nginx.www / name).mkdir()
            urls[name], target = f"{nginx.url}/{name}/{file}", str(nginx.www / name / file)
            job = Job(target=target, container=container, options=options, programme=PROGRAMME, faults=(BLACK,))
            stack.enter_context(publishing(job))
        listed = [nginx.www / url.removeprefix(nginx.url + "/") for url in urls.values() if url.startswith("http:")]
        wait_until(lambda: all(path.exists() for path in listed), 30.0)

        def kill() -> None:
            nginx.kill()
            rtsp.kill()

        def restart() -> None:
            nginx.start()
            rtsp.start()

        yield watched(urls, kill, restart, RTSP)


@pytest.mark.parametrize("name", STREAMS)
def test_the_scripted_black_is_found_with_its_length_and_nothing_else(story: Story, name: str) -> None:
    story.shows_black_alone(name)


@pytest.mark.parametrize("name", STREAMS)
def test_every_picture_and_all_sound_is_analysed(story: Story, name: str) -> None:
    story.is_analysed_whole(name)


@pytest.mark.parametrize("name", STREAMS)
def test_a_killed_server_is_signal_loss_until_it_is_back(story: Story, name: str) -> None:
    story.tells_of_the_loss_once(name)


@pytest.mark.parametrize("name", STREAMS)
def test_behind_the_loss_there_are_pictures_and_sound_again(story: Story, name: str) -> None:
    story.goes_on_behind_the_loss(name)
