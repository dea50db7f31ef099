"""What the supervisor makes of beats and deaths, without Ray, disk or clock."""

import msgspec
import pytest

from vqa_ray.cluster.headcount import EMPTIED_WITHIN_S, Headcount
from vqa_ray.cluster.messages import Beat, BeatReply, ClusterOptions, Held, Hello
from vqa_ray.cluster.roster import BARE_BYTES, SETTLED_AFTER_S, Roster
from vqa_ray.config import LIVE, StreamSpec
from vqa_ray.core.demand import UNKNOWN_SHARE, Shape, expected_bytes, expected_share
from vqa_ray.core.placement import NO_BOUND
from vqa_ray.core.poison import FORGIVEN_AFTER_S
from vqa_ray.core.reconcile import SUSPECT_AFTER, Analyzer, Assign, Phase, Reason, plan
from vqa_ray.pipeline.worker import StreamReport

MB = 1 << 20
OPTIONS = ClusterOptions(analyzers_min=1, analyzers_max=4, shrink_after_s=60.0)


def roster(*streams: str, options: ClusterOptions = OPTIONS, analyzers: int = 2, **more: object) -> Roster:
    made = Roster(options, "here")
    specs = [StreamSpec(id=s, url=f"http://127.0.0.1:9/{s}", **more) for s in streams]  # type: ignore[arg-type]
    made.want({spec.id: (spec, LIVE, "v1") for spec in specs})
    for n in range(analyzers):
        made.ready(hello(n), 0.0)
    return made


def hello(n: int) -> Hello:
    return Hello(name=f"analyzer-{n}", incarnation=f"m:{n}:1", pid=n, node_id=f"node-{n}")


def give(made: Roster, stream_id: str, n: int, now_s: float = 0.0) -> None:
    place = made.assigning(stream_id, f"analyzer-{n}", made.epochs.get(stream_id, 0) + 1, now_s)
    made.assigned(place, made.members[f"analyzer-{n}"].number, now_s)


def report(made: Roster, stream_id: str, **more: object) -> StreamReport:
    values = {"state": "live", "reason": "", "at_s": 1.0, "cpu_share": 0.05, "coverage": 1.0, "fps": 25.0}
    values |= {"tier": "all", "open_incidents": 0, "reconnects": 0}
    return StreamReport(stream_id=stream_id, epoch=made.places[stream_id].epoch, **values | more)  # type: ignore[arg-type]


def beat(made: Roster, n: int, *reports: StreamReport, rss_bytes: int = 200 * MB, now_s: float = 0.0) -> BeatReply:
    number = made.members[f"analyzer-{n}"].number + 1
    held = tuple(Held(report=one, version="v1") for one in reports)
    return made.beat(Beat(hello=hello(n), number=number, held=held, load=0.5, rss_bytes=rss_bytes), now_s)


def test_before_it_is_measured_a_stream_is_reckoned_by_its_picture():
    made = roster("a")
    give(made, "a", 0)
    assert made.streams["a"].reserved == UNKNOWN_SHARE
    shape = Shape(width=1920, height=1080, fps=25.0)
    for _ in range(2):
        beat(made, 0, report(made, "a", state="connecting", fps=0.0, shape=shape))
    assert made.streams["a"].reserved == expected_share(shape)
    beat(made, 0, report(made, "a", cpu_share=0.2, shape=shape))
    assert made.streams["a"].reserved < expected_share(shape)


def test_a_stream_that_leaves_out_frames_keeps_its_room_for_all():
    made = roster("a")
    give(made, "a", 0)
    for _ in range(3):
        beat(made, 0, report(made, "a", cpu_share=0.3))
    for _ in range(50):
        beat(made, 0, report(made, "a", cpu_share=0.05, tier="key"))
    assert made.streams["a"].reserved == pytest.approx(0.3)


