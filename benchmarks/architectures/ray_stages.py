"""The microservice way on Ray: a converter, an actor per detector, an aggregator; frames through the object store.

As a good engineer would build it:

* A batch of BATCH_S is one object a kind (all pictures, all sound), put into shared memory once and read by every
  detector in place: references travel, planes are numpy views of the store. What no detector of an actor reads is
  not sent to it.
* Packets, a few hundred bytes each, go along by value.
* The converter works ahead by at most AHEAD batches (the store stays small), so that all stages work at once; it never
  waits for more than that.
* Detectors hand what they said to the aggregator directly, not through the driver; nothing is ever fetched by it.
* Actors take no CPU of Ray's count, have an ordered queue, and no task events are kept of them.
* An actor could serve many streams: what it takes at rest is not charged to the one that is measured.
"""

import os
import time
from typing import Any

import msgspec
import numpy as np
import ray

from benchmarks.architectures import stages
from benchmarks.architectures.outcome import A_MACHINE, A_PROCESS, Meter, Outcome, Span, below, memory_bytes
from benchmarks.architectures.wire import unpack_pictures

BATCH_S = 0.5
AHEAD = 2
STORE_BYTES = 256 << 20
IDLE_S = 3.0


class Detecting:
    """The actor of one detector of one stream."""

    def __init__(self, ids: list[str], aggregator: Any) -> None:
        specs = stages.ranked(stages.profile().specs)
        self._host = stages.Host(specs, ids)
        self._name = "+".join(ids)
        self._aggregator = aggregator
        self._spans: list[Span] = []
        self._working_s = 0.0

    def feed(self, number: int, pictures: Any, sounds: Any, others: Any) -> None:
        """Look at a batch. pictures, sounds: (n,) uint8 in shared memory, or None."""
        began_s, used_s = time.monotonic(), time.thread_time()
        said = self._host.feed([] if pictures is None else [pictures], sounds, others or ())
        self._working_s += time.thread_time() - used_s
        ended_s = time.monotonic()
        self._spans.append(Span("detect", self._name, began_s, ended_s - began_s, number))
        self._aggregator.add.remote(number, self._name, msgspec.msgpack.encode(said))

    def finish(self) -> tuple[bytes, list[Span], float]:
        """What is held back at the end of the media, the work that was done, and its CPU seconds."""
        return msgspec.msgpack.encode(self._host.finish()), self._spans, self._working_s

    def pid(self) -> int:
        """Of its process."""
        return os.getpid()


class Aggregating:
    """The actor that judges."""

    def __init__(self, hosts: int) -> None:
        self._collector = stages.Collector("ray-stages", stages.profile(), hosts)
        self._decoder = msgspec.msgpack.Decoder(list[stages.Said])
        self._decoded_s: dict[int, list[float]] = {}
        self.latency_s: list[float] = []
        self._spans: list[Span] = []
        self._working_s = 0.0

    def expect(self, number: int, decoded_s: list[float]) -> None:
        """When the pictures of a batch had been decoded."""
        self._decoded_s[number] = decoded_s

    def add(self, number: int, name: str, said: bytes) -> None:
        """What a detector said of a batch."""
        began_s, before = time.monotonic(), self._collector.next
        readings, used_s = self._decoder.decode(said), time.thread_time()
        self._collector.add(number, name, readings)
        self._working_s += time.thread_time() - used_s
        now_s = time.monotonic()
        for done in range(before, self._collector.next):
            self.latency_s += [now_s - decoded for decoded in self._decoded_s.pop(done, ())]
        self._spans.append(Span("judge", "aggregator", began_s, now_s - began_s, number))

    def done(self) -> int:
        """Batches that are judged."""
        return self._collector.next

    def finish(self, held: list[bytes]) -> tuple[list[stages.Told], list[float], list[Span], float]:
        """The media ended."""
        self._collector.finish([one for said in held for one in self._decoder.decode(said)])
        return self._collector.told, self.latency_s, self._spans, self._working_s

    def pid(self) -> int:
        """Of its process."""
        return os.getpid()


