"""`plan`: laws for any fleet, and the reasons of single actions."""

from collections import Counter

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from vqa_ray.core.reconcile import (
    Action,
    Analyzer,
    Assign,
    Limits,
    Phase,
    Reason,
    Release,
    Running,
    StartAnalyzer,
    StopAnalyzer,
    Wanted,
    plan,
)

NOW_S = 100.0
CAPACITY = 0.85
LIMITS = Limits(minimum=0, maximum=4, capacity=CAPACITY)


def want(name: str, share: float = 0.1, **more: object) -> Wanted:
    return Wanted(**{"stream_id": name, "version": "v1", "share": share} | more)  # type: ignore[arg-type]


def run(name: str, analyzer: str, epoch: int = 1, **more: object) -> Running:
    values = {"stream_id": name, "analyzer": analyzer, "epoch": epoch, "version": "v1", "share": 0.1}
    return Running(**values | more)  # type: ignore[arg-type]


def analyzer(number: int, **more: object) -> Analyzer:
    return Analyzer(**{"name": f"analyzer-{number}", "capacity": CAPACITY} | more)  # type: ignore[arg-type]


class World:
    """A fleet on which actions are carried out, all of them with success."""

    def __init__(self, wanted: list[Wanted], analyzers: list[Analyzer], running: list[Running]) -> None:
        self.wanted = wanted
        self.analyzers = {a.name: a for a in analyzers}
        self.running = running
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
        )
        self.running.append(entry)

    def get_ready(self) -> None:
        self.analyzers = {
            n: msgspec.structs.replace(a, phase=Phase.READY, soon=False) for n, a in self.analyzers.items()
        }

    def settle(self, limits: Limits) -> None:
        """Plans, acts and lets analyzers get ready until nothing is left to do: a few rounds at most."""
        for _ in range(8):
            self.get_ready()
            if not (actions := self.plan(limits)):
                return
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


def _is(entry: Running, action: Release) -> bool:
    return (entry.stream_id, entry.analyzer, entry.epoch) == (action.stream_id, action.analyzer, action.epoch)


names = st.sampled_from([f"s{n}" for n in range(12)])
shares = st.sampled_from([0.0, 0.03, 0.1, 0.3, 0.5, 0.84, 0.9, 1.5])
wanteds = st.lists(
    st.builds(
        Wanted,
        stream_id=names,
        version=st.sampled_from(["v1", "v2"]),
        share=shares,
        priority=st.integers(-1, 1),
        crashes=st.integers(0, 3),
        not_before_s=st.sampled_from([0.0, NOW_S + 5]),
    ),
    unique_by=lambda w: w.stream_id,
    max_size=12,
)
analyzer_lists = st.lists(
    st.builds(
        Analyzer,
        name=st.sampled_from([f"analyzer-{n}" for n in range(6)]),
        capacity=st.just(CAPACITY),
        phase=st.sampled_from([Phase.READY, Phase.READY, Phase.STARTING, Phase.SILENT]),
        soon=st.booleans(),
        lease_until_s=st.sampled_from([NOW_S + 5, NOW_S + 5, NOW_S - 1]),
    ),
    unique_by=lambda a: a.name,
    max_size=5,
)
entries = st.lists(
    st.builds(
        Running,
        stream_id=names,
        analyzer=st.sampled_from([f"analyzer-{n}" for n in range(7)]),
        epoch=st.integers(1, 5),
        version=st.sampled_from(["v1", "v2"]),
        share=shares,
        lost=st.sampled_from([None, None, None, Reason.DROPPED]),
        stuck=st.sampled_from([False] * 9 + [True]),
    ),
    unique_by=(lambda r: (r.stream_id, r.epoch), lambda r: (r.stream_id, r.analyzer)),
    max_size=14,
)
limits = st.builds(
    Limits, minimum=st.integers(0, 3), maximum=st.integers(0, 6), capacity=st.just(CAPACITY), held=st.booleans()
)
worlds = st.builds(World, wanteds, analyzer_lists, entries)


@settings(deadline=None)
@given(worlds, limits)
def test_after_a_plan_is_carried_out_there_is_nothing_left_to_do(world: World, limits: Limits):
    world.apply(world.plan(limits))
    assert world.plan(limits) == []


