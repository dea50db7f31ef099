"""What a stream gathers around the moments of an incident, and the desk that makes files of it."""

import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.pictures import picture, texture
from tests.unit.cli_fakes import incident
from vqa_ray.core.evidence import EvidenceOptions, Point, Record
from vqa_ray.core.incident import IncidentBook
from vqa_ray.core.notice import NoticeKind
from vqa_ray.core.window import WindowRow
from vqa_ray.errors import StoreError
from vqa_ray.media.options import SourceOptions
from vqa_ray.media.tape import Footage
from vqa_ray.pipeline.evidence import Case, Desk, Witness
from vqa_ray.pipeline.evidence.case import Exact, curve
from vqa_ray.pipeline.evidence.witness import STILLS

OPEN = incident(start_s=6.0, end_s=None, incident_id="abc")


class Kept:
    """A Keeper that only remembers."""

    def __init__(self, **options: Any) -> None:
        self.options = EvidenceOptions(**options)
        self.cases: list[Case] = []
        self.room = True

    def link(self, incident) -> str:
        return f"there/{incident.incident_id}"

    def put(self, case: Case) -> bool:
        if self.room:
            self.cases.append(case)
        return self.room


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def book() -> IncidentBook:
    return IncidentBook("cam", [], OPEN.start_utc)


def witness(keeper: Kept, clock: Clock | None = None, said: dict[float, float] | None = None) -> Witness:
    return Witness(keeper, SourceOptions(), lambda *_: list((said or {}).items()), monotonic=clock or Clock())


def show(one: Witness, first_s: float, last_s: float) -> None:
    """Pictures at 25 a second, as the stream's thread hands them over."""
    for n in range(round(first_s * 25), round(last_s * 25)):
        if n / 25 >= one.due_s:
            one.take(picture(np.full((36, 64), n % 200, np.uint8), n))


def test_a_picture_a_second_is_kept_and_the_newest_is_at_hand():
    one = witness(Kept())
    assert one.still is None
    show(one, 0.0, 30.0)
    assert one.still is not None
    assert one.still.at_s == 29.0
    assert len(one._stills) == STILLS


def test_an_incident_is_told_with_its_place_and_gathered_until_its_time_is_over():
    keeper = Kept(after_s=4.0)
    one = witness(keeper)
    show(one, 0.0, 8.0)
    told = one.note([(NoticeKind.OPENED, OPEN)], book())
    assert told[0][1].evidence == "there/abc"
    first = keeper.cases[0]
    assert (first.final, first.moment, first.at_s) == (False, "start", 6.0)
    assert [still.at_s for still in first.stills] == [float(s) for s in range(8)]
    show(one, 8.0, 10.0)
    assert len(keeper.cases) == 1
    show(one, 10.0, 10.1)
    assert [still.at_s for still in keeper.cases[1].stills] == [float(s) for s in range(11)]
    assert keeper.cases[1].final
    assert keeper.cases[1].incident.evidence == "there/abc"


def test_the_book_knows_the_place_so_that_it_stays_with_the_incident_elsewhere():
    keeper = Kept()
    one, of_one = witness(keeper), book()
    of_one._incidents["black", ""] = OPEN
    one.note([(NoticeKind.OPENED, OPEN)], of_one)
    assert of_one.state().incidents[0].evidence == "there/abc"


def test_the_end_is_gathered_too_where_the_start_did_not_hold_it():
    keeper = Kept(after_s=2.0)
    one = witness(keeper)
    show(one, 0.0, 7.0)
    one.note([(NoticeKind.OPENED, OPEN)], book())
    show(one, 7.0, 20.0)
    closed = msgspec.structs.replace(OPEN, end_s=19.0, evidence="there/abc")
    one.note([(NoticeKind.CLOSED, closed)], book())
    show(one, 20.0, 22.0)
    assert [(case.moment, case.at_s, case.final) for case in keeper.cases] == [
        ("start", 6.0, False),
        ("start", 6.0, True),
        ("end", 19.0, True),
    ]


def test_a_short_incident_has_one_clip_and_its_record_says_when_it_ended():
    keeper = Kept(after_s=4.0)
    one = witness(keeper)
    show(one, 0.0, 7.0)
    closed = msgspec.structs.replace(OPEN, end_s=7.0)
    told = one.note([(NoticeKind.OPENED, OPEN), (NoticeKind.CLOSED, closed)], book())
    assert [incident.evidence for _, incident in told] == ["there/abc"] * 2
    show(one, 7.0, 12.0)
    assert [case.final for case in keeper.cases] == [False, True]
    assert keeper.cases[1].incident.end_s == 7.0


