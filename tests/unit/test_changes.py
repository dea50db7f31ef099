"""What one fleet has that the other has not, and small changes to one."""

import msgspec
import pytest

from vqa_ray.cluster import changes
from vqa_ray.config import FleetSpec, StreamSpec
from vqa_ray.errors import ConfigError


def fleet(*streams: dict, **more) -> FleetSpec:
    return msgspec.convert({"streams": list(streams), **more}, FleetSpec)


def one(name: str, **more) -> dict:
    return {"id": name, "url": f"http://h/{name}"} | more


def test_what_changes_is_told_option_by_option():
    before = fleet(one("a"), one("b"), one("c"))
    after = fleet(one("a", detectors={"black": {"raise_after_s": 5}}, labels={"channel": "x"}), one("b"), one("d"))
    result = changes.between(before, after)
    assert (result.added, result.changed, result.removed) == (("d",), ("a",), ("c",))
    assert result.details == {"a": ("detectors.black.raise_after_s: 2.0 → 5.0", "labels.channel:  → x")}


def test_a_changed_profile_changes_its_streams():
    before = fleet(one("a", profile="mine"), one("b"), profiles={"mine": {"extends": "live"}})
    after = msgspec.structs.replace(
        before, profiles=fleet(profiles={"mine": {"extends": "live", "detectors": {"black": False}}}).profiles
    )
    result = changes.between(before, after)
    assert result.changed == ("a",)
    assert all(line.startswith("detectors.black") for line in result.details["a"])


def test_secrets_are_not_shown():
    before, after = (fleet({"id": "a", "url": f"http://u:{word}@h/a"}) for word in ("hunter2", "swordfish"))
    assert changes.between(before, after).details == {"a": ("url: http://u:***@h/a, in what is hidden",)}


def test_another_priority_is_a_change():
    assert changes.between(fleet(one("a")), fleet(one("a", priority=5))).details == {"a": ("priority: 0 → 5",)}


def test_a_fleet_that_is_wrong_is_refused():
    with pytest.raises(ConfigError, match="unheard-of"):
        changes.between(fleet(one("a")), fleet(one("a", profile="unheard-of")))
    with pytest.raises(ConfigError, match="unheard-of"):
        changes.with_streams(fleet(), [StreamSpec(id="a", url="http://h/", profile="unheard-of")])


def test_of_many_streams_not_all_are_named_to_whom_none_is_like():
    many = fleet(*(one(f"stream-{n}") for n in range(500)))
    with pytest.raises(ConfigError) as refused:
        changes.without_streams(many, ["xyz"])
    assert len(str(refused.value)) < 200
    with pytest.raises(ConfigError, match="did you mean 'stream-17'"):
        changes.with_paused(many, ["stream_17"], True)


def test_pausing_and_resuming_gives_the_same_fleet():
    before = fleet(one("a"), one("b"))
    paused = changes.with_paused(before, ["b"], True)
    assert [s.paused for s in paused.streams] == [False, True]
    assert changes.with_paused(paused, ["b"], False) == before
