"""A ConfigMap followed as the fleet, from a real HTTP server that breaks off, forgets and refuses."""

import threading
import time

import pytest

from tests.kube.server import KubeServer
from vqa_ray.cluster.kube.api import Api
from vqa_ray.cluster.kube.follow import Follower
from vqa_ray.cluster.messages import ApplyResult
from vqa_ray.config import FleetSpec
from vqa_ray.errors import ClusterUnreachable, StoreError

CONFIGMAPS = "/api/v1/namespaces/vqa/configmaps"
PATH = f"{CONFIGMAPS}/vqa-fleet"


def configmap(text, key="fleet.yaml"):
    return {"metadata": {"name": "vqa-fleet", "namespace": "vqa"}, "data": {key: text}}


def streams(*names):
    return "streams:\n" + "".join(f"  - {{id: {name}, url: 'udp://10.0.0.1:5000/{name}'}}\n" for name in names)


class Bench:
    """A follower on a thread of its own, and what it has applied."""

    def __init__(self, kube: KubeServer, api: Api, watch_s: float = 2.0) -> None:
        self.kube = kube
        self.applied: list[list[str]] = []
        self.fail: list[Exception] = []
        self.stop = threading.Event()
        self.follower = Follower(api, "vqa", "vqa-fleet", self._apply, watch_s=watch_s, first_delay_s=0.05)
        self.thread = threading.Thread(target=self.follower.run, args=(self.stop,), daemon=True)
        self.thread.start()

    def _apply(self, fleet: FleetSpec) -> ApplyResult:
        if self.fail:
            raise self.fail.pop(0)
        self.applied.append([stream.id for stream in fleet.streams])
        return ApplyResult(added=tuple(self.applied[-1]), changed=(), removed=())

    @property
    def events(self):
        return [(e["reason"], e["message"]) for path, e in self.kube.objects.items() if "/events/" in path]

    def until(self, true, timeout_s=10.0):
        deadline_s = time.monotonic() + timeout_s
        while not true():
            assert time.monotonic() < deadline_s, (self.applied, self.follower.state, self.events)
            time.sleep(0.01)


@pytest.fixture
def begin(kube, api):
    made = []

    def start(**options):
        made.append(Bench(kube, api, **options))
        return made[-1]

    yield start
    for bench in made:
        bench.stop.set()
        kube.break_watches()
        bench.thread.join(10)
        assert not bench.thread.is_alive()


def test_what_is_there_is_applied_and_each_edit_is_too(kube, begin):
    kube.put(PATH, configmap(streams("a")))
    bench = begin()
    bench.until(lambda: bench.applied == [["a"]])
    kube.wait_for_watch()
    kube.put(PATH, configmap(streams("a", "b")))
    bench.until(lambda: bench.applied == [["a"], ["a", "b"]])
    assert bench.follower.state.applied == kube.objects[PATH]["metadata"]["resourceVersion"]


def test_only_the_one_configmap_is_asked_for_so_that_rights_for_it_are_enough(kube, begin):
    kube.put(PATH, configmap(streams("a")))
    kube.put(f"{CONFIGMAPS}/other", {"metadata": {"name": "other"}, "data": {"fleet.yaml": streams("x")}})
    bench = begin()
    kube.wait_for_watch()
    bench.until(lambda: bench.applied == [["a"]])
    asked = [query.get("fieldSelector") for method, path, query in kube.requests if path == CONFIGMAPS]
    assert set(asked) == {"metadata.name=vqa-fleet"}


def test_an_edit_that_changes_nothing_in_the_fleet_applies_nothing(kube, begin):
    kube.put(PATH, configmap(streams("a")))
    bench = begin()
    kube.wait_for_watch()
    kube.put(PATH, {**configmap(streams("a")), "metadata": {"name": "vqa-fleet", "labels": {"x": "y"}}})
    kube.put(PATH, configmap(streams("b")))
    bench.until(lambda: bench.applied[-1:] == [["b"]])
    assert bench.applied == [["a"], ["b"]]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("streams: [{id: a, url: 'udp://h:1', colour: red}]", "vqa-fleet/fleet.yaml:1: streams[0].colour"),
        ("streams: [", "is no YAML"),
        ("  \n", "is empty; write `streams: []`"),
    ],
    ids=["unknown field", "no YAML", "empty"],
)
def test_a_wrong_fleet_is_refused_with_an_event_and_the_old_one_goes_on(kube, begin, bad, why):
    kube.put(PATH, configmap(streams("a")))
    bench = begin()
    kube.wait_for_watch()
    kube.put(PATH, configmap(bad))
    bench.until(lambda: len(bench.events) == 2)
    reason, message = bench.events[-1]
    assert reason == "FleetRefused" and why in message
    assert why in bench.follower.state.refused
    assert bench.applied == [["a"]]
    kube.put(PATH, configmap(streams("c")))
    bench.until(lambda: bench.applied == [["a"], ["c"]])
    assert bench.follower.state.refused == ""