def test_an_incident_that_opened_elsewhere_has_its_end_gathered_here():
    keeper = Kept()
    one = witness(keeper)
    one.note([(NoticeKind.CLOSED, msgspec.structs.replace(OPEN, end_s=7.0, evidence="there/abc"))], book())
    one.finish()
    assert [(case.moment, case.final) for case in keeper.cases] == [("end", True)]
    one.note([(NoticeKind.CLOSED, msgspec.structs.replace(OPEN, end_s=7.0))], book())  # it never had any
    one.finish()
    assert len(keeper.cases) == 1


def test_where_no_media_comes_any_more_the_time_is_over_by_the_clock():
    keeper, clock = Kept(after_s=4.0), Clock()
    one = witness(keeper, clock)
    show(one, 0.0, 6.0)
    one.note([(NoticeKind.OPENED, OPEN)], book())
    clock.now_s += 5.9
    one.look(6.0)
    assert len(keeper.cases) == 1
    clock.now_s += 0.2
    one.look(6.0)
    assert keeper.cases[1].final


def test_without_room_there_is_no_place_to_tell_of():
    keeper = Kept()
    keeper.room = False
    one = witness(keeper)
    assert one.note([(NoticeKind.OPENED, OPEN)], book())[0][1].evidence == ""
    off = witness(Kept(enabled=False))
    assert off.note([(NoticeKind.OPENED, OPEN)], book())[0][1].evidence == ""
    assert off.source(SourceOptions()).ring_bytes == 0
    assert one.source(SourceOptions()) == SourceOptions()


def test_the_curve_has_seconds_from_before_and_every_reading_since_it_was_bad():
    rows = [Point(float(s), 0.0, 0.1, 0.2) for s in range(9)]
    said = ((7.5, 0.8), (6.0, 0.9), (6.04, 1.0), (11.0, 0.0))
    found = curve(case(at_s=6.0, rows=tuple(rows), readings=said), EvidenceOptions(before_s=1.0, after_s=2.0))
    assert [(p.at_s, p.mean) for p in found] == [
        (1.0, 0.1), (2.0, 0.1), (3.0, 0.1), (4.0, 0.1), (5.0, 0.1), (6.0, 0.9), (6.04, 1.0), (7.5, 0.8), (8.0, 0.1),
    ]  # fmt: skip


def test_values_come_from_the_windows_and_from_what_mattered():
    keeper = Kept(after_s=1.0)
    one = witness(keeper, said={6.0: 0.9})
    row = WindowRow(
        stream_id="cam", detector="black", part="", start_utc=OPEN.start_utc, start_s=4.0, count=25, min=0.0, mean=0.1,
        max=0.2, bad_share=0.0, coverage=1.0,
    )  # fmt: skip
    one.rows([row, msgspec.structs.replace(row, detector="freeze", start_s=5.0)])
    one.note([(NoticeKind.OPENED, OPEN)], book())
    assert keeper.cases[0].rows == (Point(4.0, 0.0, 0.1, 0.2),)
    assert keeper.cases[0].readings == ((6.0, 0.9),)


# ---- the desk


