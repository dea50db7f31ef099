from contextlib import closing
from pathlib import Path

import pytest

from tests.media_factory import Video, packets_of, pid_of, transport
from vqa_ray.core.picture import Picture
from vqa_ray.core.timeline import Timeline
from vqa_ray.media.source import EndOfMedia, SourceOptions, open_source

VIDEO_PID = 256


def without_packets(data: bytes, share: tuple[float, float]) -> bytes:
    """`data` without three packets in a row of the picture, somewhere in that share of them."""
    packets = packets_of(data)
    first = round(len(packets) * share[0])
    lost = [n for n in range(first, len(packets)) if pid_of(packets[n]) == VIDEO_PID and not packets[n][1] & 0x40][:3]
    assert lost[-1] < len(packets) * share[1]
    return b"".join(packet for n, packet in enumerate(packets) if n not in lost)


def pictures(path: Path) -> list[Picture]:
    timeline = Timeline()
    timeline.connect(0.0)
    found: list[Picture] = []
    with closing(open_source(str(path), SourceOptions(), timeline, live=False)) as connection:
        while True:
            try:
                found += [item for item in connection.read() if isinstance(item, Picture)]
            except EndOfMedia:
                return found


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg2video"])
def test_pictures_of_lost_packets_are_marked_whatever_the_codec_says(codec: str, tmp_path: Path) -> None:
    data = transport(seconds=3.0, video=Video(codec, size=(320, 192), gop=25))
    clean, damaged = tmp_path / "clean.ts", tmp_path / "damaged.ts"
    clean.write_bytes(data)
    damaged.write_bytes(without_packets(data, (0.4, 0.9)))
    assert not any(picture.corrupt for picture in pictures(clean))
    marked = [picture.at_s for picture in pictures(damaged) if picture.corrupt]
    assert marked
    assert 0.9 <= marked[0] <= 2.5
