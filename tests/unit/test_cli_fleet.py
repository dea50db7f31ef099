"""`vqa apply`, `status`, `incidents`, `stop` against a stand-in of the running fleet."""

import json

import pytest
from click.testing import CliRunner

from tests.unit.cli_fakes import FakeFleet, NoFleet, incident, status, stream
from vqa_ray.cli import fleet as commands
from vqa_ray.cli.main import cli


def vqa(*arguments):
    return CliRunner().invoke(cli, [str(one) for one in arguments], prog_name="vqa", env={"RAY_ADDRESS": None})


@pytest.fixture
def running(monkeypatch):
    """Makes the commands connect to a FakeFleet, which remembers the address in `calls`."""

    def use(fake):
        class Connecting:
            @classmethod
            def connect(cls, *, address=None):
                fake.calls.append(("connect", address))
                return fake

        monkeypatch.setattr(commands, "Fleet", Connecting)
        return fake

    return use


def test_apply_says_what_changed(running, tmp_path):
    path = tmp_path / "f.yaml"
    path.write_text("streams: [{id: cam, url: 'udp://h:1'}]")
    fake = running(FakeFleet())
    result = vqa("apply", path, "--address", "head:6379")
    assert (result.exit_code, result.output) == (0, "1 added, 2 removed\n")
    assert fake.calls == [("connect", "head:6379"), ("apply", ["cam"]), "leave"]


def test_a_wrong_file_is_refused_before_anything_is_asked(running, tmp_path):
    path = tmp_path / "f.yaml"
    path.write_text("streams: {}")
    fake = running(FakeFleet())
    assert vqa("apply", path).exit_code == 2
    assert fake.calls == []


def test_status_is_0_when_all_is_well(running):
    running(FakeFleet(statuses=[status(stream("a"), stream("b", "ended"))]))
    result = vqa("status")
    assert result.exit_code == 0
    assert result.output.startswith("2 streams: 1 live, 1 ended · 1 analyzer · 0 open\n")


@pytest.mark.parametrize("trouble", [stream("b", "stalled"), stream("b", open_incidents=1)], ids=["state", "incident"])
def test_status_is_1_when_something_is_wrong(running, trouble):
    running(FakeFleet(statuses=[status(stream("a"), trouble)]))
    assert vqa("status").exit_code == 1


def test_status_as_json_is_one_object(running):
    running(FakeFleet(statuses=[status(stream("a"))]))
    record = json.loads(vqa("status", "--json").stdout)
    assert record["streams"][0]["stream_id"] == "a"
    assert record["open_incidents"] == 0


def test_incidents_shows_a_table_and_history_is_no_problem(running):
    running(FakeFleet(incidents=[incident()]))
    result = vqa("incidents")
    assert result.exit_code == 0
    assert result.output.splitlines()[1].split()[:4] == ["12:00:03.0", "12:00:04.5", "1.50", "s"]


def test_open_incidents_are_a_problem(running):
    running(FakeFleet(incidents=[incident(), incident("freeze", 9.0, None)]))
    result = vqa("incidents", "--open", "--json")
    assert result.exit_code == 1
    assert [json.loads(line)["detector"] for line in result.stdout.splitlines()] == ["freeze"]


def test_no_open_incidents_are_fine(running):
    running(FakeFleet(incidents=[incident()]))
    result = vqa("incidents", "--open")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "no open incidents\n")


def test_stop_stops(running):
    fake = running(FakeFleet())
    assert vqa("stop").output == "stopped\n"
    assert fake.calls == [("connect", None), "stop"]


@pytest.mark.parametrize("command", ["status", "incidents", "stop"])
def test_without_a_fleet_there_is_one_line_that_says_what_to_do(monkeypatch, command):
    monkeypatch.setattr(commands, "Fleet", NoFleet)
    result = vqa(command)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "vqa: no fleet runs on this machine; start one with `vqa run`, or name an --address\n"
