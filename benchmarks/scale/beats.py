"""What a beat costs the supervisor, measured on real Ray: the actors as shipped, only what analyzes is simulated."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.architectures.outcome import Meter
from vqa_ray.config import FleetSpec, Profile, StreamSpec
from vqa_ray.errors import StaleEpoch
from vqa_ray.pipeline.worker import StreamReport, Told

ANALYZERS, STREAMS = 2, 20  # streams of each
BEAT_S = 0.02  # so that two analyzers are as many as some hundred that beat each second
READY_S = 60.0
SNAPSHOT = b"x" * 600  # a quiet stream's
GAUGES = 2000


class SimulatedWorker:
    """Stands for `Worker`: its streams take no time, and are always well."""

    def __init__(self, name: str, *, tell: Callable[[Told], None], **_: object) -> None:
        self._epochs: dict[str, int] = {}
        self._began_s = time.monotonic()

    def assign(self, stream: StreamSpec, profile: Profile, epoch: int, *_: Any, **__: Any) -> None:
        """Takes a stream."""
        if self._epochs.get(stream.id, 0) > epoch:
            raise StaleEpoch("older")
        self._epochs[stream.id] = epoch

    def release(self, stream_id: str, epoch: int, timeout_s: float = 5.0) -> bytes | None:
        """Gives it back."""
        return SNAPSHOT if self._epochs.pop(stream_id, None) is not None else None

    def reports(self) -> list[StreamReport]:
        """All is well."""
        at_s = time.monotonic() - self._began_s
        return [_report(stream_id, epoch, at_s) for stream_id, epoch in list(self._epochs.items())]

    def stop(self, timeout_s: float = 5.0) -> None:
        """Lets go."""
        self._epochs.clear()


def _report(stream_id: str, epoch: int, at_s: float) -> StreamReport:
    return StreamReport(
        stream_id=stream_id,
        epoch=epoch,
        state="live",
        reason="",
        at_s=at_s,
        cpu_share=0.03,
        coverage=1.0,
        fps=25.0,
        tier="all",
        open_incidents=0,
        reconnects=0,
        connected_once=True,
        snapshot=SNAPSHOT,
    )


def measure(seconds: float) -> dict[str, float]:
    """Beats that came in, CPU seconds of the supervisor's process for one, bytes of one, and CPU seconds of a gauge."""
    from ray import cloudpickle

    from vqa_ray.cluster import port
    from vqa_ray.cluster.client import Fleet
    from vqa_ray.cluster.messages import ClusterOptions

    options = ClusterOptions(
        analyzers_min=ANALYZERS,
        analyzers_max=ANALYZERS,
        beat_s=BEAT_S,
        memory_bytes=0,
        worker=f"{SimulatedWorker.__module__}:{SimulatedWorker.__name__}",
    )
    streams = [StreamSpec(id=f"stream-{n}", url=f"udp://127.0.0.1:9/{n}") for n in range(ANALYZERS * STREAMS)]
    with (
        TemporaryDirectory(prefix="vqa-") as folder,
        Fleet.start(options=options, state_dir=Path(folder) / "state", cores=ANALYZERS, dashboard=False) as running,
    ):
        running.apply(FleetSpec(streams=tuple(streams)))
        _until(lambda: all(one.state == "live" for one in running.status().streams))
        status = running.status()
        handles = [port.find(one.name) for one in status.analyzers]
        before = [port.call(handle, "inventory", timeout_s=10.0).number for handle in handles]
        meter = Meter({"supervisor": [status.supervisor_pid]})
        time.sleep(seconds)
        used_s = meter.read()["supervisor"]
        after = [port.call(handle, "inventory", timeout_s=10.0) for handle in handles]
        beats = sum(beat.number for beat in after) - sum(before)
        return {
            "beats": float(beats),
            "beat_cpu_s": used_s / beats,
            "beat_bytes": float(len(cloudpickle.dumps(after[0]))),
            "gauge_cpu_s": _gauge_cpu_s(),
        }


def _gauge_cpu_s() -> float:
    """CPU seconds to set one of Ray's gauges, as the supervisor does some of for each stream."""
    import ray.util.metrics

    gauge = ray.util.metrics.Gauge("vqa_benchmark", description="of a benchmark", tag_keys=("stream",))
    began_s = time.process_time()
    for n in range(GAUGES):
        gauge.set(1.0, {"stream": f"stream-{n}"})
    return (time.process_time() - began_s) / GAUGES


def _until(true: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + READY_S
    while not true():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"the fleet is not ready within {READY_S:g} s; pid {os.getpid()}")
        time.sleep(0.2)
