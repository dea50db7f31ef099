"""`vqa mute`, `unmute`, `mutes`, `ack`."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from tests.unit.cli_fakes import START, FakeFleet, incident
from tests.unit.test_cli_fleet import vqa
from vqa_ray.cli import fleet as commands
from vqa_ray.cli.hush import listed
from vqa_ray.core.quiet import Mute, Quiet, Window

NIGHT = Window(name="night", cron="0 11 * * *", minutes=90, labels={"channel": "news"})


@pytest.fixture
def fake(monkeypatch):
    made = FakeFleet(incidents=[incident()])

    class Connecting:
        @classmethod
        def connect(cls, *, address=None):
            return made

    monkeypatch.setattr(commands, "Fleet", Connecting)
    return made


def test_a_mute_says_whom_it_is_for_how_long_and_how_to_end_it(fake):
    began = datetime.now(UTC)
    result = vqa("mute", "cam", "--detector", "black", "--label", "channel:news", "--for", "4h", "--by", "Ada")
    assert result.exit_code == 0
    (_, made), _ = fake.calls
    assert (made.streams, made.detectors, made.labels, made.by) == (("cam",), ("black",), {"channel": "news"}, "Ada")
    assert timedelta(hours=4) <= made.until_utc - began < timedelta(hours=4, minutes=1)
    assert f"cam, channel:news, black; end it with: vqa unmute {made.mute_id}" in result.output


@pytest.mark.parametrize(
    "words", [["mute"], ["mute", "--label", "news"], ["mute", "cam", "--for", "soon"], ["mute", "--detector", "blak"]]
)
def test_mutes_that_are_none_are_used_wrongly(fake, words):
    assert vqa(*words).exit_code == 2
    assert fake.calls == []


def test_a_mute_can_be_ended_once(fake):
    assert vqa("unmute", "abcd").exit_code == 0
    assert vqa("unmute", "other").exit_code == 1


def test_mutes_and_windows_are_listed(fake):
    mute = Mute(mute_id="m1", streams=("cam",), by="Ada", note="rack move", at_utc=START, until_utc=START)
    quiet = Quiet(mutes=(mute,), windows=(NIGHT,))
    assert listed(quiet, START) == [
        "m1  until 2026-03-01 12:00:00 UTC  cam  by Ada: rack move",
        "window night  now, until 12:30 UTC, 90 min  channel:news",
    ]
    assert "next 2026-03-02 11:00 UTC" in listed(quiet, START + timedelta(hours=2))[1]
    assert vqa("mutes").output == "nothing is silenced\n"
    fake.silent = quiet
    assert msgspec.json.decode(vqa("mutes", "--json").output)["windows"][0]["name"] == "night"


def test_an_incident_is_acknowledged_by_its_id(fake):
    assert vqa("ack", "black-3.0", "--by", "Ada", "--note", "on it").exit_code == 0
    ((_, remark), _) = fake.calls
    assert (remark.kind, remark.by, remark.note) == ("acknowledged", "Ada", "on it")
    wrong = vqa("ack", "nonsense", "--by", "Ada")
    assert (wrong.exit_code, "there is no incident 'nonsense'" in wrong.output) == (2, True)
