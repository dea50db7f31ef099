"""`vqa report`: what its figures are, and what becomes of them."""

import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import pyarrow.csv as pc_csv
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from tests.unit.cli_fakes import FakeFleet, NoFleet, status, stream
from vqa_ray.cli.day import command
from vqa_ray.cli.day.page import render
from vqa_ray.cli.main import cli
from vqa_ray.core.notice import Incident
from vqa_ray.core.reading import Severity
from vqa_ray.core.remark import Remark, RemarkKind
from vqa_ray.core.report import Period, down, make, quantile
from vqa_ray.core.window import WindowRow
from vqa_ray.errors import StoreError
from vqa_ray.sinks.history import read_analysed, read_recorded
from vqa_ray.sinks.store import ResultStore

DAY = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = Period(DAY, DAY + timedelta(hours=1))


def incident(start_s, end_s, stream="news", detector="black", severity=Severity.MAJOR, **changes) -> Incident:
    values = {
        "incident_id": f"{stream}-{detector}-{start_s}",
        "stream_id": stream,
        "detector": detector,
        "severity": severity,
        "start_s": start_s,
        "end_s": end_s,
        "start_utc": DAY + timedelta(seconds=start_s),
        "end_utc": None if end_s is None else DAY + timedelta(seconds=end_s),
        "value": 1.0,
        "unit": "dark share",
    }
    return Incident(**(values | changes))


def watched(second: float, stream="news", coverage=1.0) -> WindowRow:
    return WindowRow(
        stream_id=stream,
        detector="health",
        part="",
        start_utc=DAY + timedelta(seconds=second),
        start_s=second,
        count=1,
        min=100.0,
        mean=100.0,
        max=100.0,
        bad_share=0.0,
        coverage=coverage,
    )


def report(incidents=(), *, analysed=None, recorded=None, labels=None, remarks=None, only=()):
    whole = {"news": np.ones(3600, np.float32)}
    return make(
        HOUR,
        analysed=whole if analysed is None else analysed,
        incidents=incidents,
        recorded=recorded or {},
        labels=labels or {},
        remarks=remarks,
        only=only,
    )


def test_availability_counts_overlapping_incidents_once_and_only_grave_ones():
    two = [incident(100, 200), incident(150.5, 250.25, detector="silence", severity=Severity.CRITICAL)]
    minor = incident(1000, 2000, detector="blur", severity=Severity.MINOR)
    (news,) = report([*two, minor]).streams
    assert news.down_s == pytest.approx(150.25)
    assert news.availability == pytest.approx(1 - 150.25 / 3600)
    assert news.coverage == 1.0
    assert (news.incidents, news.longest_s) == (3, 1000.0)


def test_time_that_nobody_watched_is_not_available():
    half = np.ones(3600, np.float32)
    half[:1800] = 0
    (news,) = report([incident(0, 900)], analysed={"news": half}).streams
    assert (news.coverage, news.availability) == (0.5, 0.5)


def test_an_incident_is_cut_to_the_period_and_what_lasts_lasts_to_its_end():
    before, lasts = incident(-50, 10), incident(3590, None)
    (news,) = report([before, lasts, incident(-50, -10), incident(3600, 3700)]).streams
    assert (news.incidents, news.down_s) == (2, pytest.approx(20.0))


def test_an_incident_within_one_second_takes_its_part_of_it():
    assert down(HOUR, [incident(5.25, 5.75)])[5] == pytest.approx(0.5)
    assert down(HOUR, [incident(3599.5, None)]).sum() == pytest.approx(0.5)


def test_labels_are_means_over_their_streams_and_choose_them():
    halves = {"a": np.ones(3600, np.float32), "b": np.full(3600, 0.5, np.float32)}
    labels = {"a": {"site": "north"}, "b": {"site": "north"}}
    made = report([incident(0, 36, "c", labels={"site": "south"})], analysed=halves, labels=labels)
    rows = {one.label: (one.streams, one.availability) for one in made.labels}
    assert rows == {"site:north": (2, 0.75), "site:south": (1, 0.0)}
    only = report([incident(0, 36, "c", labels={"site": "south"})], analysed=halves, labels=labels, only=["site:north"])
    assert [one.stream_id for one in only.streams] == ["b", "a"]
    assert not only.incidents


def test_kinds_hours_and_time_to_detect():
    found = [incident(10, 20), incident(30, 60), incident(-5, 5, detector="freeze", severity=Severity.MINOR)]
    recorded = {one.incident_id: one.start_utc + timedelta(seconds=2 + n) for n, one in enumerate(found)}
    made = report(found, recorded=recorded)
    black, freeze = made.kinds
    assert (black.detector, black.incidents, black.total_s, black.longest_s) == ("black", 2, 40.0, 30.0)
    assert (black.detect_p50_s, black.detect_p95_s) == (2.0, 3.0)
    assert (freeze.total_s, freeze.detect_p50_s) == (5.0, None)  # it began the day before
    assert made.per_hour == ({"major": 2},)


def test_what_people_said_is_counted_of_the_periods_incidents_only():
    found = [incident(10, 20), incident(30, 60)]
    said = [
        Remark(incident_id=found[0].incident_id, kind=kind, by="Ada", at_utc=found[0].start_utc + timedelta(seconds=40))
        for kind in RemarkKind
    ]
    other = msgspec.structs.replace(said[0], incident_id="another day's")
    people = report(found, remarks=[*said, other]).people
    assert (people.acknowledged, people.acknowledge_p50_s) == (1, 40.0)
    assert (people.false_alarms, people.false_alarm_share) == (1, 0.5)
    assert report(found).people is None


