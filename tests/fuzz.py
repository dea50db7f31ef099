"""Mutated media through `analyze`: seeded damage, and the child process that feeds it.

`python -m tests.fuzz FOLDER FIRST LAST` mutates the clips in FOLDER with each seed of the range and analyses the
result. It prints "SEED begins", then "SEED took S s" or "SEED failed WHY", so that the parent can name the seed of a
crash or a hang. To see one again: run it with `FOLDER SEED SEED+1`; the mutated file is left in FOLDER/mutated.
"""

import contextlib
import math
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np

import vqa_ray
from tests.media_factory import TS_BYTES, Audio, Video, joined, make, transport
from vqa_ray.core.evidence import EvidenceOptions
from vqa_ray.core.notice import Incident
from vqa_ray.errors import SourceError
from vqa_ray.pipeline.evidence import Desk

Generator = np.random.Generator
Mutation = Callable[[bytearray, Generator], bytearray]

MOST_MUTATIONS = 4
LONGEST_SPAN = 4000
HEADER_BYTES = 1024
SIZE = (160, 90)
PROVED = 8  # of so many seeds one is analysed with evidence; 88 brought a hang in libav's muxer to light
MADE_AFTER_S = 25.0


def make_clips(folder: Path) -> None:
    """A second or two of each kind, small."""
    video, audio = Video(size=SIZE, bframes=2, gop=10), Audio()
    make(folder / "h264.ts", video=video, audio=audio, seconds=1.6)
    make(folder / "mpeg2.ts", video=Video("mpeg2video", size=SIZE, bframes=2), audio=Audio("mp2"), seconds=1.2)
    make(folder / "hevc.ts", video=Video("libx265", size=SIZE, gop=10), audio=Audio(layout="5.1"), seconds=1.2)
    turn = transport(video=Video("mpeg2video", size=(176, 144)), audio=Audio("mp2"), seconds=0.8, offset_s=0.8)
    (folder / "turn.ts").write_bytes(joined(transport(video=video, audio=audio, seconds=0.8), turn))
    make(folder / "front.mp4", video=video, audio=audio, seconds=1.6, options={"movflags": "faststart"})
    make(folder / "back.mp4", video=video, audio=Audio(layout="mono"), seconds=1.6)
    fragments = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    make(
        folder / "fragments.mp4", video=Video("libx265", size=SIZE, gop=10), audio=audio, seconds=1.2, options=fragments
    )


def span_of(data: bytearray, random: Generator, longest: int = LONGEST_SPAN) -> tuple[int, int]:
    """Start and end of some bytes; half of the time whole transport packets."""
    start = int(random.integers(len(data)))
    length = int(random.integers(1, longest))
    if random.random() < 0.5:
        start, length = start // TS_BYTES * TS_BYTES, -(-length // TS_BYTES) * TS_BYTES
    return start, min(len(data), start + length)


def flipped(data: bytearray, random: Generator) -> bytearray:
    """Single bits, anywhere."""
    for at in random.integers(0, len(data), int(random.integers(1, 200))):
        data[at] ^= 1 << int(random.integers(8))
    return data


def cut(data: bytearray, random: Generator) -> bytearray:
    """A span is missing, or everything behind a place."""
    start, end = span_of(data, random)
    return data[:start] + (data[end:] if random.random() < 0.7 else b"")


def doubled(data: bytearray, random: Generator) -> bytearray:
    """A span comes twice, the second time anywhere."""
    start, end = span_of(data, random)
    at, _ = span_of(data, random)
    return data[:at] + data[start:end] + data[at:]


def reordered(data: bytearray, random: Generator) -> bytearray:
    """Two spans change places."""
    (a, b), (c, d) = sorted((span_of(data, random), span_of(data, random)))
    b = min(b, c)
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def zeroed(data: bytearray, random: Generator) -> bytearray:
    """A span holds zeros, or ones."""
    start, end = span_of(data, random)
    data[start:end] = bytes([int(random.choice([0, 255]))]) * (end - start)
    return data


def inserted(data: bytearray, random: Generator) -> bytearray:
    """Noise between."""
    start, end = span_of(data, random, 600)
    return data[:start] + random.bytes(end - start) + data[start:]


