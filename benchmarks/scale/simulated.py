"""A fleet whose analyzers are simulated: the supervisor's own roster and plan, every action carried out at once."""

import random
import statistics
import time
from collections.abc import Sequence

import msgspec

from vqa_ray.cluster.headcount import Headcount
from vqa_ray.cluster.messages import Beat, ClusterOptions, Held, Hello
from vqa_ray.cluster.roster import SETTLED_AFTER_S, Roster
from vqa_ray.config import LIVE, StreamSpec
from vqa_ray.core.demand import Shape
from vqa_ray.core.reconcile import Action, Assign, Reason, Release, StartAnalyzer, StopAnalyzer, plan
from vqa_ray.pipeline.worker import StreamReport

A_NODE = 10  # analyzers
SHARES = ((0.018, 0.5), (0.030, 0.3), (0.060, 0.2))  # of a core, and how many: 360p, 576p and 720p, 0.03 on the average
SHAPES = {
    0.018: Shape(width=640, height=360, fps=25.0),
    0.030: Shape(width=1024, height=576, fps=25.0),
    0.060: Shape(width=1280, height=720, fps=25.0),
}
BARE_BYTES, STREAM_BYTES = 150 << 20, 15 << 20
DRIFT = 0.1  # standard deviation of a stream's share from beat to beat, of itself
CORES = 1e6  # of the cluster: no bound


class Simulated:
    """`streams` live ones, all measured already, and analyzers that are ready and empty. now_s: its only clock."""

    def __init__(self, streams: int, analyzers: int) -> None:
        self.now_s = 0.0
        self.moved = 0
        self._random = random.Random(streams)
        options = ClusterOptions(analyzers_min=analyzers, analyzers_max=analyzers, shrink_after_s=None)
        self.roster = Roster(options, "benchmark")
        self._headcount = Headcount(self.roster)
        specs = [StreamSpec(id=f"stream-{n:06}", url=f"udp://239.0.0.1:5000/{n}") for n in range(streams)]
        self.roster.want({spec.id: (spec, LIVE, "v1") for spec in specs})
        kinds, weights = zip(*SHARES, strict=True)
        drawn = self._random.choices(kinds, weights, k=streams)
        self.share = {spec.id: share for spec, share in zip(specs, drawn, strict=True)}
        for stream_id, share in self.share.items():
            self.roster.streams[stream_id].share = share
        self.add(analyzers)

    def add(self, analyzers: int) -> None:
        """So many more, ready, A_NODE on each node."""
        before = len(self.roster.members)
        self.roster.options = msgspec.structs.replace(
            self.roster.options, analyzers_min=before + analyzers, analyzers_max=before + analyzers
        )
        for n in range(before, before + analyzers):
            name = f"analyzer-{n}"
            hello = Hello(name=name, incarnation=f"m:{n}:1", pid=n, node_id=f"node-{n // A_NODE:05}")
            self.roster.ready(hello, self.now_s)

    def tick(self) -> tuple[list[Action], float]:
        """What the supervisor does each second, up to the plan; its actions, and the seconds it took."""
        roster, now_s, began_s = self.roster, self.now_s, time.thread_time()
        roster.look(now_s)
        wanted = roster.wanted()
        self._headcount.look(wanted, now_s)
        limits = self._headcount.limits(CORES, held=False)
        actions = plan(wanted, roster.analyzers(now_s), roster.running(now_s), now_s, limits)
        return actions, time.thread_time() - began_s

    def carry_out(self, actions: Sequence[Action]) -> None:
        """All of them, with success and at once."""
        roster, now_s = self.roster, self.now_s
        for action in actions:
            match action:
                case Release():
                    roster.released(roster.places[action.stream_id], action.reason, None)
                case Assign():
                    epoch = roster.epochs.get(action.stream_id, 0) + 1
                    place = roster.assigning(action.stream_id, action.analyzer, epoch, now_s)
                    roster.assigned(place, roster.members[action.analyzer].number, now_s)
                    self.moved += action.reason in (Reason.BALANCE, Reason.OVERLOADED)
                case StopAnalyzer():
                    roster.gone(action.analyzer, action.reason, now_s, crashed=False)
                case StartAnalyzer():
                    roster.started(action.analyzer, now_s)

    def beat(self) -> None:
        """A second goes by: each analyzer tells what it has, and what that takes."""
        self.now_s += 1.0
        for name in list(self.roster.members):
            self.roster.beat(self.beat_of(name), self.now_s)

    def settle(self) -> None:
        """So long that what was just placed may move."""
        self.now_s += SETTLED_AFTER_S

    def beat_of(self, name: str) -> Beat:
        """The next beat of that analyzer."""
        member = self.roster.members[name]
        assert member.hello is not None
        places = [place for place in self.roster.places_at(name) if place.lost is None]
        held = tuple(Held(report=self._report(p.stream_id, p.epoch), version=p.version) for p in places)
        load = sum(one.report.cpu_share for one in held)
        rss_bytes = BARE_BYTES + STREAM_BYTES * len(held)
        return Beat(hello=member.hello, number=member.number + 1, held=held, load=load, rss_bytes=rss_bytes)

    def _report(self, stream_id: str, epoch: int) -> StreamReport:
        usual = self.share[stream_id]
        return StreamReport(
            stream_id=stream_id,
            epoch=epoch,
            state="live",
            reason="",
            at_s=self.now_s,
            cpu_share=max(0.0, usual * self._random.gauss(1.0, DRIFT)),
            coverage=1.0,
            fps=25.0,
            tier="all",
            open_incidents=0,
            reconnects=0,
            connected_once=True,
            shape=SHAPES[usual],
        )

    def loads(self) -> list[float]:
        """What is reckoned for each analyzer, in cores."""
        return [self.roster.reserved(name) for name in self.roster.members]

    def lose_node(self, repeats: int) -> tuple[list[str], list[Action], float]:
        """The first node dies: its streams, what is planned in one tick, and the seconds from the news to the plan.

        The plan is made `repeats` times, and the median counts.
        """
        first = min(m.hello.node_id for m in self.roster.members.values() if m.hello is not None)
        began_s = time.thread_time()
        lost: list[str] = []
        for member in self.roster.at(first):
            lost += self.roster.gone(member.name, Reason.SILENT, self.now_s, crashed=False)
        took_s = time.thread_time() - began_s
        ticks = [self.tick() for _ in range(repeats)]
        return lost, ticks[0][0], took_s + statistics.median(planned_s for _, planned_s in ticks)
