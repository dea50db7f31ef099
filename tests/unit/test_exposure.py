"""What Prometheus gets of a fleet: few series however many streams, the worst among them."""

from datetime import UTC, datetime

import msgspec
import pytest

from vqa_ray.cluster import metrics
from vqa_ray.cluster.messages import AnalyzerStatus, FleetStatus, StreamStatus
from vqa_ray.cluster.tally import Tally
from vqa_ray.config import parse_fleet
from vqa_ray.core.exposure import LINGER_S, Exposure, MetricsOptions, Plight, groups
from vqa_ray.core.reconcile import Reason
from vqa_ray.errors import ConfigError


def stream(name: str, **more) -> StreamStatus:
    given = {"state": "live", "epoch": 1, "tier": "all", "coverage": 1.0, "health": 100.0}
    return StreamStatus(stream_id=name, **(given | more))


def analyzer(**more) -> AnalyzerStatus:
    plain = AnalyzerStatus(
        name="analyzer-0",
        phase="ready",
        pid=1,
        node_id="n",
        streams=1,
        load=0.1,
        reserved=0.1,
        capacity=0.8,
        rss_bytes=1,
    )
    return msgspec.structs.replace(plain, **more)


def view(streams: list[StreamStatus], exposure: Exposure, now_s: float = 0.0, **options) -> metrics.View:
    status = FleetStatus(
        streams=tuple(streams),
        analyzers=(analyzer(),),
        waiting=0,
        open_incidents=0,
        undelivered=0,
        dropped_stale=0,
        tick_failures=0,
        started_utc=datetime(2026, 1, 1, tzinfo=UTC),
        supervisor_pid=1,
    )
    chosen = MetricsOptions(**options)
    return metrics.View(
        status=status,
        channels={},
        tally=Tally(),
        losses={Reason.DIED: 3, Reason.DRAINED: 2},
        lasting=(),
        options=chosen,
        shown=exposure.choose(metrics.plights(status), chosen.streams, now_s),
    )


def test_ten_thousand_streams_make_no_more_series_than_a_few_hundred():
    streams = [stream(f"s{n}", labels={"region": f"r{n % 200}"}) for n in range(10_000)]
    few = list(metrics.gauges(view(streams[:300], Exposure(), label="region")))
    many = list(metrics.gauges(view(streams, Exposure(), label="region")))
    assert len(many) == len(few) < 1500
    told = {(one.name, *one.labels.values()): one.value for one in many}
    assert told["vqa_streams", "live"] == 10_000
    assert told["vqa_streams_unlisted",] == 9950
    assert sum(value for (name, *_), value in told.items() if name == "vqa_group_streams") == 10_000
    assert told["vqa_group_streams", "other", "live"] == 10_000 - 50 * 50
    assert (told["vqa_failovers_total", "died"], told["vqa_moves_total", "drained"]) == (3, 2)


def test_all_streams_have_series_while_they_are_few():
    told = {
        one.labels["stream"]
        for one in metrics.gauges(view([stream("a"), stream("b")], Exposure()))
        if one.name == "vqa_stream_up"
    }
    assert told == {"a", "b"}


def test_every_metric_is_documented_and_has_the_same_labels_each_time():
    seen: dict[str, tuple[str, ...]] = {}
    for one in metrics.gauges(view([stream("a"), stream("b", state="waiting")], Exposure())):
        assert metrics.MEANING[one.name]
        assert seen.setdefault(one.name, tuple(one.labels)) == tuple(one.labels)


def plight(name: str, **more) -> Plight:
    given = {"down": False, "open_incidents": 0, "health": 100.0, "coverage": 1.0}
    return Plight(**(given | more), stream_id=name)


def test_the_worst_come_first():
    every = [plight("a"), plight("b", health=40.0, open_incidents=1), plight("c", down=True), plight("d", coverage=0.5)]
    exposure = Exposure()
    assert exposure.choose(every, 1, 0.0) == {"c"}
    assert exposure.choose(every, 2, 0.0) == {"c", "b"}
    assert exposure.choose(every, 3, 0.0) == {"c", "b", "d"}
    assert exposure.choose(every, 0, 0.0) == frozenset()


def test_a_stream_that_recovered_is_shown_for_a_while():
    exposure = Exposure()
    assert exposure.choose([plight("a"), plight("b", down=True)], 1, 0.0) == {"b"}
    assert exposure.choose([plight("a"), plight("b")], 1, LINGER_S - 1) == {"b"}
    assert exposure.choose([plight("a"), plight("b")], 1, LINGER_S + 1) == {"a"}


def test_groups_are_by_label_and_bounded():
    labels = {"a": {"region": "eu"}, "b": {"region": "eu"}, "c": {"region": "us"}, "d": {}}
    assert set(groups(labels, MetricsOptions()).values()) == {"none"}
    assert groups(labels, MetricsOptions(label="region"))["d"] == "none"
    assert groups(labels, MetricsOptions(label="region", groups=1)) == {
        "a": "eu",
        "b": "eu",
        "c": "other",
        "d": "other",
    }


def test_a_fleet_says_what_prometheus_gets():
    assert parse_fleet("metrics: {label: region, streams: 10}").metrics == MetricsOptions(label="region", streams=10)
    with pytest.raises(ConfigError, match=r"metrics.streams"):
        parse_fleet("metrics: {streams: 1000000}")


def test_seconds_not_analysed_are_counted_by_cause():
    tally = Tally()
    tally.look([], [], 0.0)
    streams = [
        stream("a", frames_came=100, frames_analysed=50),
        stream("b", state="waiting"),
        stream("c", state="backing_off"),
        stream("d", state="paused"),
        stream("e", state="faulty"),
    ]
    tally.look(streams, [], 10.0)
    assert tally.unanalysed_s == {"analyzer": 10.0, "fault": 10.0, "load": 5.0, "parked": 0.0, "source": 10.0}
    tally.look([stream("a", frames_came=200, frames_analysed=150)], [], 20.0)
    assert tally.unanalysed_s["load"] == 5.0  # all frames since then were analysed


def test_totals_survive_a_move_of_the_stream_and_a_restart_of_its_analyzer():
    tally = Tally()
    tally.look([stream("a", reconnects=4)], [analyzer(evidence_lost=2)], 0.0)
    tally.look([stream("a", reconnects=5)], [analyzer(evidence_lost=3)], 5.0)
    tally.look([stream("a", reconnects=2, epoch=2)], [analyzer(evidence_lost=1, pid=2, transitions_lost=1)], 10.0)
    assert (tally.reconnects, tally.evidence_lost, tally.transitions_lost) == (3, 2, 1)
