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


def test_a_dry_run_prints_what_would_change_and_changes_nothing(running, tmp_path):
    path = tmp_path / "f.yaml"
    path.write_text("streams: [{id: cam, url: 'udp://h:1'}]")
    fake = running(FakeFleet())
    result = vqa("apply", path, "--dry-run")
    assert result.output.splitlines() == [
        "+ cam",
        "~ two",
        "    detectors.black.raise_after_s: 2.0 → 5.0",
        "- old",
        "would be: 1 added, 1 changed, 1 removed",
    ]
    assert fake.calls == [("connect", None), "leave"]


def test_streams_are_added_by_id_and_url_or_in_json(running):
    fake = running(FakeFleet())
    whole = '{"id": "b", "url": "udp://h:2", "labels": {"channel": "x"}}'
    result = vqa("add", "a=udp://h:1?x=y", whole, "--profile", "mine")
    assert (result.exit_code, result.output) == (0, "2 added\n")
    a, b = fake.calls[1][1]
    assert (a.id, a.url, a.profile) == ("a", "udp://h:1?x=y", "mine")
    assert (b.id, b.labels, b.profile) == ("b", {"channel": "x"}, "mine")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a", "write ID=URL, or a stream in JSON"),
        ("a b=udp://h:1", "id: "),
        ('{"id": "a", "url": "udp://h:1", "lables": {}}', "lables"),
        ('{"id": ', "is no JSON"),
    ],
)
def test_a_stream_that_is_wrong_is_refused_before_anything_is_asked(running, text, why):
    fake = running(FakeFleet())
    result = vqa("add", text)
    assert result.exit_code == 2
    assert why in result.output
    assert fake.calls == []


def test_streams_are_removed_paused_resumed_and_moved(running):
    fake = running(FakeFleet())
    assert vqa("remove", "a", "b").output == "2 removed\n"
    assert vqa("pause", "a").output == "1 changed\n"
    assert vqa("resume", "a").output == "1 changed\n"
    assert vqa("move", "a").output == "a is at analyzer-1\n"
    assert vqa("move", "a", "analyzer-7", "--within", "5").output == "a is at analyzer-7\n"
    asked = [call for call in fake.calls if call != "leave" and call[0] != "connect"]
    assert asked == [
        ("remove", ("a", "b")),
        ("pause", ("a",), True),
        ("pause", ("a",), False),
        ("move", "a", None, 60.0),
        ("move", "a", "analyzer-7", 5.0),
    ]


def test_status_watch_goes_on_until_all_files_are_read(running):
    ended = status(stream("a", "ended"))
    running(FakeFleet(statuses=[status(stream("a")), ended]))
    result = vqa("status", "--watch")
    assert result.exit_code == 0
    assert "ended" in result.output
    assert vqa("status", "--watch", "--json").exit_code == 2


def test_a_paused_stream_is_no_trouble(running):
    running(FakeFleet(statuses=[status(stream("a", "paused"))]))
    assert vqa("status").exit_code == 0


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


@pytest.mark.parametrize(("empty", "code", "words"), [(True, 0, "empty\n"), (False, 1, "not empty after 5 s\n")])
def test_drain_waits_and_says_whether_a_machine_is_empty(running, empty, code, words):
    fake = running(FakeFleet())
    fake.drain = lambda node, within_s: fake.calls.append(("drain", node, within_s)) or empty
    result = vqa("drain", "machine-1", "--within", "5")
    assert (result.exit_code, result.output) == (code, words)
    assert fake.calls == [("connect", None), ("drain", "machine-1", 5.0), "leave"]


@pytest.mark.parametrize("arguments", [(), ("machine-1", "--here")])
def test_drain_wants_one_machine(running, arguments):
    running(FakeFleet())
    assert vqa("drain", *arguments).exit_code == 2


@pytest.mark.parametrize(("was", "words"), [(True, "cam is watched again"), (False, "cam was not parked")])
def test_unpark_says_whether_the_stream_was_parked(running, was, words):
    fake = running(FakeFleet(statuses=[status()]))
    fake.unpark = lambda stream_id: fake.calls.append(("unpark", stream_id)) or was
    result = vqa("unpark", "cam")
    assert (result.exit_code, fake.calls) == (0, [("connect", None), ("unpark", "cam"), "leave"])
    assert words in result.output