def test_a_configmap_without_the_key_is_refused(kube, begin):
    kube.put(PATH, configmap(streams("a"), key="flete.yaml"))
    bench = begin()
    bench.until(lambda: "has no fleet.yaml" in bench.follower.state.refused)
    assert bench.applied == []


def test_a_deleted_configmap_ends_nothing_and_one_that_comes_is_taken(kube, begin):
    kube.put(PATH, configmap(streams("a")))
    bench = begin()
    kube.wait_for_watch()
    kube.take(PATH)
    bench.until(lambda: "there is no ConfigMap" in bench.follower.state.refused)
    assert bench.applied == [["a"]]
    kube.put(PATH, configmap(streams("b")))
    bench.until(lambda: bench.applied == [["a"], ["b"]])


def test_a_watch_that_times_out_is_begun_again_from_where_it_was(kube, begin):
    kube.put(PATH, configmap(streams("a")))
    bench = begin(watch_s=1.0)
    kube.wait_for_watch(2)
    kube.put(PATH, configmap(streams("b")))
    bench.until(lambda: bench.applied == [["a"], ["b"]])
    lists = [query for _, path, query in kube.requests if path == CONFIGMAPS and "watch" not in query]
    assert len(lists) == 1


def test_a_connection_that_breaks_is_made_again_and_misses_no_edit(kube, begin):
    kube.put(PATH, configmap(streams("a")))
    bench = begin()
    kube.wait_for_watch()
    kube.break_watches()
    kube.put(PATH, configmap(streams("b")))
    bench.until(lambda: bench.applied[-1:] == [["b"]])


def test_a_version_that_is_too_old_is_looked_at_anew(kube, begin):
    kube.put(PATH, configmap(streams("a")))
    bench = begin()
    kube.wait_for_watch()
    kube.answers["WATCH", CONFIGMAPS] = [410]
    kube.break_watches()
    kube.put(PATH, configmap(streams("b")))
    kube.forget_history()
    bench.until(lambda: bench.applied[-1:] == [["b"]])
    bench.until(lambda: bench.follower.state.trouble == "")


@pytest.mark.parametrize("status", [403, 404, 409, 429, 500, 503])
def test_refusals_of_the_server_are_told_and_tried_again(kube, begin, status):
    kube.put(PATH, configmap(streams("a")))
    kube.answers["GET", CONFIGMAPS] = [status] * 3
    bench = begin()
    bench.until(lambda: str(status) in bench.follower.state.trouble)
    bench.until(lambda: bench.applied == [["a"]])
    bench.until(lambda: bench.follower.state.trouble == "")


def test_tries_become_rarer(kube, begin):
    kube.answers["GET", CONFIGMAPS] = [503] * 1000
    begin()
    time.sleep(1.0)
    assert 3 <= len(kube.requests) <= 6  # after 0.05, 0.1, 0.2, 0.4 s


def test_a_supervisor_that_is_away_gets_the_fleet_later(kube, begin):
    kube.put(PATH, configmap(streams("a")))
    bench = begin()
    kube.wait_for_watch()
    bench.fail = [ClusterUnreachable("no answer"), ClusterUnreachable("no answer")]
    kube.put(PATH, configmap(streams("b")))
    bench.until(lambda: bench.applied == [["a"], ["b"]])
    assert bench.follower.state.refused == ""


def test_a_store_that_is_away_is_told_once_and_tried_again(kube, begin):
    kube.put(PATH, configmap(streams("a")))
    bench = begin()
    kube.wait_for_watch()
    bench.fail = [StoreError("s3://x: no rights")] * 3
    kube.put(PATH, configmap(streams("b")))
    bench.until(lambda: bench.applied == [["a"], ["b"]])
    bench.until(lambda: len(bench.events) == 3)
    assert [reason for reason, _ in bench.events] == ["FleetApplied", "FleetRefused", "FleetApplied"]


def test_without_the_right_to_write_events_all_else_works(kube, begin):
    kube.refused.add(("POST", "events"))
    kube.put(PATH, configmap(streams("a")))
    bench = begin()
    kube.wait_for_watch()
    kube.put(PATH, configmap("streams: 3"))
    bench.until(lambda: bench.follower.state.refused != "")
    assert bench.events == []


def test_events_hold_no_secret(kube, begin):
    kube.put(PATH, configmap("streams: [{id: a, url: 'rtsp://u:hunter2@h/x', colour: red}]"))
    bench = begin()
    bench.until(lambda: len(bench.events) == 1)
    assert "hunter2" not in str(bench.events) + bench.follower.state.refused


def test_watches_that_end_at_once_are_not_begun_in_a_tight_loop(kube, begin):
    kube.put(PATH, configmap(streams("a")))
    kube.events = lambda path, query: iter(())
    begin()
    time.sleep(1.0)
    assert 3 <= sum("watch" in query for _, _, query in kube.requests) <= 6
