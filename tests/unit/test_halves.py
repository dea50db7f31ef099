"""A stream in two halves: who tells what, when that pays, and that together they tell what the whole would."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqa_ray.cluster.halving import halved, told_by, why
from vqa_ray.config import LIVE, DetectorSet, Profile
from vqa_ray.core.halves import (
    GAIN,
    Half,
    causes,
    divide,
    fits_together,
    is_second,
    needed,
    parts,
    pays,
    second,
    whole,
)
from vqa_ray.core.hold import Rule
from vqa_ray.core.reading import Reading, Severity
from vqa_ray.detectors.registry import by_id
from vqa_ray.pipeline.analysis import Analysis

ORIGIN = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ("signal_loss", "silence", "black", "bars", "green", "freeze", "stutter", "clipping")
ALL = Profile(
    name="test",
    live=True,
    detectors=DetectorSet(**{name: by_id[name](raise_after_s=1.0, clear_after_s=1.0) for name in NAMES}),
)
weights = st.dictionaries(st.sampled_from([spec.id for spec in LIVE.specs]), st.floats(0.001, 0.02), min_size=2)


def rule(name: str, *hidden_by: str, worse_with: tuple[str, ...] = (), sound: Severity | None = None) -> Rule:
    more = {"hidden_by": hidden_by, "worse_with": worse_with, "severity_with_sound": sound}
    return Rule(detector=name, raise_after_s=1.0, clear_after_s=1.0, **more)


def test_a_half_is_assigned_under_a_name_of_its_own():
    assert (second("a"), whole(second("a")), whole("a")) == ("a~2", "a", "a")
    assert (is_second(second("a")), is_second("a")) == (True, False)


def test_causes_are_followed_to_their_own_causes_and_to_what_hears():
    rules = [rule("loss"), rule("black", "loss"), rule("freeze", "black", sound=Severity.MINOR), rule("silence")]
    found = causes(rules, "silence")
    assert found["freeze"] == {"black", "loss", "silence"}
    assert found["loss"] == found["silence"] == frozenset()


def test_what_is_not_on_causes_nothing():
    assert causes([rule("freeze", "black", worse_with=("silence",))], "silence") == {"freeze": frozenset()}


@given(weights)
def test_every_detector_is_told_of_by_one_half_that_has_all_it_needs(found: dict[str, float]):
    moved = divide(why(LIVE), found)
    assert moved is not None
    halves = [Half(moved=moved, second=other) for other in (False, True)]
    told = [told_by(LIVE, half) for half in halves]
    assert sorted((*told[0], *told[1])) == sorted(spec.id for spec in LIVE.specs)
    for half, own in zip(halves, told, strict=True):
        assert {spec.id for spec in halved(LIVE, half).specs} == needed(own, why(LIVE))


@given(weights)
def test_no_half_takes_more_than_the_whole(found: dict[str, float]):
    needs = why(LIVE)
    moved = divide(needs, found)
    assert moved is not None
    assert max(parts(moved, needs, found)) <= 1.0 + 1e-9


def test_the_heaviest_are_in_different_halves_and_a_cause_counts_in_both():
    needs = {"a": frozenset({"c"}), "b": frozenset({"c"}), "c": frozenset[str]()}
    found = {"a": 0.3, "b": 0.3, "c": 0.1}
    moved = divide(needs, found)
    assert moved is not None
    assert ("a" in moved) is not ("b" in moved)
    assert parts(moved, needs, found) == pytest.approx((0.7, 0.7))


def test_one_detector_is_not_divided():
    assert divide({"a": frozenset()}, {"a": 0.5}) is None


def test_it_pays_where_the_whole_is_too_heavy_and_decoding_twice_is_not_the_most_of_it():
    assert pays(0.95, 0.85, (0.7, 0.6))
    assert not pays(0.80, 0.85, (0.7, 0.6))
    assert not pays(0.95, 0.85, (1.0 - GAIN / 2, 0.5))


def test_halves_go_together_again_only_with_room_to_spare():
    assert fits_together((0.3, 0.3), 0.85)
    assert not fits_together((0.4, 0.4), 0.85)


@given(
    st.lists(st.fixed_dictionaries({name: st.booleans() for name in NAMES}), min_size=4, max_size=40),
    st.sets(st.sampled_from(NAMES), min_size=1, max_size=len(NAMES) - 1),
)
def test_two_halves_tell_what_the_whole_tells(script: list[dict[str, bool]], moved: set[str]):
    halves = [Half(moved=tuple(sorted(moved)), second=other) for other in (False, True)]
    both = [t for half in halves for t in transitions(halved(ALL, half), script) if half.tells(t[1].detector)]
    alone = transitions(ALL, script)
    assert sorted(both, key=str) == sorted(alone, key=str)


def transitions(profile: Profile, script: list[dict[str, bool]]) -> list:
    """What opens, changes and closes where each second brings those readings, and the media end after the last."""
    analysis = Analysis("a", profile.specs, origin_utc=ORIGIN)
    analysis.connected()
    out = []
    for second_s, bad in enumerate(script):
        for spec in analysis.specs:
            reading = Reading(float(second_s), second_s + 1.0, float(bad[spec.id]), bad[spec.id])
            out += analysis.take(spec.id, [reading])
    return out + analysis.finish()
