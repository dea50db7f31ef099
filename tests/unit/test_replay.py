"""`vqa replay`: what other rules make of a store, against what they make of the frames themselves."""

import random
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from click.testing import CliRunner

from tests.unit.cli_fakes import NoFleet
from vqa_ray.cli.main import cli
from vqa_ray.config import parse_fleet
from vqa_ray.core.hold import Rule
from vqa_ray.core.incident import IncidentBook
from vqa_ray.core.notice import Incident
from vqa_ray.core.reading import Reading, Severity
from vqa_ray.core.replay import Fate, Second, affected_by, as_readings, replay
from vqa_ray.core.window import Rollup
from vqa_ray.sinks.history import read_seconds
from vqa_ray.sinks.store import ResultStore

ORIGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)
FRAME_S = 0.04
LENGTH_S = 600.0


def rules(**changes) -> dict[str, Rule]:
    black = Rule(detector="black", raise_after_s=2.0, clear_after_s=1.0, merge_gap_s=0.2, hidden_by=())
    freeze = Rule(detector="freeze", raise_after_s=3.0, clear_after_s=1.0, hidden_by=("black",))
    made = {"black": black, "freeze": freeze}
    return made | {name: msgspec.structs.replace(made[name], **change) for name, change in changes.items()}


def frames(seed: int) -> dict[str, list[Reading]]:
    """Ten minutes of frames with bad runs of 0.04 to 12 s, at least 4 s apart; some start and end at the same time."""
    rng, out = random.Random(seed), {"black": [], "freeze": []}
    for name, readings in out.items():
        number, bad = 0, name == "black"
        while number < LENGTH_S / FRAME_S:
            run = rng.randint(1, 300) if bad else rng.randint(100, 900)
            for n in range(number, number + run):
                readings.append(Reading(n * FRAME_S, (n + 1) * FRAME_S, float(bad), bad))
            number, bad = number + run, not bad
    return out


def live(readings, with_rules) -> list[Incident]:
    """What the incident machine raises of the frames, as it does live."""
    book, found = IncidentBook("cam", with_rules.values(), ORIGIN), {}
    merged = sorted(((one.at_s, name, one) for name, row in readings.items() for one in row), key=lambda row: row[:2])
    for _, name, one in merged:
        if name in with_rules:
            found |= {incident.incident_id: incident for _, incident in book.step(name, (one,))}
    return sorted(found.values(), key=lambda one: (one.start_utc, one.detector))


@pytest.fixture
def written(tmp_path):
    def write(readings, incidents, origin=ORIGIN):
        store = ResultStore(str(tmp_path / "store"), writer="w", flush_s=1000)
        rollup = Rollup("cam", origin)
        for name, row in readings.items():
            store.add_windows([w for one in row if (w := rollup.add(name, one, lambda _: 1.0)) is not None])
        store.add_windows(rollup.finish(lambda _: 1.0))
        for one in incidents:
            store.add_incident(one, 1)
        store.close()
        uri = str(tmp_path / "store")

        def seconds(detector):
            return read_seconds(
                uri, since=origin, until=origin + timedelta(hours=1), stream="cam", detector=detector
            )  # fmt: skip

        return uri, seconds

    return write


def near_end(one, other) -> bool:
    return one.end_s is other.end_s is None or abs((one.end_s or LENGTH_S) - (other.end_s or LENGTH_S)) <= 1


@pytest.mark.parametrize("seed", range(4))
def test_the_same_rules_give_the_stored_incidents_exactly(written, seed):
    readings = frames(seed)
    stored = live(readings, rules())
    _, seconds = written(readings, stored)
    made = replay("cam", ORIGIN, stored, seconds, rules(), rules())
    assert len(stored) > 10
    assert [one.after for one in made.verdicts] == [one.before for one in made.verdicts]
    assert sorted(one.after.incident_id for one in made.verdicts) == sorted(one.incident_id for one in stored)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("raise_after_s", [0.5, 4.5, 8.0])
