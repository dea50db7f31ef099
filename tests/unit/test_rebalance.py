"""`plan` where nothing died: laws of moving for any fleet, and the reasons of single moves."""

from collections import defaultdict

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.fleet_world import CAPACITY, NOW_S, World, analyzer, run, want
from vqa_ray.core.policies.registry import BY_NAME
from vqa_ray.core.reconcile import (
    Action,
    Assign,
    Limits,
    Phase,
    Reason,
    Release,
    Running,
    StopAnalyzer,
    Wanted,
    plan,
)

LIMITS = Limits(minimum=0, maximum=4, capacity=CAPACITY)
BUDGET = 100
VOLUNTARY = {Reason.APART, Reason.OVERLOADED, Reason.BALANCE, Reason.SURPLUS}


@st.composite
def fleets(draw: st.DrawFn) -> World:
    """All analyzers ready, all streams run somewhere and may move; loads and memory as it happens, also too much."""
    count = draw(st.integers(1, 6))
    analyzers = [analyzer(n, budget=BUDGET, node=f"node-{n // 2}") for n in range(count)]
    streams = draw(
        st.lists(
            st.tuples(
                st.sampled_from([0.0, 0.02, 0.05, 0.1, 0.3, 0.6, 1.2]),
                st.sampled_from([0, 5, 20, 60, 130]),
                st.sampled_from(["", "", "", "x", "y"]),
                st.integers(-1, 1),
                st.integers(0, count - 1),
            ),
            max_size=16,
        )
    )
    wanted, running = [], []
    for n, (share, size, apart, priority, place) in enumerate(streams):
        wanted.append(want(f"s{n}", share, size_bytes=size, apart=apart, priority=priority))
        running.append(run(f"s{n}", f"analyzer-{place}", share=share, size_bytes=size, settled=True))
    return World(wanted, analyzers, running, settled=True)


limits = st.builds(
    Limits,
    minimum=st.just(0),
    maximum=st.integers(1, 8),
    capacity=st.just(CAPACITY),
    budget=st.just(BUDGET),
    policy=st.sampled_from(sorted(BY_NAME)),
    moves=st.integers(1, 20),
)


@settings(deadline=None)
@given(fleets(), limits)
def test_moving_ends_though_nothing_forbids_to_move_again(world: World, limits: Limits):
    assigned = world.settle(limits, rounds=60)
    assert assigned <= 3 * len(world.wanted)


@settings(deadline=None)
@given(fleets(), limits)
def test_a_plan_moves_no_more_than_it_may_and_each_move_is_a_release_and_an_assignment_for_one_reason(
    world: World, limits: Limits
):
    actions = world.plan(limits)
    moved = {a.stream_id: a.reason for a in actions if isinstance(a, Assign)}
    assert len(moved) == len([a for a in actions if isinstance(a, Assign)]) <= limits.moves
    assert set(moved.values()) <= VOLUNTARY
    assert moved == {a.stream_id: a.reason for a in actions if isinstance(a, Release)}


@settings(deadline=None)
@given(fleets(), limits)
def test_moves_fill_no_analyzer_beyond_its_capacity_or_its_memory(world: World, limits: Limits):
    loads, sizes = world.loads(), world.sizes()
    world.apply(world.plan(limits))
    for name, after in world.loads().items():
        assert sum(after) <= max(CAPACITY, sum(loads.get(name, []))) + 1e-6 or len(after) == 1
    for name, after in world.sizes().items():
        assert sum(after) <= max(BUDGET, sum(sizes.get(name, []))) or len(after) == 1


@settings(deadline=None)
@given(fleets(), limits)
def test_streams_of_a_group_share_a_node_only_where_no_other_has_room(world: World, limits: Limits):
    world.settle(limits, rounds=60)
    assert _avoidable(world) == []


