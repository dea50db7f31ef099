"""The first stage: a file decoded, and packed for other processes. The only stage that needs a decoder."""

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any, NamedTuple

from benchmarks.architectures.wire import RAW, pack_block, pack_picture
from vqa_ray.config import Profile
from vqa_ray.core.audio import AudioBlock
from vqa_ray.core.picture import Picture
from vqa_ray.core.timeline import Timeline
from vqa_ray.media.source import EndOfMedia, open_source


class Batch(NamedTuple):
    """Some time of one stream. pictures: one packed each; others: what is small, each with its number in the stream;
    decode_s: CPU seconds that reading and decoding it took."""

    number: int
    pictures: list[bytes]
    sounds: bytes
    others: list[tuple[int, Any]]
    last: bool
    decode_s: float


def convert(path: str, chosen: Profile, batch_s: float, form: str = RAW) -> Iterator[Batch]:
    """Decode a file and pack what comes of it, a batch for each `batch_s` of the media."""
    timeline = Timeline()
    timeline.connect(0.0)
    number, seq, decode_s = 0, 0, 0.0
    pictures: list[bytes] = []
    sounds: list[bytes] = []
    others: list[tuple[int, Any]] = []
    with closing(open_source(path, chosen.source, timeline, live=False)) as connection:
        while True:
            used_s = time.thread_time()
            try:
                items = connection.read()
            except EndOfMedia:
                break
            decode_s += time.thread_time() - used_s
            decoded_s = time.monotonic()
            for item in items:
                if isinstance(item, Picture):
                    if pictures and item.at_s >= (number + 1) * batch_s:
                        yield Batch(number, pictures, b"".join(sounds), others, False, decode_s)
                        number, pictures, sounds, others, decode_s = number + 1, [], [], [], 0.0
                    pictures.append(pack_picture(seq, item, decoded_s, form))
                elif isinstance(item, AudioBlock):
                    sounds.append(pack_block(seq, item))
                else:
                    others.append((seq, item))
                seq += 1
    yield Batch(number, pictures, b"".join(sounds), others, True, decode_s)