class Files:
    """A store in memory; `gate` holds writes back, `error` fails them."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.gate = threading.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.used = 0

    def write(self, path: str, data: bytes) -> None:
        assert self.gate.wait(20.0)
        if self.error is not None:
            raise self.error
        self.files[path] = data

    def used_bytes(self, day: str, stream_id: str) -> int:
        return self.used


def case(number: int = 1, *, final: bool = True, **changes: Any) -> Case:
    from vqa_ray.core.still import still_of

    stills = tuple(still_of(picture(texture(64, 36), n)) for n in range(0, 300, 25))
    made = Case(
        incident=msgspec.structs.replace(OPEN, incident_id=f"n{number}"),
        moment="start",
        at_s=6.0,
        footage=None,
        stills=stills,
        rows=(Point(5.0, 0.0, 0.1, 0.2),),
        readings=(),
        final=final,
        exact=Exact(),
    )
    return msgspec.structs.replace(made, **changes)


@pytest.fixture
def files():
    return Files()


@pytest.fixture
def desk(files):
    made = Desk(files, EvidenceOptions(), base="/store/evidence", cases=8)
    yield made
    files.gate.set()
    made.close(5.0)


def until(true: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_a_case_becomes_a_strip_and_a_record_and_is_counted(desk, files):
    assert desk.put(case(final=False))
    assert desk.put(case())
    until(lambda: desk.stats().made == 1)
    folder = "date=2026-03-01/stream=cam/n1"
    assert sorted(files.files) == [f"{folder}/start.jpg", f"{folder}/start.json"]
    record = msgspec.json.decode(files.files[f"{folder}/start.json"], type=Record)
    assert (record.incident.incident_id, record.moment, record.clip, record.first) == ("n1", "start", None, None)
    assert [still.at_s for still in record.stills] == [4.0, 5.0, 6.0, 8.0, 9.0, 11.0]
    assert desk.link(OPEN) == "/store/evidence/date=2026-03-01/stream=cam/abc"
    assert desk.stats().written_bytes == sum(map(len, files.files.values())) + len(files.files[f"{folder}/start.jpg"])


def test_a_slow_store_costs_evidence_that_is_counted_and_never_time(desk, files):
    files.gate.clear()
    began_s = time.monotonic()
    taken = [desk.put(case(number)) for number in range(50)]
    assert time.monotonic() - began_s < 5.0
    assert taken.count(True) == 8
    assert desk.stats().dropped == 42
    files.gate.set()
    until(lambda: desk.stats().made == 8)


def test_memory_bounds_what_waits_too(files):
    files.gate.clear()
    one = case()
    desk = Desk(files, EvidenceOptions(), base="e", held_bytes=3 * one.size_bytes)
    assert [desk.put(case(number)) for number in range(4)] == [True, True, True, False]
    files.gate.set()
    assert not desk.close(5.0)  # something was dropped


def test_what_may_wait_waits_for_room(files):
    desk = Desk(files, EvidenceOptions(), base="e", wait=True, cases=2)
    assert all(desk.put(case(number)) for number in range(10))
    assert desk.close(20.0)
    assert desk.stats().made == 10


def test_a_store_that_fails_is_counted_and_the_next_case_is_made(desk, files, caplog):
    files.error = StoreError("store s3://b: no such bucket")
    desk.put(case(1))
    desk.put(case(2))
    until(lambda: desk.stats().failed == 2)
    assert desk.stats().last_error == "store s3://b: no such bucket"
    assert len([r for r in caplog.records if "no such bucket" in r.message]) == 1
    files.error = None
    desk.put(case(3))
    until(lambda: desk.stats().made == 1)
    assert desk.stats().last_error == ""


def test_a_case_that_cannot_be_made_stops_nothing(desk):
    desk.put(case(1, footage=Footage((), None)))  # type: ignore[arg-type]
    desk.put(case(2))
    until(lambda: (desk.stats().failed, desk.stats().made) == (1, 1))


def test_a_stream_that_has_used_up_its_day_gets_no_more_and_others_do(files):
    files.used = 100
    desk = Desk(files, EvidenceOptions(per_day_bytes=200), base="e")
    desk.put(case(1, final=False))
    until(lambda: desk.stats().left_out == 1)
    assert files.files == {}
    assert not desk.put(case(2, final=False))
    assert desk.stats().dropped == 1
    files.used = 0
    desk.options = EvidenceOptions()
    other = msgspec.structs.replace(OPEN, stream_id="other")
    assert desk.put(case(3, incident=other))
    until(lambda: desk.stats().made == 1)
    desk.close()


def test_it_closes_in_bounded_time_whatever_the_store_does(files):
    desk = Desk(files, EvidenceOptions(), base="e")
    files.gate.clear()
    for number in range(5):
        desk.put(case(number))
    began_s = time.monotonic()
    assert not desk.close(0.3)
    assert time.monotonic() - began_s < 5.0
    assert not desk.put(case(9))
    files.gate.set()


def test_strange_stream_ids_stay_in_their_own_folder(desk, files):
    for number, name in enumerate(("../x", "<script>alert(1)</script>", "a/b")):
        odd = msgspec.structs.replace(OPEN, stream_id=name, incident_id=f"n{number}")
        desk.put(case(incident=odd))
    until(lambda: desk.stats().made == 3)
    parts = [path.split("/") for path in files.files]
    assert all(len(part) == 4 and part[0] == "date=2026-03-01" and part[1].startswith("stream=") for part in parts)
    assert not any(bad in path for path in files.files for bad in ("..", "<", ">", "("))
