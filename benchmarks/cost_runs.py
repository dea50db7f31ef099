"""What `cost` measures, each in a process of its own: functions that return CPU seconds or peak memory."""

import resource
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import av
from av.filter import Graph
from av.filter.context import FilterContext

from benchmarks.measure import cpu_s
from vqa_ray.config import LIVE, Profile
from vqa_ray.core.picture import Picture
from vqa_ray.core.timeline import Timeline
from vqa_ray.core.window import WindowRow
from vqa_ray.media.source import EndOfMedia, SourceOptions, open_source
from vqa_ray.pipeline.local import analyze

Cost = dict[str, float]  # cpu_s, frames
BASIC_IDS = (  # black, freeze, silence, corruption, no signal, timestamps, continuity
    "black", "freeze", "silence", "silent_channel", "corruption", "signal_loss", "pts_gap", "pts_jump", "av_drift",
    "cc_error",
)  # fmt: skip


def decode(path: str) -> Cost:
    """Demux and decode picture and sound with PyAV, one thread each, touching nothing."""
    with _measured() as cost:
        cost["frames"] = _decode(path)
    return cost


def pipeline(path: str, only: list[str] | None = None) -> Cost:
    """All of `vqa_ray.analyze` with the live profile, windows included; only: these of its detectors."""
    profile = LIVE if only is None else LIVE.only(tuple(only))
    with _measured() as cost:
        rows = _analyze(path, profile)
    cost["frames"] = sum(row.count for row in rows if row.detector in ("black", "null"))
    return cost


def read(path: str, small: bool = False) -> Cost:
    """Our reader without analysis: packets placed and kept, pictures and blocks made; small: and each shrunk."""
    frames = 0
    with _measured() as cost:
        timeline = Timeline()
        timeline.connect(0.0)
        with closing(open_source(path, SourceOptions(), timeline, live=False)) as connection:
            try:
                while True:
                    for item in connection.read():
                        if isinstance(item, Picture):
                            frames += 1
                            if small:
                                item.small  # noqa: B018  made when asked for
                        del item
            except EndOfMedia:
                pass
    cost["frames"] = frames
    return cost


def ffmpeg_filters(path: str, everything: bool = False) -> Cost:
    """Decoding, and FFmpeg's blackdetect, freezedetect and silencedetect on each frame, all with their defaults.

    everything: and blockdetect, blurdetect and ebur128, which measure what more of our detectors do.
    """
    more, louder = (["blockdetect", "blurdetect"], ["ebur128"]) if everything else ([], [])
    frames = 0
    with _measured() as cost, av.open(path) as container:
        video, audio = _tracks(container)
        seen, heard = Graph(), Graph()  # a graph is freed with its last reference, filters in use or not
        seen.threads = heard.threads = 1
        pictures = _chain(seen, seen.add_buffer(template=video), ["blackdetect", "freezedetect", *more], "buffersink")
        sound = _chain(heard, heard.add_abuffer(template=audio), ["silencedetect", *louder], "abuffersink")
        for packet in container.demux(video, audio):
            push, pull = pictures if packet.stream is video else sound
            for frame in packet.decode():
                push(frame)
                pull()  # each of these filters gives one frame for one
                frames += packet.stream is video
    cost["frames"] = frames
    return cost


def peak_memory(path: str, streams: int, analysed: bool) -> float:
    """Largest resident size, in bytes, of a process that works on `streams` of the clip at once, a thread each."""
    work = (lambda: _analyze(path, LIVE)) if analysed else (lambda: _decode(path))
    threads = [threading.Thread(target=work, daemon=True) for _ in range(streams)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return _peak_bytes()


def _decode(path: str) -> int:
    frames = 0
    with av.open(path) as container:
        video, audio = _tracks(container)
        for packet in container.demux(video, audio):
            decoded = packet.decode()
            if packet.stream is video:
                frames += len(decoded)
    return frames


def _analyze(path: str, profile: Profile) -> list[WindowRow]:
    rows: list[WindowRow] = []
    for _ in analyze(path, profile=profile, on_rows=rows.extend):
        pass
    return rows


def _tracks(container: Any) -> tuple[Any, Any]:
    video, audio = container.streams.video[0], container.streams.audio[0]
    for stream in (video, audio):
        stream.codec_context.thread_count = 1
        stream.codec_context.thread_type = "NONE"
    return video, audio


def _chain(
    graph: Graph, source: FilterContext, filters: list[str], sink: str
) -> tuple[Callable[[Any], None], Callable[[], Any]]:
    """Link the filters; what pushes into the source and pulls from the sink."""
    last = source
    for name in (*filters, sink):
        following = graph.add(name)
        last.link_to(following)
        last = following
    graph.configure()
    return source.push, last.pull


@contextmanager
def _measured() -> Iterator[Cost]:
    """CPU seconds of this process, all threads, user and system, within the block."""
    cost: Cost = {}
    began_s = cpu_s()
    yield cost
    cost["cpu_s"] = cpu_s() - began_s


def _peak_bytes() -> float:
    """VmHWM where there is /proc: ru_maxrss remembers the process that this one was started from."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return float(line.split()[1]) * 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * (1 if sys.platform == "darwin" else 1024)
