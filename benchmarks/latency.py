"""How late an alert is: from the first bad frame arriving to the webhook received, minus `raise_after_s`.

A programme with scripted black, freeze and silence is coded once, with B-frames, as a transport stream. A sender
replays it in real time to several streams, over UDP and over HTTP, and notes when it sends each chunk; the first bad
frame has arrived when the chunk that holds the last of its packets is sent (loopback takes no time worth counting). So
what the transport itself adds is in the figure: a demuxer knows that a picture is complete only when the next begins,
and frames come in coding order. An analyzer (Worker, Outbox, webhook channel) watches in a process of its own and posts
to a receiver here. All processes read the same monotonic clock. Holds are shorter than in the live profile, to have
more faults in less time; how long they are is taken out of the figure.
"""

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import click
import msgspec
from rich.console import Console

from benchmarks import clips
from benchmarks.measure import Child, Figures, Target, console, percentile, table, verdict, write
from benchmarks.replay import Reel, Unit, cut
from vqa_ray.media.synthetic import Fault, FaultKind, Programme, write_file
from vqa_ray.media.synthetic.source import free_udp_port

RAISE_AFTER_S = {"black": 1.0, "freeze": 1.5, "silence": 1.0}
CYCLE = (Fault(FaultKind.BLACK, 0.0, 1.8), Fault(FaultKind.SILENCE, 3.0, 1.8), Fault(FaultKind.FREEZE, 6.1, 2.2))
CYCLE_S = 9.7  # no multiple of the programme's scenes: faults begin anywhere in them
LEAD_S = 7.0  # a loaded machine takes seconds to start the analyzer and to open the streams
LATEST_S = 5.0  # an alert that is later than this does not belong to the fault
P99 = Target(300.0)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How much is measured: each stream goes through each fault once a cycle."""

    streams: int
    cycles: int
    programme: Programme = Programme(name="latency", b_frames=2)


FULL = Plan(streams=4, cycles=6)
SHORT = Plan(streams=3, cycles=2)


class Alert(NamedTuple):
    """A notice of an opened incident, as the receiver got it. at_s: monotonic clock."""

    at_s: float
    stream: str
    detector: str


class Expected(NamedTuple):
    """An alert that should come. arrived_s: monotonic clock when the first bad frame had arrived."""

    arrived_s: float
    stream: str
    detector: str


@click.command("latency")
@click.option("--short", is_flag=True, help="Six faults of each kind in half a minute.")
@click.option("--json", "path", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here.")
def command(short: bool, path: Path | None) -> None:
    """From the first bad frame arriving to the webhook received."""
    terminal = console()
    write(terminal, run(SHORT if short else FULL, terminal), path)


def run(plan: Plan, console: Console) -> Figures:
    """Measure, print, and give the figures."""
    faults = [
        msgspec.structs.replace(fault, start_s=LEAD_S + turn * CYCLE_S + fault.start_s)
        for turn in range(plan.cycles)
        for fault in CYCLE
    ]
    seconds = LEAD_S + plan.cycles * CYCLE_S + 1.0
    with console.status(f"making {seconds:.0f} s of a programme with {len(faults)} faults"):
        clip = _recording(plan, seconds, faults)
    reel = cut(clip.read_bytes())
    with console.status(f"{plan.streams} streams, {seconds:.0f} s"):
        alerts, expected, coverage = _watch(plan, clip, reel, faults, seconds)
    latencies, missed, others = match(expected, alerts)
    _show(latencies, missed, others, coverage, console)
    return _figures(latencies, missed)


def first_bad(reel: Reel, fault: Fault) -> Unit:
    """The unit of the reel that holds the first bad frame (or sample) of the fault."""
    start_s = reel.first_s + fault.start_s
    if fault.kind is FaultKind.SILENCE:
        return max((unit for unit in reel.sounds if unit.pts_s <= start_s), key=lambda unit: unit.pts_s)
    return min((unit for unit in reel.pictures if unit.pts_s >= start_s - 1e-3), key=lambda unit: unit.pts_s)


def match(
    expected: Sequence[Expected], alerts: Sequence[Alert]
) -> tuple[dict[str, list[float]], dict[str, int], list[Alert]]:
    """Latencies by detector (seconds, without the hold), faults without an alert, and alerts that no fault explains."""
    left = sorted(alerts)
    latencies: dict[str, list[float]] = {name: [] for name in RAISE_AFTER_S}
    missed = dict.fromkeys(RAISE_AFTER_S, 0)
    for fault in sorted(expected):
        hold_s = RAISE_AFTER_S[fault.detector]
        found = next(
            (a for a in left if a[1:] == fault[1:] and 0 < a.at_s - fault.arrived_s <= hold_s + LATEST_S), None
        )  # fmt: skip
        if found is None:
            missed[fault.detector] += 1
        else:
            left.remove(found)
            latencies[fault.detector].append(found.at_s - fault.arrived_s - hold_s)
    return latencies, missed, left


def _recording(plan: Plan, seconds: float, faults: Sequence[Fault]) -> Path:
    path = clips.cache() / f"latency-{clips.digest((plan.programme, seconds, tuple(faults)))}.ts"
    if not path.exists():
        partial = path.with_name(f"partial-{path.name}")
        write_file(partial, seconds, plan.programme, faults).replace(path)
    return path


def _watch(
    plan: Plan, clip: Path, reel: Reel, faults: Sequence[Fault], seconds: float
) -> tuple[list[Alert], list[Expected], float]:
    """Run sender, analyzer and receiver to the end of the recording."""
    ports = {f"udp-{k}": free_udp_port() for k in range(plan.streams // 2)}
    with (
        _receiver() as (webhook, alerts),
        Child("benchmarks.replay:send", path=str(clip), udp=ports) as sender,
    ):
        urls = {name: f"udp://127.0.0.1:{port}" for name, port in ports.items()}
        for k in range(plan.streams - len(ports)):
            urls[f"http-{k}"] = f"http://127.0.0.1:{sender.ready['port']}/http-{k}"
        with Child(
            "benchmarks.latency_runs:watch", urls=urls, webhook=webhook, raise_after_s=RAISE_AFTER_S
        ) as analyzer:  # fmt: skip
            time.sleep(seconds + 1.0)
            coverage = analyzer.finish()["coverage"]
            sent_s = sender.finish()["sent_s"]
    expected = [
        Expected(sent_s[name][first_bad(reel, fault).chunk], name, fault.kind.value)
        for name in urls
        for fault in faults
    ]
    return list(alerts), expected, coverage


@contextmanager
def _receiver() -> Iterator[tuple[str, list[Alert]]]:
    """A webhook's URL, and what it was sent."""
    alerts: list[Alert] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            at_s = time.monotonic()
            data = json.loads(body)["data"]
            if data["kind"] == "opened":
                alerts.append(Alert(at_s, data["incident"]["stream_id"], data["incident"]["detector"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/alerts", alerts
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _show(
    latencies: Mapping[str, list[float]],
    missed: Mapping[str, int],
    others: Sequence[Alert],
    coverage: float,
    console: Console,
) -> None:
    shown = table("Alert latency, ms, without the hold", "fault", "n", "p50", "p90", "p99", "min–max", "missed")
    for name, found in {**latencies, "all": _all(latencies)}.items():
        row = [f"{percentile(found, share) * 1e3:.0f}" for share in (0.5, 0.9, 0.99)] if found else ["-"] * 3
        between = f"{min(found) * 1e3:.0f}–{max(found) * 1e3:.0f}" if found else "-"
        shown.add_row(name, str(len(found)), *row, between, str(missed.get(name, sum(missed.values()))))
    console.print(shown)
    if others:
        console.print(f"other alerts: {', '.join(sorted(f'{a.detector} of {a.stream}' for a in others))}")
    p99_ms = _figures(latencies, missed)["alert_latency_p99_ms"]
    console.print(f"p99 of all: {verdict(p99_ms, P99)}; share of frames analysed {coverage:.2%}\n")


def _figures(latencies: Mapping[str, list[float]], missed: Mapping[str, int]) -> Figures:
    figures: Figures = {}
    for name, found in {"": _all(latencies), **latencies}.items():
        suffix = f"_{name}" if name else ""
        for share in (50, 99):
            value = percentile(found, share / 100) * 1e3 if found else None
            figures[f"alert_latency_p{share}_ms{suffix}"] = value
    return figures | {"alerts": len(_all(latencies)), "alerts_missed": sum(missed.values())}


def _all(latencies: Mapping[str, list[float]]) -> list[float]:
    return [value for found in latencies.values() for value in found]