@settings(deadline=None)
@given(fleets(), limits)
def test_an_analyzer_stays_overloaded_only_where_no_other_has_room_for_any_of_its_streams(world: World, limits: Limits):
    world.settle(limits, rounds=60)
    loads, sizes = world.loads(), world.sizes()
    for name, load in loads.items():
        if len(load) < 2 or (sum(load) <= CAPACITY + 1e-6 and sum(sizes[name]) <= BUDGET):
            continue
        for entry in (r for r in world.running if r.analyzer == name and (r.share or r.size_bytes)):
            others = [n for n in loads if n != name and _holds(world, n, entry)]
            assert all(_group_on(world, entry, n) for n in others)


def _holds(world: World, name: str, entry: Running) -> bool:
    within = sum(world.loads()[name]) + entry.share <= CAPACITY - 1e-6
    return within and sum(world.sizes()[name]) + entry.size_bytes <= BUDGET


def _group_on(world: World, entry: Running, name: str) -> bool:
    apart = {w.stream_id: w.apart for w in world.wanted}
    node = world.analyzers[name].node
    mine = apart[entry.stream_id]
    return bool(mine) and any(
        apart[r.stream_id] == mine and world.analyzers[r.analyzer].node == node
        for r in world.running
        if r.stream_id != entry.stream_id
    )


def _avoidable(world: World) -> list[str]:
    """Streams with another of their group on their node, though an analyzer on a node without one has room."""
    apart = {w.stream_id: w.apart for w in world.wanted if w.apart}
    nodes: defaultdict[tuple[str, str], list[Running]] = defaultdict(list)
    for entry in world.running:
        if entry.stream_id in apart:
            nodes[apart[entry.stream_id], world.analyzers[entry.analyzer].node].append(entry)
    crowded = [entry for those in nodes.values() if len(those) > 1 for entry in those]
    return [
        entry.stream_id
        for entry in crowded
        for name, a in world.analyzers.items()
        if (apart[entry.stream_id], a.node) not in nodes and _holds(world, name, entry)
    ]


def even(count: int, streams: int, share: float, **more: object) -> tuple[list[Wanted], list[Running]]:
    wanted = [want(f"s{n:02}", share) for n in range(streams)]
    running = [run(w.stream_id, f"analyzer-{n % count}", share=share, **more) for n, w in enumerate(wanted)]
    return wanted, running


def test_an_analyzer_that_was_added_takes_streams_from_the_fullest():
    wanted, running = even(2, 14, 0.1, settled=True)
    actions = plan(wanted, [analyzer(n) for n in range(3)], running, NOW_S, LIMITS)
    moved = [a for a in actions if isinstance(a, Assign)]
    assert {(a.analyzer, a.reason) for a in moved} == {("analyzer-2", Reason.BALANCE)}
    world = World(wanted, [analyzer(n) for n in range(3)], running)
    world.apply(actions)
    assert sorted(len(load) for load in world.loads().values()) == [4, 5, 5]


def test_but_nothing_moves_where_streams_are_packed_or_have_just_come():
    for policy, settled in (("pack", True), ("spread", False)):
        wanted, running = even(2, 14, 0.1, settled=settled)
        limits = msgspec.structs.replace(LIMITS, policy=policy)
        assert plan(wanted, [analyzer(n) for n in range(3)], running, NOW_S, limits) == []


def test_loads_that_are_nearly_even_are_left_alone():
    wanted, running = even(2, 14, 0.1, settled=True)
    running[0] = msgspec.structs.replace(running[0], share=0.13)
    assert plan(wanted, [analyzer(0), analyzer(1)], running, NOW_S, LIMITS) == []


def test_where_all_have_little_to_do_only_much_is_evened_out():
    wanted, _ = even(2, 6, 0.05)
    for left, moved in ((4, 0), (6, 3)):
        running = [
            run(w.stream_id, f"analyzer-{int(n >= left)}", share=0.05, settled=True) for n, w in enumerate(wanted)
        ]
        actions = plan(wanted, [analyzer(0), analyzer(1)], running, NOW_S, LIMITS)
        assert len([a for a in actions if isinstance(a, Assign)]) == moved


