"""A fleet on which the actions of `plan` are carried out, all of them with success."""

from collections import Counter

import msgspec

from vqa_ray.core.reconcile import (
    Action,
    Analyzer,
    Assign,
    Limits,
    Phase,
    Release,
    Running,
    StartAnalyzer,
    StopAnalyzer,
    Wanted,
    plan,
)

NOW_S = 100.0
CAPACITY = 0.85


def want(name: str, share: float = 0.1, **more: object) -> Wanted:
    return Wanted(**{"stream_id": name, "version": "v1", "share": share} | more)  # type: ignore[arg-type]


def run(name: str, analyzer: str, epoch: int = 1, **more: object) -> Running:
    values = {"stream_id": name, "analyzer": analyzer, "epoch": epoch, "version": "v1", "share": 0.1}
    return Running(**values | more)  # type: ignore[arg-type]


def analyzer(number: int, **more: object) -> Analyzer:
    return Analyzer(**{"name": f"analyzer-{number}", "capacity": CAPACITY} | more)  # type: ignore[arg-type]


class World:
    """settled: whether what was just assigned may move again at once, as if time went by."""

    def __init__(
        self, wanted: list[Wanted], analyzers: list[Analyzer], running: list[Running], *, settled: bool = False
    ) -> None:
        self.wanted = wanted
        self.analyzers = {a.name: a for a in analyzers}
        self.running = running
        self.settled = settled
        self.epochs = Counter({r.stream_id: 0 for r in running})
        for entry in running:
            self.epochs[entry.stream_id] = max(self.epochs[entry.stream_id], entry.epoch)

    def plan(self, limits: Limits, now_s: float = NOW_S) -> list[Action]:
        return plan(self.wanted, list(self.analyzers.values()), self.running, now_s, limits)

    def apply(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Release():
                    self.running = [r for r in self.running if not _is(r, action)]
                case StopAnalyzer():
                    del self.analyzers[action.analyzer]
                    self.running = [r for r in self.running if r.analyzer != action.analyzer]
                case StartAnalyzer():
                    assert action.analyzer not in self.analyzers
                    started = Analyzer(name=action.analyzer, capacity=CAPACITY, phase=Phase.STARTING, soon=True)
                    self.analyzers[action.analyzer] = started
                case Assign():
                    self._assign(action)

    def _assign(self, action: Assign) -> None:
        spec = next(w for w in self.wanted if w.stream_id == action.stream_id)
        # lost entries go when the stream gets a place, as in the roster, which has one place a stream
        self.running = [r for r in self.running if r.stream_id != action.stream_id or self.live(r)]
        self.epochs[action.stream_id] += 1
        entry = Running(
            stream_id=spec.stream_id,
            analyzer=action.analyzer,
            epoch=self.epochs[action.stream_id],
            version=spec.version,
            share=spec.share,
            size_bytes=spec.size_bytes,
            settled=self.settled,
        )
        self.running.append(entry)

    def get_ready(self) -> None:
        self.analyzers = {
            n: msgspec.structs.replace(a, phase=Phase.READY, soon=False) for n, a in self.analyzers.items()
        }

    def settle(self, limits: Limits, rounds: int = 8) -> int:
        """Plans, acts and lets analyzers get ready until nothing is left to do; how many assignments that took."""
        assigned = 0
        for _ in range(rounds):
            self.get_ready()
            if not (actions := self.plan(limits)):
                return assigned
            assigned += sum(isinstance(action, Assign) for action in actions)
            self.apply(actions)
        raise AssertionError("does not settle")

    def live(self, entry: Running) -> bool:
        return entry.lost is None and entry.analyzer in self.analyzers

    def loads(self) -> dict[str, list[float]]:
        found: dict[str, list[float]] = {name: [] for name in self.analyzers}
        for entry in self.running:
            if self.live(entry):
                found[entry.analyzer].append(entry.share)
        return found

    def sizes(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {name: [] for name in self.analyzers}
        for entry in self.running:
            if self.live(entry):
                found[entry.analyzer].append(entry.size_bytes)
        return found


def _is(entry: Running, action: Release) -> bool:
    return (entry.stream_id, entry.analyzer, entry.epoch) == (action.stream_id, action.analyzer, action.epoch)
