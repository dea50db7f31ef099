"""Live streams that need no server program: UDP unicast, multicast, HTTP-TS, HLS, RTMP and RTSP from our own sources.

The story of test_real_servers.py. The child that encodes and serves is killed, and another one takes its place.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest

from tests.story import BLACK_S, FPS, Story, watched
from vqa_ray.media.synthetic import Fault, FaultKind, Kind, Programme, Source, serve

pytestmark = pytest.mark.timeout(240)

PROGRAMME = Programme(width=320, height=180, fps=FPS)
BLACK = Fault(FaultKind.BLACK, 12.0, BLACK_S)
STREAMS = [kind.value for kind in Kind]


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    with ExitStack() as stack:
        sources = {kind.value: serve(kind, [BLACK], PROGRAMME) for kind in Kind}
        for source in sources.values():
            stack.enter_context(source)
        urls = {name: source.url for name, source in sources.items()}

        def kill() -> None:
            for source in sources.values():
                source.kill()

        def restart() -> None:
            for name, url in urls.items():
                stack.enter_context(again(Kind(name), url))

        yield watched(urls, kill, restart, {})


def again(kind: Kind, url: str) -> Source:
    """Another source of this kind at the same address."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return serve(kind, [], PROGRAMME, host=parts.hostname, port=parts.port)


@pytest.mark.parametrize("name", STREAMS)
def test_the_scripted_black_is_found_with_its_length_and_nothing_else(story: Story, name: str) -> None:
    story.shows_black_alone(name)


@pytest.mark.parametrize("name", STREAMS)
def test_every_picture_and_all_sound_is_analysed(story: Story, name: str) -> None:
    story.is_analysed_whole(name)


@pytest.mark.parametrize("name", STREAMS)
def test_a_source_that_dies_is_signal_loss_until_another_takes_its_place(story: Story, name: str) -> None:
    story.tells_of_the_loss_once(name)


@pytest.mark.parametrize("name", STREAMS)
def test_behind_the_loss_there_are_pictures_and_sound_again(story: Story, name: str) -> None:
    story.goes_on_behind_the_loss(name)