@settings(deadline=None)
@given(worlds, limits)
def test_no_analyzer_is_filled_beyond_its_capacity_but_by_one_heavy_stream(world: World, limits: Limits):
    before = world.loads()
    world.apply(world.plan(limits))
    world.get_ready()
    world.apply(world.plan(limits))
    for name, load in world.loads().items():
        assert sum(load) <= max(CAPACITY, sum(before.get(name, []))) + 1e-6 or len(load) == 1


@settings(deadline=None)
@given(worlds, limits)
def test_a_stream_never_has_two_live_epochs_after_a_plan(world: World, limits: Limits):
    world.apply(world.plan(limits))
    live = Counter(r.stream_id for r in world.running if world.live(r))
    assert all(count == 1 for count in live.values())
    assert set(live) <= {w.stream_id for w in world.wanted}


@settings(deadline=None)
@given(worlds, limits)
def test_a_plan_is_sorted_and_does_not_depend_on_the_order_of_what_it_is_told(world: World, limits: Limits):
    forward = world.plan(limits)
    backward = plan(world.wanted[::-1], list(world.analyzers.values())[::-1], world.running[::-1], NOW_S, limits)
    assert forward == backward


@settings(deadline=None)
@given(wanteds, st.integers(1, 5), st.data())
def test_the_streams_of_a_lost_analyzer_come_back_in_one_plan(wanted: list[Wanted], count: int, data: st.DataObject):
    wanted = [msgspec.structs.replace(w, not_before_s=0.0, share=min(w.share, 0.8)) for w in wanted]
    world = World(wanted, [analyzer(n) for n in range(count)], [])
    generous = Limits(minimum=count, maximum=20, capacity=CAPACITY)
    world.settle(generous)
    assert {r.stream_id for r in world.running} == {w.stream_id for w in wanted}
    victim = data.draw(st.sampled_from(sorted(world.analyzers)))
    del world.analyzers[victim]
    lost = {r.stream_id for r in world.running if r.analyzer == victim}
    actions = world.plan(generous)
    assigned = {a.stream_id for a in actions if isinstance(a, Assign)}
    room = {r.stream_id for r in world.running if r.analyzer != victim}
    assert assigned <= lost
    assert not assigned & room
    if lost - assigned:
        assert any(isinstance(a, StartAnalyzer) for a in actions)
    world.apply(actions)
    world.settle(generous)
    assert {r.stream_id for r in world.running if world.live(r)} == {w.stream_id for w in wanted}


def test_a_new_stream_is_assigned_and_what_runs_is_left_alone():
    actions = plan([want("a"), want("b")], [analyzer(0), analyzer(1)], [run("a", "analyzer-0")], NOW_S, LIMITS)
    assert actions == [Assign("b", "analyzer-1", Reason.NEW)]


def test_a_stream_without_a_seat_stays_wanted_and_leads_to_an_analyzer_up_to_the_maximum():
    heavy = [want(f"s{n}", 0.8) for n in range(3)]
    actions = plan(heavy, [analyzer(0)], [], NOW_S, LIMITS)
    assert [a for a in actions if isinstance(a, StartAnalyzer)] == [
        StartAnalyzer("analyzer-1", Reason.NO_SEAT),
        StartAnalyzer("analyzer-2", Reason.NO_SEAT),
    ]
    few = Limits(minimum=0, maximum=1, capacity=CAPACITY)
    assert len(plan(heavy, [analyzer(0)], [], NOW_S, few)) == 1


def test_analyzers_that_are_starting_are_counted_before_others_are_asked_for():
    heavy = [want(f"s{n}", 0.8) for n in range(2)]
    starting = [analyzer(0, phase=Phase.STARTING), analyzer(1, phase=Phase.STARTING)]
    assert plan(heavy, starting, [], NOW_S, LIMITS) == []


def test_the_minimum_is_started_without_any_stream():
    two = Limits(minimum=2, maximum=4, capacity=CAPACITY)
    assert plan([], [], [], NOW_S, two) == [
        StartAnalyzer("analyzer-0", Reason.MINIMUM),
        StartAnalyzer("analyzer-1", Reason.MINIMUM),
    ]


def test_nothing_is_started_while_starts_are_held():
    held = Limits(minimum=2, maximum=4, capacity=CAPACITY, held=True)
    assert plan([want("a")], [], [], NOW_S, held) == []


def test_new_streams_wait_for_an_analyzer_that_is_about_to_be_ready_but_lost_ones_do_not():
    two = [analyzer(0), analyzer(1, phase=Phase.STARTING, soon=True)]
    wanted = [want("new"), want("lost")]
    actions = plan(wanted, two, [run("lost", "analyzer-9")], NOW_S, LIMITS)
    assert actions == [Assign("lost", "analyzer-0", Reason.DIED)]


