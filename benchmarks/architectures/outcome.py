"""What a run of one architecture leaves behind, and how CPU seconds of many processes are counted."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

A_MACHINE, A_PROCESS = "a machine", "a process"  # what stands ready takes so much of each
TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")


class Span(msgspec.Struct, frozen=True, array_like=True):
    """Some work of one stage on one batch. process: who did it; at_s: monotonic clock."""

    stage: str
    process: str
    at_s: float
    seconds: float
    batch: int


class Call(msgspec.Struct, frozen=True, array_like=True):
    """One invocation of a function. trips: rounds of requests one after the other, each of which waits for storage;
    read_units, write_units: of DynamoDB, as it bills them; rounds: those trips, by the stage that makes them."""

    function: str
    cpu_s: float
    seconds: float
    trips: int
    read_units: int = 0
    write_units: int = 0
    rounds: dict[str, int] = {}


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One stream of `stream_s` seconds, watched by one architecture.

    cpu_s: CPU seconds of each part (user and system, all processes of it, without their start); told: its incidents;
    latency_s: from each picture being decoded to all detectors having read it, and the readings being judged;
    requests, moved_bytes: by kind; emulator_s: CPU of what stands in for the cloud's own services, which no customer
    pays by the second; working_s: the part of all CPU seconds that decodes, detects and judges, the rest hands over;
    memory_bytes: of all processes, or, where functions are paid by their memory, of the largest function.
    """

    name: str
    stream_s: float
    frames: int
    wall_s: float
    cpu_s: dict[str, float]
    told: list[list[Any]]
    latency_s: list[float]
    requests: dict[str, int] = {}
    moved_bytes: dict[str, int] = {}
    transitions: int = 0
    executions: int = 0
    calls: list[Call] = []
    spans: list[Span] = []
    emulator_s: float = 0.0
    working_s: float = 0.0
    memory_bytes: int = 0
    batch_s: float = 0.0  # of the stream, that are handed over together
    write_rounds: int = 0  # of requests, one after the other, until a batch lies in storage
    processes: int = 1  # that serve streams
    standing: dict[str, float] = {}  # CPU seconds a second of what runs for any number of streams: A_MACHINE, A_PROCESS
    beside: list[float] = []  # of ray-actor: CPU seconds a second of the stream of a monolith at the same time
    over_monolith: list[float] = []  # of ray-actor: its CPU over that, pair by pair
    incident_s: float = 0.0  # of ray-actor: CPU seconds that an incident takes beyond a monolith's

    @property
    def total_cpu_s(self) -> float:
        """Of all parts."""
        return sum(self.cpu_s.values())

    @property
    def cpu_share(self) -> float:
        """CPU seconds a second of the stream."""
        return self.total_cpu_s / self.stream_s

    @property
    def hand_over_share(self) -> float:
        """The share of the CPU that neither decodes nor detects nor judges."""
        return 1.0 - self.working_s / self.total_cpu_s if self.working_s else 0.0


def of_process(pid: int) -> float:
    """CPU seconds of a living process so far, all its threads; 0 if it is gone. Linux."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) * TICK_S


def memory_bytes(pids: Iterable[int]) -> int:
    """What living processes hold of memory, shared pages by their share (PSS). Linux."""
    return sum(_kib(f"/proc/{pid}/smaps_rollup", "Pss:") for pid in pids) * 1024


def peak_bytes(pid: int) -> int:
    """The most that a living process has held of memory, shared pages in full. Linux."""
    return _kib(f"/proc/{pid}/status", "VmHWM:") * 1024


def _kib(path: str, name: str) -> int:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(name)), 0)


def below(pid: int) -> dict[int, str]:
    """All processes that descend from `pid`, by their command lines. Linux."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(folder.name))
    found: dict[int, str] = {}
    waiting = list(parents.get(pid, ()))
    while waiting:
        child = waiting.pop()
        try:
            found[child] = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        waiting += parents.get(child, ())
    return found


class Meter:
    """CPU seconds of some processes from now on, by the part that they belong to."""

    def __init__(self, parts: Mapping[str, Iterable[int]]) -> None:
        self._began = {name: {pid: of_process(pid) for pid in pids} for name, pids in parts.items()}

    def read(self) -> dict[str, float]:
        """Used since it was made."""
        return {
            name: sum(of_process(pid) - before for pid, before in began.items()) for name, began in self._began.items()
        }
