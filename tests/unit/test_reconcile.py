"""`plan`: laws for any fleet, and the reasons of single actions."""

from collections import Counter

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.fleet_world import CAPACITY, NOW_S, World, analyzer, run, want
from vqa_ray.core.reconcile import (
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

LIMITS = Limits(minimum=0, maximum=4, capacity=CAPACITY)

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
        phase=st.sampled_from([Phase.READY, Phase.READY, Phase.STARTING, Phase.SILENT, Phase.DRAINING]),
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
def test_after_a_plan_is_carried_out_only_what_it_emptied_is_left_to_end(world: World, limits: Limits):
    world.apply(world.plan(limits))
    rest = world.plan(limits)  # what a stream leaves behind comes with its release, which ends no analyzer
    assert all(isinstance(action, StopAnalyzer) and action.reason is Reason.DRAINED for action in rest)
    world.apply(rest)
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


def test_what_a_draining_analyzer_has_stays_until_another_is_ready_and_then_it_ends():
    world = World([want("a")], [analyzer(0, phase=Phase.DRAINING)], [run("a", "analyzer-0")])
    one = Limits(minimum=0, maximum=1, capacity=CAPACITY)
    assert world.plan(one) == [StartAnalyzer("analyzer-1", Reason.NO_SEAT)]
    world.apply(world.plan(one))
    assert world.plan(one) == []
    world.analyzers["analyzer-1"] = analyzer(1)
    actions = world.plan(one)
    assert actions == [Release("a", "analyzer-0", 1, Reason.DRAINED), Assign("a", "analyzer-1", Reason.DRAINED)]
    world.apply(actions)
    assert world.plan(one) == [StopAnalyzer("analyzer-0", Reason.DRAINED)]


def test_a_draining_analyzer_gets_nothing_new_and_does_not_count():
    world = World([want("a")], [analyzer(0, phase=Phase.DRAINING)], [])
    limits = Limits(minimum=1, maximum=1, capacity=CAPACITY)
    assert world.plan(limits) == [
        StopAnalyzer("analyzer-0", Reason.DRAINED),
        StartAnalyzer("analyzer-1", Reason.MINIMUM),
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


def test_but_not_for_ever_where_no_machine_comes():
    running = [run("good", "analyzer-0"), run("bad", "analyzer-9")]
    coming = analyzer(1, phase=Phase.STARTING)
    for until_s, actions in ((NOW_S + 1, []), (NOW_S, [Assign("bad", "analyzer-0", Reason.DIED)])):
        wanted = [want("bad", crashes=2, alone_until_s=until_s), want("good")]
        assert plan(wanted, [analyzer(0), coming], running, NOW_S, LIMITS) == actions


def test_an_analyzer_that_waited_long_enough_for_seats_elsewhere_ends_with_what_it_has():
    full = analyzer(0, phase=Phase.DRAINING, leaves=Reason.RECYCLED, overdue=True)
    one = Limits(minimum=0, maximum=1, capacity=CAPACITY)
    assert plan([want("a")], [full], [run("a", "analyzer-0")], NOW_S, one) == [
        Release("a", "analyzer-0", 1, Reason.RECYCLED),
        StopAnalyzer("analyzer-0", Reason.RECYCLED),
        StartAnalyzer("analyzer-1", Reason.NO_SEAT),
    ]


def test_what_leaves_for_its_memory_or_a_signal_says_so_to_its_streams():
    full = analyzer(0, phase=Phase.DRAINING, leaves=Reason.ENDING)
    assert plan([want("a")], [full, analyzer(1)], [run("a", "analyzer-0")], NOW_S, LIMITS) == [
        Release("a", "analyzer-0", 1, Reason.ENDING),
        Assign("a", "analyzer-1", Reason.ENDING),
    ]
