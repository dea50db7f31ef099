"""The pipeline in one process: by itself (`monolith`), and in the analyzer of a fleet on Ray (`ray-actor`)."""

import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from benchmarks.architectures import stages
from benchmarks.architectures.outcome import A_MACHINE, A_PROCESS, Meter, Outcome, Span, below, memory_bytes
from benchmarks.measure import Child, cpu_s
from vqa_ray.config import FleetSpec, Profile
from vqa_ray.core.incident import Transition
from vqa_ray.core.notice import Incident
from vqa_ray.core.picture import Picture
from vqa_ray.core.source import State
from vqa_ray.core.timeline import Timeline
from vqa_ray.detectors.registry import SPECS
from vqa_ray.media.source import EndOfMedia, open_source
from vqa_ray.pipeline.analysis import Analysis
from vqa_ray.pipeline.local import analyze

HERE = "benchmarks.architectures.one_process"
LOOK_S = 0.2
LOOPS = 6  # of the stream with faults, to see what incidents take
SETTLE_S, IDLE_S = 1.0, 3.0
WITHIN_S = 300.0


def monolith(path: str, stream_s: float) -> dict[str, Any]:
    """`vqa_ray.analyze` as it is, measured; and the same loop with a clock in it, for latencies and stages."""
    chosen = stages.profile()
    began_s, before_s = time.monotonic(), cpu_s()
    told = [stages.told(one) for one in analyze(path, profile=chosen) if isinstance(one, Incident) and not one.open]
    used_s, wall_s = cpu_s() - before_s, time.monotonic() - began_s
    again, latency_s, spans = timed(path, chosen)
    if sorted(again) != sorted(told):
        raise AssertionError("the loop with a clock in it finds other incidents")
    outcome = Outcome(
        name="monolith",
        stream_s=stream_s,
        frames=len(latency_s),
        wall_s=wall_s,
        cpu_s={"pipeline": used_s},
        working_s=used_s,
        memory_bytes=memory_bytes([os.getpid()]),
        told=[list(one) for one in told],
        latency_s=latency_s,
        spans=spans,
    )
    built: dict[str, Any] = msgspec.to_builtins(outcome)
    return built


def alone(path: str, warm: str) -> dict[str, Any]:
    """CPU seconds of `vqa_ray.analyze` in a process that does nothing else, and how many incidents ended.

    Prints a line when it is ready, which is after another file, as an analyzer's first stream is not measured either;
    and begins when its stdin has a line.
    """
    for _ in analyze(warm, profile=stages.profile()):
        pass
    print(json.dumps("ready"), flush=True)
    sys.stdin.readline()
    before_s = cpu_s()
    found = list(analyze(path, profile=stages.profile(), on_rows=lambda _: None))
    return {"cpu_s": cpu_s() - before_s, "incidents": sum(isinstance(o, Incident) and not o.open for o in found)}


@contextmanager
def looped(path: str) -> Iterator[str]:
    """The transport stream LOOPS times over, in a file."""
    with TemporaryDirectory(prefix="vqa-") as folder:
        long = Path(folder) / "looped.ts"
        long.write_bytes(Path(path).read_bytes() * LOOPS)
        yield str(long)


def timed(path: str, chosen: Profile) -> tuple[list[stages.Told], list[float], list[Span]]:
    """Incidents, the time from each picture being decoded to its being judged, and the work of both stages."""
    analysis = Analysis("timed", chosen.specs, origin_utc=datetime.now(UTC))
    found: list[Transition] = []
    latency_s: list[float] = []
    spans: list[Span] = []
    timeline = Timeline()
    timeline.connect(0.0)
    with closing(open_source(path, chosen.source, timeline, live=False)) as connection:
        while True:
            began_s = time.monotonic()
            try:
                items = connection.read()
            except EndOfMedia:
                break
            decoded_s = time.monotonic()
            pictures = 0
            for item in items:
                found += analysis.feed(item)
                pictures += isinstance(item, Picture)
            ended_s = time.monotonic()
            latency_s += [ended_s - decoded_s] * pictures
            spans.append(Span("decode", "monolith", began_s, decoded_s - began_s, len(spans)))
            spans.append(Span("detect", "monolith", decoded_s, ended_s - decoded_s, len(spans)))
    found += analysis.finish()
    return stages.closed(found), latency_s, spans


def fleet(*paths: str) -> FleetSpec:
    """Files as streams, watched with the same detectors and options."""
    chosen = {spec.id: spec for spec in stages.profile().specs}
    detectors = {spec.id: msgspec.to_builtins(chosen[spec.id]) if spec.id in chosen else False for spec in SPECS}
    rows = [{"id": f"stream-{k}", "url": path, "profile": "same"} for k, path in enumerate(paths)]
    same = {"extends": "qc", "detectors": detectors}
    return msgspec.convert({"streams": rows, "profiles": {"same": same}}, FleetSpec)