def test_quantiles():
    assert quantile([], 0.5) is None
    assert [quantile(range(1, 101), share) for share in (0.5, 0.95, 1.0)] == [50, 95, 100]


def test_the_page_is_whole_escaped_and_asks_for_nothing():
    bad = incident(0, 30, "<script>alert(1)</script>", reason='"><img src=x>')
    page = render(report([bad], labels={"news": {"<b>": "&"}}), of="<i>")
    assert "<script>" not in page and "<img" not in page and "<i>" not in page.replace("<i style", "")
    assert "http" not in page
    for svg in page.split("<svg")[1:]:
        ET.fromstring("<svg" + svg.split("</svg>")[0] + "</svg>")  # all that it draws is well-formed


@pytest.fixture
def store(tmp_path):
    one = ResultStore(str(tmp_path / "store"), writer="w", flush_s=1000)
    one.add_windows([watched(n + 0.25) for n in range(7200)])
    one.add_windows([watched(n + 0.25, "sport", 0.5) for n in range(100)])
    opened = incident(3000.5, None, labels={"site": "north"})
    one.add_incident(opened, 1)
    closed = msgspec.structs.replace(opened, end_s=3030.5, end_utc=opened.start_utc + timedelta(seconds=30))
    one.add_incident(closed, 1)
    one.close()
    return str(tmp_path / "store")


def test_the_store_says_what_was_analysed_and_when_incidents_were_recorded(store):
    period = Period(DAY + timedelta(minutes=30), DAY + timedelta(hours=3))
    analysed = read_analysed(store, period)
    assert set(analysed) == {"news"}
    assert analysed["news"].sum() == 5400
    assert read_analysed(store, HOUR, stream="sport")["sport"].sum() == 50
    recorded = read_recorded(store, since=HOUR.since, until=HOUR.until)
    assert abs(recorded["news-black-3000.5"] - datetime.now(UTC)) < timedelta(minutes=3)


def test_the_command_writes_page_and_tables(store, tmp_path, monkeypatch):
    monkeypatch.setattr("vqa_ray.cli.fleet.Fleet", NoFleet)
    out = tmp_path / "out.html"
    done = CliRunner().invoke(cli, ["report", "--day", "2026-03-01", "--store", store, "--html", str(out)])
    assert done.exit_code == 0, done.output
    assert done.output.split() == [str(out)] + [
        str(tmp_path / f"out.{name}.{kind}") for name in ("streams", "incidents") for kind in ("csv", "parquet")
    ]
    rows = pq.read_table(tmp_path / "out.streams.parquet").to_pylist()
    assert [(row["stream"], row["coverage"], row["down_s"]) for row in rows] == [
        ("sport", pytest.approx(50 / 86400), 0.0),
        ("news", pytest.approx(7200 / 86400), 30.0),
    ]
    assert rows[1]["availability"] == pytest.approx(7170 / 86400)
    assert rows[1]["labels"] == "site:north"
    (black,) = pc_csv.read_csv(tmp_path / "out.incidents.csv").to_pylist()
    assert (black["detector"], black["seconds"], black["detect_s"] > 0) == ("black", 30.0, True)
    assert "no running fleet was asked" in out.read_text(encoding="utf-8")


def test_the_running_fleet_says_what_people_said_and_a_file_names_labels(store, tmp_path, monkeypatch):
    class Running(FakeFleet):
        def remarks(self):
            at_utc = DAY + timedelta(seconds=3060.5)
            return [Remark(incident_id="news-black-3000.5", kind=RemarkKind.ACKNOWLEDGED, by="Ada", at_utc=at_utc)]

    class Connecting:
        @classmethod
        def connect(cls, *, address=None):
            return Running(statuses=[status(stream("sport", labels={"site": "south"}))])

    monkeypatch.setattr("vqa_ray.cli.fleet.Fleet", Connecting)
    named = tmp_path / "fleet.yaml"
    named.write_text("streams: [{id: news, url: 'udp://h:1', labels: {rack: '7'}}]")
    out = tmp_path / "out.html"
    line = ["report", "--day", "2026-03-01", "--store", store, "--html", str(out), "--fleet", str(named)]
    assert CliRunner().invoke(cli, line).exit_code == 0
    page = out.read_text(encoding="utf-8")
    assert "<b>1 min 00 s</b><span>time to acknowledge, median" in page
    assert "site:south" in page and "rack:7" in page and "site:north" in page
    assert CliRunner().invoke(cli, [*line, "--label", "rack:7"]).exit_code == 0
    assert [row["stream"] for row in pq.read_table(tmp_path / "out.streams.parquet").to_pylist()] == ["news"]


def test_a_day_without_anything_is_refused(store, tmp_path, monkeypatch):
    monkeypatch.setattr("vqa_ray.cli.fleet.Fleet", NoFleet)
    line = ["report", "--store", store, "--html", str(tmp_path / "x.html"), "--day"]
    assert isinstance(CliRunner().invoke(cli, [*line, "2026-02-01"]).exception, SystemExit)
    assert CliRunner().invoke(cli, [*line, "2026-03-01", "--label", "site"]).exit_code == 2
    assert not (tmp_path / "x.html").exists()


def test_today_ends_now_and_tomorrow_is_refused():
    now = DAY + timedelta(hours=6, seconds=0.5)
    assert command.period_of(DAY, now).seconds == 6 * 3600
    with pytest.raises(StoreError, match="has not begun"):
        command.period_of(DAY + timedelta(days=1), now)