def test_what_a_process_has_grown_by_is_divided_among_its_streams_by_their_pictures():
    made = roster("small", "large")
    beat(made, 0, rss_bytes=120 * MB)
    assert made.bare_bytes == 120 * MB
    for stream_id in ("small", "large"):
        give(made, stream_id, 0)
    small, large = Shape(width=640, height=360, fps=25.0), Shape(width=1920, height=1080, fps=25.0)
    beat(made, 0, report(made, "small", shape=small), report(made, "large", shape=large), rss_bytes=320 * MB)
    sizes = [made.streams[s].reserved_bytes for s in ("small", "large")]
    assert sum(sizes) == pytest.approx(200 * MB, abs=2)
    assert sizes[1] / sizes[0] == pytest.approx(expected_bytes(large) / expected_bytes(small), rel=1e-3)


def test_the_budget_of_streams_is_what_the_bare_process_leaves():
    made = roster()
    assert made.budget == int(0.9 * OPTIONS.memory_bytes) - BARE_BYTES
    assert roster(options=msgspec.structs.replace(OPTIONS, memory_bytes=0)).budget == NO_BOUND


def test_a_live_stream_is_settled_after_a_while_but_a_file_and_one_with_a_single_client_never():
    made = roster("a")
    spec = StreamSpec(id="file", url="/tmp/x.ts")
    live = made.streams["a"]
    sent_to_us = StreamSpec(id="udp", url="udp://127.0.0.1:9")
    made.want({"a": (live.spec, LIVE, "v1"), "file": (spec, LIVE, "v1"), "udp": (sent_to_us, LIVE, "v1")})
    for stream_id in ("a", "file", "udp"):
        give(made, stream_id, 0)
    for now_s, settled in ((SETTLED_AFTER_S - 1, []), (SETTLED_AFTER_S, ["a"])):
        assert [r.stream_id for r in made.running(now_s) if r.settled] == settled


def test_the_label_apart_and_the_node_reach_the_plan():
    made = roster("main", "spare", labels={"apart": "news"})
    assert {w.apart for w in made.wanted()} == {"news"}
    assert [a.node for a in made.analyzers(0.0)] == ["node-0", "node-1"]
    actions = plan(made.wanted(), made.analyzers(0.0), made.running(0.0), 0.0, Headcount(made).limits(2.0, held=False))
    assert {a.analyzer for a in actions if isinstance(a, Assign)} == {"analyzer-0", "analyzer-1"}


def test_the_load_asks_for_analyzers_at_once():
    made = roster(*(f"s{n}" for n in range(20)))
    count = Headcount(made)
    count.look(made.wanted(), 0.0)
    assert count.limits(1.0, held=False).load == 3  # 20 streams of 0.10, at 0.68 of a core each


def test_after_a_quiet_time_one_after_the_other_is_emptied_down_to_the_minimum():
    made = roster("a", analyzers=4)
    give(made, "a", 0)
    count = Headcount(made)

    def draining(now_s: float) -> list[Analyzer]:
        count.look(made.wanted(), now_s)
        return [a for a in made.analyzers(now_s) if a.phase is Phase.DRAINING]

    assert draining(0.0) == draining(59.0) == []
    for now_s in (60.0, 61.0):
        assert [(a.name, a.leaves) for a in draining(now_s)] == [("analyzer-1", Reason.SURPLUS)]
    for left in ("analyzer-2", "analyzer-3"):
        (gone,) = draining(62.0)
        made.gone(gone.name, Reason.SURPLUS, 62.0, crashed=False)
        assert [a.name for a in draining(63.0)] == [left]
    made.gone("analyzer-3", Reason.SURPLUS, 64.0, crashed=False)
    assert draining(200.0) == []