def ray_actor(path: str, stream_s: float, longer: str, longer_s: float, rounds: int) -> dict[str, Any]:
    """A fleet as shipped, on a private Ray: supervisor and analyzer.

    First the stream; then, for its CPU, the longer one, `rounds` times, and each time a monolith on it at once, since
    other load changes what a second of CPU is worth; then the faults of the stream LOOPS times over, for what an
    incident takes: its journal, its alert, its snapshot.
    """
    from vqa_ray.cluster.client import Fleet
    from vqa_ray.cluster.messages import ClusterOptions

    options = ClusterOptions(analyzers_min=1, analyzers_max=1)
    with (
        looped(path) as looped_reel,
        TemporaryDirectory(prefix="vqa-") as folder,
        Fleet.start(options=options, state_dir=Path(folder) / "state", cores=1, dashboard=False) as running,
    ):
        running.apply(fleet(path))
        _until(lambda: _ended(running, 1))
        found = running.incidents(limit=1000)
        analyzer = [one.pid for one in running.status().analyzers if one.pid]
        rest = [pid for pid in below(os.getpid()) if pid not in analyzer]
        time.sleep(SETTLE_S)
        idle = Meter({A_PROCESS: analyzer, A_MACHINE: rest})
        time.sleep(IDLE_S)
        resting = {name: used / IDLE_S for name, used in idle.read().items()}
        used_s, beside_s, wall_s, watched = [], [], [], [path]
        for file in [*[longer] * rounds, looped_reel]:
            watched.append(file)
            with Child(f"{HERE}:alone", path=file, warm=path) as beside:
                beside.say("go")
                took_s, cost_s = _watched(running, analyzer, watched)
                single = beside.finish(WITHIN_S)
            used_s.append(cost_s - resting[A_PROCESS] * took_s)  # at rest it takes that for all its streams
            beside_s.append(single["cpu_s"])
            wall_s.append(took_s)
        held_bytes = memory_bytes(below(os.getpid()))
        latency_s, spans = _timed_in_actor(path)
    ratios = [used / single for used, single in zip(used_s[:-1], beside_s[:-1], strict=True)]
    ratio = statistics.median(ratios)
    used_a_second = statistics.median(used_s[:-1]) / longer_s
    outcome = Outcome(
        name="ray-actor",
        stream_s=stream_s,
        frames=len(latency_s),
        wall_s=statistics.median(wall_s[:-1]) / longer_s * stream_s,
        cpu_s={"pipeline": used_a_second * stream_s},
        working_s=used_a_second * stream_s,
        memory_bytes=held_bytes,
        told=[list(stages.told(one)) for one in found],
        latency_s=latency_s,
        spans=spans,
        standing=resting,
        beside=[single / longer_s for single in beside_s[:-1]],
        over_monolith=ratios,
        incident_s=(used_s[-1] - ratio * beside_s[-1]) / max(1, single["incidents"]),
    )
    built: dict[str, Any] = msgspec.to_builtins(outcome)
    return built


def _watched(running: Any, analyzer: list[int], paths: list[str]) -> tuple[float, float]:
    """Let the analyzer watch the last of these, to its end; seconds, and its CPU seconds."""
    meter, began_s = Meter({"pipeline": analyzer}), time.monotonic()
    running.apply(fleet(*paths))
    _until(lambda: _ended(running, len(paths)))
    return time.monotonic() - began_s, meter.read()["pipeline"]


def _ended(running: Any, streams: int) -> bool:
    states = [one.state for one in running.status().streams]
    return len(states) == streams and all(state == State.ENDED for state in states)


def _timed_in_actor(path: str) -> tuple[list[float], list[Span]]:
    """The same pipeline in an actor of the same Ray, with a clock in it."""
    import ray

    actor = ray.remote(_Timed).options(num_cpus=0).remote()
    latency_s, spans = ray.get(actor.run.remote(path))
    ray.kill(actor)
    return latency_s, spans


class _Timed:
    def run(self, path: str) -> tuple[list[float], list[Span]]:
        _, latency_s, spans = timed(path, stages.profile())
        return latency_s, [msgspec.structs.replace(span, process="analyzer") for span in spans]


def _until(true: Any, within_s: float = WITHIN_S) -> None:
    deadline_s = time.monotonic() + within_s
    while not true():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"not within {within_s:g} s")
        time.sleep(LOOK_S)