def test_another_hold_gives_what_the_frames_give(written, seed, raise_after_s):
    readings, old, new = frames(seed), rules(), rules(black={"raise_after_s": raise_after_s})
    stored, truth = live(readings, old), live(readings, new)
    _, seconds = written(readings, stored)
    made = replay("cam", ORIGIN, stored, seconds, old, new)
    found = [one.after for one in made.verdicts if one.after and one.after.detector == "black"]
    expected = [one for one in truth if one.detector == "black"]
    if raise_after_s > 2:  # of incidents that are stored the ends are known
        assert [(one.start_s, one.end_s) for one in found] == [(one.start_s, one.end_s) for one in expected]
    else:
        near = [one for one in expected if one.end_s and abs(one.end_s - one.start_s - raise_after_s) < 2 * FRAME_S]
        assert abs(len(found) - len(expected)) <= len(near)
        for one in found:
            assert any(abs(one.start_s - t.start_s) <= 1 and near_end(one, t) for t in expected)


def test_what_a_changed_rule_hid_is_looked_at_too_and_nothing_else():
    sound = Rule(detector="silence", raise_after_s=1.0, clear_after_s=1.0)
    old = rules() | {"silence": sound}
    assert affected_by(old, old) == frozenset()
    assert affected_by(old, rules(black={"raise_after_s": 9.0}) | {"silence": sound}) == {"black", "freeze"}
    assert affected_by(old, rules(freeze={"clear_after_s": 9.0}) | {"silence": sound}) == {"freeze"}
    assert affected_by(old, rules(freeze={"severity": Severity.INFO}) | {"silence": sound}) == frozenset()


def test_freeze_comes_out_where_black_no_longer_hides_it(written):
    bad = {
        name: [Reading(n * FRAME_S, (n + 1) * FRAME_S, 1.0, 500 <= n < 750) for n in range(1500)] for name in rules()
    }
    stored = live(bad, rules())
    assert [one.detector for one in stored] == ["black"]
    _, seconds = written(bad, stored)
    off = {"freeze": rules()["freeze"]}
    made = replay("cam", ORIGIN, stored, seconds, rules(), off)
    assert [(one.fate, one.incident.detector) for one in made.verdicts] == [(Fate.GONE, "black"), (Fate.NEW, "freeze")]


def test_a_longer_clearing_joins_two(written):
    def bad(n):
        return 500 <= n < 600 or 650 <= n < 750

    readings = {"black": [Reading(n * FRAME_S, (n + 1) * FRAME_S, 1.0, bad(n)) for n in range(1500)]}
    only = {"black": rules()["black"]}
    stored = live(readings, only)
    _, seconds = written(readings, stored)
    longer = {"black": msgspec.structs.replace(only["black"], clear_after_s=5.0)}
    moved, gone = replay("cam", ORIGIN, stored, seconds, only, longer).verdicts
    assert (moved.fate, moved.after.start_s, moved.after.end_s) == (Fate.MOVED, 20.0, 30.0)
    assert (gone.fate, gone.before) == (Fate.GONE, stored[1])


def test_another_severity_moves_nothing_else():
    one = live({"black": [Reading(0, 5, 1.0, True), Reading(5, 9, 0.0, False)]}, rules())[0]
    (verdict,) = replay("cam", ORIGIN, [one], lambda _: {}, rules(), rules(black={"severity": Severity.INFO})).verdicts
    assert verdict.after == msgspec.structs.replace(one, severity=Severity.INFO)
    critical = msgspec.structs.replace(one, severity=Severity.CRITICAL)  # coincidence made it so
    (verdict,) = replay(
        "cam", ORIGIN, [critical], lambda _: {}, rules(), rules(black={"severity": Severity.INFO})
    ).verdicts
    assert verdict.fate is Fate.SAME


def test_what_the_seconds_do_not_hold_stays_and_is_counted():
    one = live({"black": [Reading(0, 5, 1.0, True), Reading(5, 9, 0.0, False)]}, rules())[0]
    made = replay("cam", ORIGIN, [one], lambda _: {}, rules(), rules(black={"raise_after_s": 1.0}))
    assert ([verdict.fate for verdict in made.verdicts], made.unsure) == ([Fate.SAME], 1)