def test_a_changed_stream_is_released_and_given_to_the_same_analyzer_again():
    wanted = [want("a", version="v2"), want("b")]
    running = [run("a", "analyzer-0"), run("b", "analyzer-0")]
    actions = plan(wanted, [analyzer(0), analyzer(1)], running, NOW_S, LIMITS)
    assert actions == [
        Release("a", "analyzer-0", 1, Reason.CHANGED),
        Assign("a", "analyzer-0", Reason.CHANGED),
    ]


def test_what_is_no_longer_wanted_is_released():
    assert plan([], [analyzer(0)], [run("a", "analyzer-0", 7)], NOW_S, LIMITS) == [
        Release("a", "analyzer-0", 7, Reason.REMOVED)
    ]


def test_of_two_epochs_the_older_is_released():
    running = [run("a", "analyzer-0", 3), run("a", "analyzer-1", 4)]
    actions = plan([want("a")], [analyzer(0), analyzer(1)], running, NOW_S, LIMITS)
    assert actions == [Release("a", "analyzer-0", 3, Reason.SUPERSEDED)]


def test_silence_is_acted_on_only_after_the_lease():
    running, wanted = [run("a", "analyzer-0")], [want("a"), want("b")]
    silent = analyzer(0, phase=Phase.SILENT, lease_until_s=NOW_S + 1)
    assert plan(wanted, [silent, analyzer(1)], running, NOW_S, LIMITS) == [Assign("b", "analyzer-1", Reason.NEW)]
    later = plan(wanted, [silent, analyzer(1)], [*running, run("b", "analyzer-1")], NOW_S + 2, LIMITS)
    assert later == [StopAnalyzer("analyzer-0", Reason.SILENT), Assign("a", "analyzer-1", Reason.SILENT)]


def test_an_analyzer_with_a_stream_that_hangs_is_emptied_and_ended():
    running = [run("hangs", "analyzer-0", stuck=True), run("fine", "analyzer-0")]
    wanted = [want("hangs"), want("fine")]
    assert plan(wanted, [analyzer(0), analyzer(1)], running, NOW_S, LIMITS) == [
        Release("fine", "analyzer-0", 1, Reason.STUCK),
        StopAnalyzer("analyzer-0", Reason.STUCK),
        Assign("fine", "analyzer-1", Reason.STUCK),
        Assign("hangs", "analyzer-1", Reason.STUCK),
    ]


def test_a_stream_that_was_refused_is_not_offered_before_its_time():
    lost = run("a", "analyzer-0", lost=Reason.REFUSED)
    assert plan([want("a", not_before_s=NOW_S + 1)], [analyzer(0)], [lost], NOW_S, LIMITS) == []
    assert plan([want("a", not_before_s=NOW_S)], [analyzer(0)], [lost], NOW_S, LIMITS) == [
        Assign("a", "analyzer-0", Reason.REFUSED)
    ]


def test_what_is_under_way_is_left_alone_and_takes_up_room():
    busy = run("a", "analyzer-0", busy=True, share=0.8)
    assert plan([want("b", 0.2)], [analyzer(0), analyzer(1)], [busy], NOW_S, LIMITS) == [
        Assign("b", "analyzer-1", Reason.NEW)
    ]


def test_of_streams_that_crashed_together_none_is_suspected_when_they_cannot_all_be_kept_apart():
    lost = [run(f"s{n}", "analyzer-9") for n in range(6)]
    wanted = [want(f"s{n}", crashes=2) for n in range(6)]
    actions = plan(wanted, [analyzer(0), analyzer(1)], lost, NOW_S, Limits(minimum=2, maximum=3, capacity=CAPACITY))
    assert len([a for a in actions if isinstance(a, Assign)]) == 6


def test_a_stream_that_crashed_more_often_than_can_be_chance_waits_for_an_analyzer_of_its_own():
    wanted = [want("bad", crashes=2), want("good")]
    running = [run("good", "analyzer-0"), run("bad", "analyzer-9")]
    actions = plan(wanted, [analyzer(0)], running, NOW_S, LIMITS)
    assert actions == [StartAnalyzer("analyzer-1", Reason.NO_SEAT)]
    two = [analyzer(0), analyzer(1)]
    assert plan(wanted, two, running, NOW_S, LIMITS) == [Assign("bad", "analyzer-1", Reason.DIED)]
