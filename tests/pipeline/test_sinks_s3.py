"""The result store on an S3-compatible server: moto's, over real HTTP."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from tests.unit.test_sinks_store import AGES, NOON, closed, incident, window
from vqa_ray.errors import StoreError
from vqa_ray.sinks.store import ResultStore, read_incidents, read_windows

BUCKET = "monitoring"
boto3 = pytest.importorskip("boto3")
moto = pytest.importorskip("moto.server")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line a request
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.delenv("AWS_SESSION_TOKEN", raising=False)
        patch.setenv("NO_PROXY", "127.0.0.1")
        server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        address = f"http://{host}:{port}"
        boto3.client("s3", endpoint_url=address, region_name="us-east-1").create_bucket(Bucket=BUCKET)
        yield address
        server.stop()


@pytest.fixture
def uri(endpoint: str, request: pytest.FixtureRequest) -> str:
    """A folder of the bucket for each test."""
    return at(endpoint, f"{BUCKET}/{request.node.name[:40]}")


def at(endpoint: str, path: str) -> str:
    return f"s3://{path}?region=us-east-1&scheme=http&endpoint_override={quote(endpoint, safe='')}"


def keys(endpoint: str, under: str) -> list[str]:
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    found = client.list_objects_v2(Bucket=BUCKET, Prefix=under).get("Contents", [])
    return [one["Key"] for one in found if one["Key"].endswith(".parquet")]


def test_what_was_written_is_read_back_from_the_bucket(uri: str):
    store = ResultStore(uri, writer="w", flush_s=1000.0)
    store.add_windows([window(second) for second in range(5)])
    store.add_incident(incident(1), 3)
    store.add_incident(closed(incident(1)), 3)
    store.add_incident(incident(2), 3)
    store.close()
    assert read_windows(uri)["start_s"].to_pylist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert [(one.incident_id, one.open) for one in read_incidents(uri)] == [("id-1", False), ("id-2", True)]
    assert [one.incident_id for one in read_incidents(uri, open_only=True)] == ["id-2"]
    assert (store.stats().errors, store.stats().buffered) == (0, 0)


def test_small_files_in_the_bucket_are_merged_and_say_the_same_as_before(endpoint: str, uri: str):
    store = ResultStore(uri, writer="w", flush_s=1000.0)
    for second in range(6):
        store.add_windows([window(second)])
        store.flush()
    before = read_windows(uri)
    folder = uri.removeprefix(f"s3://{BUCKET}/").partition("?")[0]
    assert len(keys(endpoint, f"{folder}/windows/")) == 6
    for _ in range(2):  # the second call removes what the first one merged
        store.compact(now=datetime.now(UTC) + timedelta(seconds=2), grace_s=0.0, look_back=AGES)
    store.close()
    (merged,) = keys(endpoint, f"{folder}/windows/")
    assert "date=2020-03-01/hour=12/merged-" in merged
    assert read_windows(uri).equals(before)
    assert read_windows(uri, since=NOON + timedelta(seconds=3)).num_rows == 3


def test_a_bucket_that_is_not_there_is_refused_before_anything_is_taken(endpoint: str):
    with pytest.raises(StoreError, match="s3://nowhere"):
        ResultStore(at(endpoint, "nowhere/x"), writer="w")
