"""What `density` runs in its processes: watchers of many live streams, analysed or decoded only.

Both count in the same way. A second of a stream is on time when what follows its last frame was reached within
`LATE_S` of when it was due; due is when the stream's least delay so far would have had it there. (Only being late
counts: how long the way to us is has nothing to do with us.)
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import av
import msgspec

from benchmarks.cost_runs import BASIC_IDS
from benchmarks.measure import cpu_s, percentile
from vqa_ray.config import LIVE, Profile, StreamSpec
from vqa_ray.core.window import WindowRow
from vqa_ray.media.schemes import libav_options
from vqa_ray.media.source import SourceOptions
from vqa_ray.pipeline.worker import Worker

LATE_S = 1.0
CORES = 2


class Seconds:
    """Of one stream: when each of its seconds was complete, against when it should have been."""

    def __init__(self) -> None:
        self._reached: list[tuple[float, float, float]] = []  # end of the second, moment, share analysed

    def reached(self, end_s: float, now_s: float, coverage: float = 1.0) -> None:
        """Everything before `end_s` (media time) is done at `now_s`; `coverage` of it was looked at."""
        self._reached.append((end_s, now_s, coverage))

    def between(self, from_s: float, until_s: float) -> tuple[float, list[float]]:
        """Seconds done on time of those due from `from_s` to `until_s`, and how late each was."""
        if not self._reached:
            return 0.0, []
        base_s = min(now - end for end, now, _ in self._reached)
        due = [(now - end - base_s, share) for end, now, share in self._reached if from_s <= end + base_s < until_s]
        return sum(share for late, share in due if late <= LATE_S), [late for late, _ in due]


def analyse(urls: list[str], warm_s: float, seconds: float, profile: Profile = LIVE) -> dict[str, Any]:
    """Watch the streams as an analyzer does."""
    each = {f"s{k}": Seconds() for k in range(len(urls))}

    def rows(found: list[WindowRow]) -> None:
        now_s = time.monotonic()
        for row in found:
            if row.detector == "black":
                each[row.stream_id].reached(row.start_s + 1.0, now_s, row.coverage)

    worker = Worker("density", tell=lambda told: None, windows=rows)
    for name, url in zip(each, urls, strict=True):
        worker.assign(StreamSpec(id=name, url=url), profile, 0)
    result = _measure(list(each.values()), warm_s, seconds)
    reports = worker.reports()
    result["stepped_down"] = sum(report.tier != "all" for report in reports)
    result["reconnects"] = sum(report.reconnects for report in reports)
    return result


def decode(urls: list[str], warm_s: float, seconds: float) -> dict[str, Any]:
    """Open the streams in the same way and decode them, a thread each, touching nothing."""
    each = [Seconds() for _ in urls]
    for url, counted in zip(urls, each, strict=True):
        threading.Thread(target=_decode, args=(url, counted), daemon=True).start()
    return _measure(each, warm_s, seconds) | {"stepped_down": 0, "reconnects": 0}


def _decode(url: str, counted: Seconds) -> None:
    options = SourceOptions()
    limits = (options.open_timeout_s, options.read_timeout_s)
    with av.open(url, options=libav_options(url, options, live=True), timeout=limits) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        for stream in (video, audio):
            stream.codec_context.thread_count = 1
            stream.codec_context.thread_type = "NONE"
        base_s, end_s = float(video.time_base or 0), None
        for packet in container.demux(video, audio):
            frames = packet.decode()
            if packet.stream is video:
                for frame in frames:
                    at_s = (frame.pts or 0) * base_s
                    if end_s is None:
                        end_s = at_s + 1.0
                    elif at_s >= end_s:
                        counted.reached(end_s, time.monotonic())
                        end_s += 1.0


def _measure(each: list[Seconds], warm_s: float, seconds: float) -> dict[str, Any]:
    """Let the streams settle, then measure for a while; all on time that was due, lateness, and CPU."""
    from_s = time.monotonic() + warm_s
    time.sleep(warm_s)
    before_s = cpu_s()
    time.sleep(seconds)
    used_s = cpu_s() - before_s
    time.sleep(LATE_S)
    found = [counted.between(from_s, from_s + seconds) for counted in each]
    lates = [late for _, some in found for late in some]
    return {
        "due": seconds * len(each),
        "on_time": sum(on_time for on_time, _ in found),
        "late_p99_s": percentile(lates, 0.99) if lates else None,
        "grown_s": max((_grown_s(some) for _, some in found if some), default=None),
        "cpu_share": used_s / seconds,
    }


def _grown_s(lates: list[float]) -> float:
    """By how much later the last seconds were than the first."""
    some = max(1, len(lates) // 3)
    return sum(lates[-some:]) / some - sum(lates[:some]) / some


def watch(kind: str, urls: list[str], warm_s: float, seconds: float) -> dict[str, Any]:
    """One watcher's process; ends at once when it is done, whatever its threads wait for."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    kinds: dict[str, Callable[..., dict[str, Any]]] = {
        "analyse": analyse,
        "seven": partial(analyse, profile=LIVE.only(BASIC_IDS)),
        "decode": decode,
    }
    result = kinds[kind](urls, warm_s, seconds)
    print(json.dumps(msgspec.to_builtins(result)), flush=True)
    sys.stdout.close()
    os._exit(0)
