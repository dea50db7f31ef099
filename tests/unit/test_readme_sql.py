"""The queries that the README gives for the result store run on a store as it is written, and say what is so."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import msgspec
import pytest

import vqa_ray
from vqa_ray.core.notice import Incident
from vqa_ray.core.reading import Severity
from vqa_ray.core.window import WindowRow
from vqa_ray.sinks.store import ResultStore

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"```sql\n-- \d\. (.*?)```", README, re.DOTALL)
DAY = datetime(2026, 3, 1, tzinfo=UTC)


def window(second, stream, detector, **changes) -> WindowRow:
    values = {"count": 10, "min": -30.0, "mean": -23.0, "max": -20.0 + second, "bad_share": 0.0, "coverage": 1.0}
    return WindowRow(
        stream_id=stream, detector=detector, part="", start_utc=DAY + timedelta(seconds=second), start_s=second,
        **(values | changes),
    )  # fmt: skip


def incident(start_s, stream) -> Incident:
    return Incident(
        incident_id=f"{stream}-{start_s}", stream_id=stream, detector="black", severity=Severity.MAJOR, start_s=start_s,
        end_s=None, start_utc=DAY + timedelta(seconds=start_s), end_utc=None, value=1.0, unit="",
        labels={"channel": "news"},
    )  # fmt: skip


@pytest.fixture(scope="module", params=["parts", "compacted"])
def store(request, tmp_path_factory):
    """Twice the same, the second time with an hour's files merged and not yet removed: rows are there twice."""
    folder = tmp_path_factory.mktemp("store")
    one = ResultStore(str(folder), writer="w", flush_s=1000)
    for first in (0, 5):  # two files
        one.add_windows([window(n, "news-hd", "health") for n in range(first, first + 5)])
        one.add_windows([window(n, "news-sd", "health", coverage=0.5) for n in range(first, first + 2)])
        one.add_windows([window(n * 20, "news-hd", "loudness", bad_share=n % 2) for n in range(first, first + 5)])
        one.flush()
    one.add_windows([window(11, "news-sd", "not_analysed", coverage=0.0)])
    for opened in (incident(100.0, "news-hd"), incident(103.0, "news-sd"), incident(500.0, "news-sd")):
        one.add_incident(opened, 1)
        end_s = opened.start_s + 2.5
        closed = msgspec.structs.replace(opened, end_s=end_s, end_utc=DAY + timedelta(seconds=end_s))
        one.add_incident(closed, 1)
    one.flush()
    if request.param == "compacted":
        assert one.compact(look_back=timedelta(days=36500)).merged
    one.close()
    return folder


def answer(number: int, store: Path) -> list[tuple]:
    query = QUERIES[number - 1].split("\n", 1)[1]
    assert "'results/" in query
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        rows = connection.execute(query.replace("'results/", f"'{store}/")).fetchall()
    return [tuple(row) for row in rows]


def test_there_are_five():
    assert len(QUERIES) == 5


def test_what_broke_how_often_and_for_how_long(store):
    assert answer(1, store) == [("news-sd", "black", 2, 5.0), ("news-hd", "black", 1, 2.5)]


def test_seconds_that_were_watched(store):
    assert [(stream, seconds, share) for stream, _, seconds, share in answer(2, store)] == [
        ("news-sd", 4, 0.5),
        ("news-hd", 10, 1.0),
    ]


def test_how_soon_it_was_known(store):
    ((detector, count, median_s, most_s),) = answer(3, store)
    since_s = (datetime.now(UTC) - DAY).total_seconds()
    assert (detector, count) == ("black", 3)
    assert since_s - 700 < median_s <= most_s < since_s


def test_streams_that_broke_together(store):
    ((channel, detector, stream, other, at),) = answer(4, store)
    assert (channel, detector, stream, other) == ("news", "black", "news-hd", "news-sd")
    assert at.astimezone(UTC) == DAY + timedelta(seconds=100)


def test_a_curve_by_minute(store):
    assert [(minute.minute, loudest, bad) for minute, loudest, bad in answer(5, store)] == [
        (0, 20.0, 1),
        (1, 80.0, 2),
        (2, 140.0, 1),
        (3, 160.0, 1),
    ]


def test_the_python_of_the_readme_runs(store):
    (block,) = re.findall(r"```python\n(import pyarrow\.compute.*?)```", README, re.DOTALL)
    names: dict[str, object] = {}
    exec(
        block.replace("s3://monitoring/vqa", str(store))
        .replace('"results"', f'"{store}"')
        .replace('detector="black"', 'detector="loudness"'),
        names,
    )
    assert names["broken"] == []
    assert names["worst"].to_pylist() == [{"part": "", "bad_share_sum": 5.0, "max_max": 160.0}]
    assert len(vqa_ray.read_incidents(str(store))) == 3