class Converting:
    """The actor that decodes."""

    def __init__(self, aggregator: Any, detectors: list[tuple[Any, bool, bool, bool]]) -> None:
        self._aggregator = aggregator
        self._detectors = detectors

    def run(self, path: str) -> dict[str, Any]:
        """Decode a file and hand it out, not faster than it plays; what it took."""
        from benchmarks.architectures.converter import convert  # no other stage needs a decoder

        spans: list[Span] = []
        working_s = 0.0
        count = {"put": 0, "calls": 0, "bytes": 0, "pictures": 0}
        began_s = last_s = time.monotonic()
        for batch in convert(path, stages.profile(), BATCH_S):
            decoded_s = time.monotonic()
            spans.append(Span("decode", "converter", last_s, decoded_s - last_s, batch.number))
            working_s += batch.decode_s
            time.sleep(max(0.0, began_s + (batch.number + 1) * BATCH_S - decoded_s))
            self._wait(batch.number)
            put_s = time.monotonic()
            decoded = [unpack_pictures(data)[0].head.decoded_s for data in batch.pictures]
            pictures = ray.put(np.frombuffer(b"".join(batch.pictures), np.uint8))
            sounds = ray.put(np.frombuffer(batch.sounds, np.uint8)) if batch.sounds else None
            self._aggregator.expect.remote(batch.number, decoded)
            for actor, video, audio, others in self._detectors:
                actor.feed.remote(
                    batch.number,
                    pictures if video else None,
                    sounds if audio else None,
                    batch.others if others else None,
                )
            count["put"] += 1 + (sounds is not None)
            count["calls"] += len(self._detectors) + 1
            count["bytes"] += sum(map(len, batch.pictures)) + len(batch.sounds)
            count["pictures"] += len(batch.pictures)
            last_s = time.monotonic()
            spans.append(Span("hand over", "converter", put_s, last_s - put_s, batch.number))
        return {"spans": spans, "count": count, "batches": batch.number + 1, "working_s": working_s}

    def pid(self) -> int:
        """Of its process."""
        return os.getpid()

    def _wait(self, number: int) -> None:
        while number - ray.get(self._aggregator.done.remote()) >= AHEAD:
            time.sleep(0.005)


def run(path: str, stream_s: float) -> dict[str, Any]:
    """One stream through all stages, on a private Ray."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")
    ray.init(
        address="local", num_cpus=2, object_store_memory=STORE_BYTES, include_dashboard=False, log_to_driver=False,
        logging_level="ERROR",
    )  # fmt: skip
    try:
        return _run(path, stream_s)
    finally:
        ray.shutdown()


def _run(path: str, stream_s: float) -> dict[str, Any]:
    specs = stages.ranked(stages.profile().specs)
    options = {"num_cpus": 0, "enable_task_events": False}
    aggregator = ray.remote(Aggregating).options(**options).remote(len(specs))
    hosts = {spec.id: stages.Host(specs, [spec.id]) for spec in specs}
    detecting = ray.remote(Detecting).options(**options)
    detectors = [detecting.remote([name], aggregator) for name in hosts]
    wants = [("video" in h.wants, "audio" in h.wants, h.wants_others) for h in hosts.values()]
    fan = [(actor, *wanted) for actor, wanted in zip(detectors, wants, strict=True)]
    converter = ray.remote(Converting).options(**options).remote(aggregator, fan)
    parts = {
        "converter": [ray.get(converter.pid.remote())],
        "detectors": ray.get([actor.pid.remote() for actor in detectors]),
        "aggregator": [ray.get(aggregator.pid.remote())],
    }
    known = {pid for pids in parts.values() for pid in pids}
    parts["ray"] = [pid for pid in below(os.getpid()) if pid not in known]
    meter, began_s = Meter(parts), time.monotonic()
    made = ray.get(converter.run.remote(path))
    while ray.get(aggregator.done.remote()) < made["batches"]:
        time.sleep(0.005)
    wall_s, used = time.monotonic() - began_s, meter.read()
    idle = Meter(parts)
    time.sleep(IDLE_S)
    resting = {name: cpu_s / IDLE_S for name, cpu_s in idle.read().items()}
    # What actors and Ray take at rest they take for all streams that they will ever serve.
    used = {name: max(0.0, cpu_s - resting[name] * wall_s) for name, cpu_s in used.items()}
    held_bytes = memory_bytes(below(os.getpid()))
    held, spans, detect_s = zip(*ray.get([actor.finish.remote() for actor in detectors]), strict=True)
    told, latency_s, judged, judge_s = ray.get(aggregator.finish.remote(list(held)))
    count = made["count"]
    outcome = Outcome(
        name="ray-stages",
        stream_s=stream_s,
        frames=count["pictures"],
        wall_s=wall_s,
        cpu_s=used,
        told=[list(one) for one in told],
        latency_s=latency_s,
        requests={"objects put": count["put"], "actor calls": 2 * count["calls"] - made["batches"]},
        moved_bytes={"object store": count["bytes"]},
        working_s=made["working_s"] + sum(detect_s) + judge_s,
        memory_bytes=held_bytes,
        batch_s=BATCH_S,
        processes=len(known),
        standing={
            A_MACHINE: resting["ray"],
            A_PROCESS: sum(used for name, used in resting.items() if name != "ray") / len(known),
        },
        spans=[*made["spans"], *(span for part in spans for span in part), *judged],
    )
    built: dict[str, Any] = msgspec.to_builtins(outcome)
    return built