def test_an_overloaded_analyzer_gives_away_its_least_important_stream_that_is_heavy_enough():
    wanted = [want("vip", 0.4, priority=5), want("a", 0.3), want("b", 0.1), want("c", 0.2)]
    running = [run(w.stream_id, "analyzer-0", share=w.share, settled=True) for w in wanted]
    actions = plan(wanted, [analyzer(0), analyzer(1)], running, NOW_S, msgspec.structs.replace(LIMITS, policy="pack"))
    assert actions == [
        Release("c", "analyzer-0", 1, Reason.OVERLOADED),
        Assign("c", "analyzer-1", Reason.OVERLOADED),
    ]


def test_an_analyzer_short_of_memory_gives_streams_away_though_it_has_time():
    wanted = [want("a", 0.01, size_bytes=60), want("b", 0.01, size_bytes=60)]
    running = [run(w.stream_id, "analyzer-0", share=0.01, size_bytes=60, settled=True) for w in wanted]
    actions = plan(wanted, [analyzer(0, budget=100), analyzer(1, budget=100)], running, NOW_S, LIMITS)
    assert [a.reason for a in actions] == [Reason.OVERLOADED] * 2


def test_the_legs_of_a_channel_that_met_on_one_node_part_when_another_has_room():
    wanted = [want("main", priority=1, apart="news"), want("spare", apart="news")]
    running = [run(w.stream_id, f"analyzer-{n}", settled=True) for n, w in enumerate(wanted)]
    here = [analyzer(0, node="n1"), analyzer(1, node="n1")]
    assert plan(wanted, here, running, NOW_S, LIMITS) == []
    assert plan(wanted, [*here, analyzer(2, node="n2")], running, NOW_S, LIMITS) == [
        Release("spare", "analyzer-1", 1, Reason.APART),
        Assign("spare", "analyzer-2", Reason.APART),
    ]


def test_while_streams_are_on_their_way_fewer_others_move():
    wanted, running = even(2, 14, 0.1, settled=True)
    running[:3] = [msgspec.structs.replace(r, busy=True) for r in running[:3]]
    three = [analyzer(n) for n in range(3)]
    for moves, left in ((3, 0), (4, 1)):
        limits = msgspec.structs.replace(LIMITS, moves=moves)
        actions = plan(wanted, three, running, NOW_S, limits)
        assert len([a for a in actions if isinstance(a, Assign)]) == left


def test_an_analyzer_that_goes_without_hurry_is_emptied_bit_by_bit_into_those_that_are_there():
    wanted, running = even(1, 4, 0.1)
    draining = analyzer(0, phase=Phase.DRAINING, leaves=Reason.SURPLUS)
    world = World(wanted, [draining, analyzer(1)], running)
    two = msgspec.structs.replace(LIMITS, moves=2)
    actions = world.plan(two)
    assert [a.reason for a in actions] == [Reason.SURPLUS] * 4
    world.apply(actions)
    world.apply(world.plan(two))
    assert world.plan(two) == [StopAnalyzer("analyzer-0", Reason.SURPLUS)]
    full = [want("big", 0.8)]
    alone: list[Action] = plan(full, [draining], [run("big", "analyzer-0", share=0.8)], NOW_S, LIMITS)
    assert alone == []  # no analyzer is started to end another


def test_a_machine_that_goes_is_emptied_faster_but_not_all_at_once():
    wanted, running = even(1, 8, 0.1)
    world = World(wanted, [analyzer(0, phase=Phase.DRAINING), analyzer(1), analyzer(2)], running)
    actions = world.plan(msgspec.structs.replace(LIMITS, moves=1))
    assert len([a for a in actions if isinstance(a, Assign)]) == 5


def test_so_many_analyzers_are_started_as_the_load_asks_for():
    limits = msgspec.structs.replace(LIMITS, minimum=1, load=3)
    actions = plan([want("a")], [], [], NOW_S, limits)
    assert [a.reason for a in actions] == [Reason.MINIMUM, Reason.LOAD, Reason.LOAD]


def test_new_streams_do_not_wait_for_one_more_analyzer_beside_many():
    many = [analyzer(n) for n in range(5)]
    actions = plan([want("new")], [*many, analyzer(5, phase=Phase.STARTING, soon=True)], [], NOW_S, LIMITS)
    assert [type(a) for a in actions] == [Assign]