def spans(*seconds, known=()):
    return [(r.at_s, r.until_s, r.bad) for r in as_readings(seconds, known)]


def test_where_bad_lay_in_a_second_is_taken_from_those_beside_it():
    good, whole = Second(0, 3, 0.0, 0.0), Second(4, 5, 1.0, 1.0)
    assert spans(good, Second(3, 4, 0.25, 1.0), whole)[1:3] == [(3, 3.75, False), (3.75, 4, True)]
    assert spans(whole, Second(5, 6, 0.25, 1.0))[1:] == [(5, 5.25, True), (5.25, 6, False)]
    assert spans(good, Second(3, 4, 0.25, 1.0), whole, known=[(3.6, 9.0)])[1:3] == [(3, 3.6, False), (3.6, 4, True)]


def test_a_reading_longer_than_its_second_lasts_as_long_as_its_incident():
    rows = Second(0, 3, 0.0, 0.0), Second(3, 4, 1.0, 1.0), Second(20, 21, 0.0, 0.0)
    assert spans(*rows, known=[(3.2, 12.5)]) == [
        (0, 3, False),
        (3, 3.2, False),
        (3.2, 12.5, True),
        (20, 21, False),
    ]


def test_good_seconds_in_a_row_are_one_and_gaps_end_them(written):
    readings = {"black": [Reading(n, n + 1, 0.0, n == 5) for n in range(20) if n not in (12, 13)]}
    _, seconds = written(readings, [])
    assert [(one.at_s, one.until_s, one.share) for one in seconds("black")[""]] == [
        (0, 5, 0),
        (5, 6, 1),
        (6, 12, 0),
        (14, 20, 0),
    ]


@pytest.fixture
def files(tmp_path):
    def write(name, text):
        path = tmp_path / name
        parse_fleet(text)
        path.write_text(text)
        return str(path)

    return write


def test_the_command_tells_what_would_change_and_says_what_it_cannot(written, files, monkeypatch):
    origin = datetime.now(UTC) - timedelta(hours=1)
    readings = {"black": frames(1)["black"]}
    live_rules = {"black": rules()["black"]}
    stored = [
        msgspec.structs.replace(
            one, start_utc=one.start_utc - ORIGIN + origin, end_utc=one.end_utc and one.end_utc - ORIGIN + origin
        )
        for one in live(readings, live_rules)
    ]
    uri, _ = written(readings, stored, origin)
    fleet = "streams: [{id: cam, url: 'udp://h:1', profile: mine}]\nprofiles: {mine: {detectors: {black: %s}}}"
    before = files("before.yaml", fleet % "{raise_after_s: 2, clear_after_s: 1, merge_gap_s: 0.2}")
    after = files(
        "after.yaml",
        "profiles: {mine: {detectors: {black: {raise_after_s: 100, clear_after_s: 1, merge_gap_s: 0.2}, blur: on}}}",
    )
    line = ["replay", "--since", "2h", "--store", uri, "--before", before, "--profile"]
    same = CliRunner().invoke(cli, [*line, before])
    assert same.exit_code == 0, same.output
    assert f"{len(stored)} same" in same.output
    gone = CliRunner().invoke(cli, [*line, after])
    assert gone.exit_code == 1, gone.output
    assert f"{len(stored)} gone" in gone.output
    assert "blur: was off" in gone.output
    lines = CliRunner().invoke(cli, [*line, after, "--json"]).stdout.splitlines()
    assert {msgspec.json.decode(one)["fate"] for one in lines} == {"gone"}
    monkeypatch.setattr("vqa_ray.cli.fleet.Fleet", NoFleet)
    alone = CliRunner().invoke(cli, [*line[:-3], "--profile", after])
    assert alone.exit_code == 2 and "--before" in alone.output
    assert CliRunner().invoke(cli, ["replay", "--since", "7 days", *line[3:], after]).exit_code == 2