def bad_header(data: bytearray, random: Generator) -> bytearray:
    """Bytes of the beginning, or of the end, where an MP4 keeps its index."""
    base = 0 if random.random() < 0.7 else max(0, len(data) - HEADER_BYTES)
    for _ in range(int(random.integers(1, 12))):
        at = base + int(random.integers(HEADER_BYTES))
        if at < len(data):
            data[at] = int(random.choice([0, 1, 127, 128, 255, int(random.integers(256))]))
    return data


def bad_packet_headers(data: bytearray, random: Generator) -> bytearray:
    """The first bytes of transport packets: sync, PID, counter, adaptation field, PCR, table and PES headers."""
    for _ in range(int(random.integers(1, 40))):
        at = int(random.integers(max(1, len(data) // TS_BYTES))) * TS_BYTES + int(random.integers(24))
        if at < len(data):
            data[at] = int(random.integers(256))
    return data


def bad_boxes(data: bytearray, random: Generator) -> bytearray:
    """Numbers in the boxes of an MP4: sizes, counts, times."""
    names = (b"moov", b"trak", b"mdhd", b"stts", b"ctts", b"stsz", b"stsc", b"stco", b"elst", b"stsd", b"trun", b"tfdt")
    places = [at for name in names if (at := data.find(name)) >= 4]
    for _ in range(int(random.integers(1, 6)) if places else 0):
        at = int(random.choice(places)) + 4 * int(random.integers(-1, 8))
        value = int(random.choice([0, 1, 2**31 - 1, 2**32 - 1, int(random.integers(2**32))]))
        data[at : at + 4] = value.to_bytes(4, "big")
    return data


MUTATIONS: tuple[Mutation, ...] = (
    flipped, cut, doubled, reordered, zeroed, inserted, bad_header, bad_packet_headers, bad_boxes,
)  # fmt: skip


def mutated(clip: bytes, seed: int) -> bytes:
    """`clip` with the damage that belongs to `seed`, always the same."""
    random = np.random.default_rng(seed)
    data = bytearray(clip)
    for which in random.integers(0, len(MUTATIONS), int(random.integers(1, MOST_MUTATIONS + 1))):
        data = MUTATIONS[which](data, random) or data
    return bytes(data)


class Nowhere:
    """A store of evidence that keeps nothing."""

    def write(self, path: str, data: bytes) -> None:
        """Gone."""

    def used_bytes(self, day: str, stream_id: str) -> int:
        """Nothing."""
        return 0


def analyse(path: Path, *, proved: bool = False) -> None:
    """All of it; raises what `analyze` raises but for SourceError, AssertionError on an incident without sense.

    proved: with evidence of each incident, made to the end.
    """
    desk = Desk(Nowhere(), EvidenceOptions(), base="", wait=True) if proved else None
    with contextlib.suppress(SourceError):
        for found in vqa_ray.analyze(str(path), keeper=desk):
            assert isinstance(found, Incident)
            assert math.isfinite(found.start_s)
            assert found.end_s is None or found.start_s <= found.end_s < math.inf, found
    assert desk is None or desk.close(MADE_AFTER_S), desk.stats()
    assert desk is None or not desk.stats().failed, desk.stats()


def main(folder: Path, first: int, last: int) -> None:
    """Each seed of the range, in order."""
    clips = sorted(path for path in folder.iterdir() if path.suffix in (".ts", ".mp4"))
    (folder / "mutated").mkdir(exist_ok=True)
    for seed in range(first, last):
        clip = clips[seed % len(clips)]
        path = folder / "mutated" / f"{seed}{clip.suffix}"
        path.write_bytes(mutated(clip.read_bytes(), seed))
        print(seed, "begins", flush=True)
        began_s = time.monotonic()
        try:
            analyse(path, proved=seed % PROVED == 0)
        except Exception:  # noqa: BLE001 # the point of it
            print(seed, "failed", clip.name, repr(traceback.format_exc()), flush=True)
            continue
        print(seed, f"took {time.monotonic() - began_s:.3f} s", flush=True)
        path.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
