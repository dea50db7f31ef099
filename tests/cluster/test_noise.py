"""On a real Ray, with a webhook: what is told of what is found, and what is not."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from tests.cluster.conftest import eventually
from vqa_ray.cli.demo.receiver import Receiver
from vqa_ray.cluster.client import Fleet
from vqa_ray.cluster.messages import ClusterOptions
from vqa_ray.config import FleetSpec
from vqa_ray.core.remark import Remark, RemarkKind
from vqa_ray.web.said import NewMute

pytestmark = pytest.mark.ray

OPTIONS = ClusterOptions(
    analyzers_min=2, analyzers_max=2, memory_bytes=100 << 20, worker="tests.cluster.fake_worker:FakeWorker"
)
LONG_S = 60.0
GROUP = ("g1", "g2", "g3")


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made


@pytest.fixture(scope="module")
def fleet(ray_env: Path, receiver: Receiver) -> Iterator[Fleet]:
    made = Fleet.start(
        options=OPTIONS, state_dir=ray_env / "state", cores=2, temp_dir=str(ray_env / "r"), dashboard=False
    )
    yield made
    made.stop()


def spec(folder: Path, url: str) -> FleetSpec:
    data = {
        "streams": [
            {"id": name, "url": f"udp://127.0.0.1:9/{name}", "labels": {"folder": str(folder)} | labels}
            for name, labels in [
                ("muted", {}),
                ("known", {}),
                ("alone", {}),
                *((one, {"channel": "c"}) for one in GROUP),
            ]
        ],
        "channels": [{"type": "webhook", "url": url}],
        "noise": {
            "group": {"label": "channel", "within_s": 4, "at_least": 3},
            "escalate": [{"after_s": 12, "severity": "critical"}],
        },
    }
    return msgspec.convert(data, FleetSpec)


def test_a_fault_is_told_to_who_can_do_something_and_not_again_and_again(
    fleet: Fleet, receiver: Receiver, tmp_path: Path
):
    def told() -> list[str]:
        return [alert.key for alert in receiver.alerts]

    fleet.apply(spec(tmp_path, receiver.url))
    eventually(lambda: all(one.state == "live" for one in fleet.status().streams), LONG_S)
    made = NewMute(streams=("muted",), minutes=60, by="Ada").mute(datetime.now(UTC))
    fleet.mute(made)
    known = Remark(incident_id="i-known", kind=RemarkKind.ACKNOWLEDGED, by="Ada", at_utc=datetime.now(UTC))
    (tmp_path / "known.bad").write_text("i-known")
    eventually(lambda: fleet.remark(known), LONG_S)
    for name in ("muted", "alone", *GROUP):
        (tmp_path / f"{name}.bad").write_text(f"i-{name}")
    eventually(lambda: {one.incident_id for one in fleet.incidents(open_only=True)} >= {"i-muted", "i-g3"}, LONG_S)
    eventually(lambda: "i-alone:changed:10" in told(), LONG_S)
    grouped = [key for key in told() if key.startswith("i-g")]
    assert len(grouped) >= 1
    leader = grouped[0].partition(":")[0]
    eventually(lambda: f"{leader}:changed:10" in told(), LONG_S)
    assert {key for key in told() if key.startswith("i-g")} == {f"{leader}:opened", f"{leader}:changed:10"}
    assert not [key for key in told() if key.startswith("i-muted") or key == "i-known:changed:10"]
    assert fleet.unmute(made.mute_id)
    eventually(lambda: "i-muted:opened" in told(), LONG_S)
    for name in ("muted", "known", "alone", *GROUP):
        (tmp_path / f"{name}.bad").unlink()
    eventually(lambda: f"{leader}:closed" in told() and "i-muted:closed" in told(), LONG_S)
    eventually(lambda: fleet.incidents(open_only=True) == [], LONG_S)
    assert sorted(key for key in told() if key.endswith(":closed")) == sorted(
        [f"{leader}:closed", "i-muted:closed", "i-known:closed", "i-alone:closed"]
    )