def test_one_that_was_to_go_stays_when_it_is_needed_or_cannot_be_emptied():
    made = roster("a", analyzers=2)
    give(made, "a", 0)
    count = Headcount(made)
    count.look(made.wanted(), 0.0)
    count.look(made.wanted(), 60.0)
    assert made.members["analyzer-1"].leaves is Reason.SURPLUS
    made.streams["a"].share = 1.0
    count.look(made.wanted(), 61.0)
    assert made.members["analyzer-1"].leaves is None
    made.members["analyzer-1"].leaves, made.members["analyzer-1"].leaves_s = Reason.SURPLUS, 61.0
    made.streams["a"].share = 0.1
    count.look(made.wanted(), 61.0 + EMPTIED_WITHIN_S + 1)
    assert made.members["analyzer-1"].leaves is None


def crash(made: Roster, n: int, now_s: float) -> None:
    made.gone(f"analyzer-{n}", Reason.DIED, now_s, crashed=True)
    made.ready(hello(n), now_s)


def test_a_stream_that_crashes_its_own_analyzer_is_parked_until_somebody_asks():
    made = roster("bad", "good")
    give(made, "good", 1)
    for n in range(3):
        assert "bad" not in made.parked
        give(made, "bad", 0)
        crash(made, 0, float(n))
    assert made.parked == {"bad": "its process died 3 times, 3 of these with nothing else in it"}
    assert [w.stream_id for w in made.wanted()] == ["good"]
    assert made.unpark("bad", 10.0)
    assert {w.stream_id: w.crashes for w in made.wanted()} == {"bad": SUSPECT_AFTER, "good": 0}  # on its own at first
    assert not made.unpark("bad", 11.0)


def test_a_stream_that_has_long_crashed_nothing_is_as_good_as_new():
    made = roster("a")
    for n in range(2):
        give(made, "a", 0)
        crash(made, 0, float(n))
    made.look(1.0 + FORGIVEN_AFTER_S)
    assert made.wanted()[0].crashes == 2
    made.look(2.0 + FORGIVEN_AFTER_S)
    assert made.wanted()[0].crashes == 0


def test_applying_the_fleet_again_unparks_nothing_but_a_change_of_the_stream_does():
    made = roster("bad")
    made.park("bad", "why")
    spec = made.streams["bad"].spec
    made.want({"bad": (spec, LIVE, "v1")})
    assert made.parked
    made.want({"bad": (spec, LIVE, "v2")})
    assert not made.parked


def test_it_is_known_where_a_stream_was_and_why_it_went_there():
    made = roster("a")
    give(made, "a", 0)
    made.gone("analyzer-0", Reason.DIED, 1.0, crashed=True)
    made.assigning("a", "analyzer-1", 2, 1.0, Reason.DIED)
    spec = StreamSpec(id="a", url="http://127.0.0.1:9/a", labels={"x": "y"})
    made.want({"a": (spec, LIVE, "v2")})
    stays = [(stay.analyzer, stay.epoch, stay.why) for stay in made.streams["a"].stays]
    assert stays == [("analyzer-0", 1, "new"), ("analyzer-1", 2, "its analyzer died")]


def test_the_answer_to_a_beat_names_streams_that_have_another_priority_now():
    made = roster("a", "b")
    give(made, "a", 0)
    give(made, "b", 0)
    assert beat(made, 0, report(made, "a"), report(made, "b")).priorities == {}
    made.want(
        {s: (StreamSpec(id=s, url=f"http://127.0.0.1:9/{s}", priority=n), LIVE, "v1") for n, s in enumerate("ab")}
    )
    assert beat(made, 0, report(made, "a"), report(made, "b")).priorities == {"b": 1}
    assert beat(made, 0, report(made, "a"), report(made, "b", priority=1)).priorities == {}


def test_places_are_found_by_their_analyzer_whatever_became_of_them():
    made = roster("a", "b")
    give(made, "a", 0)
    give(made, "b", 0)
    give(made, "b", 1)
    assert [[p.stream_id for p in made.places_at(f"analyzer-{n}")] for n in (0, 1)] == [["a"], ["b"]]
    place = made.places["a"]
    made.want({"b": (made.streams["b"].spec, LIVE, "v1")})
    made.released(place, Reason.REMOVED, None)
    assert made.places_at("analyzer-0") == []
    assert set(made.places) == {"b"}
