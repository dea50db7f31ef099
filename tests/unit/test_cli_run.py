"""`vqa run` against a stand-in of the fleet: what it tells, when it ends, and what it leaves behind."""

import io

import pytest
from click.testing import CliRunner
from rich.console import Console

from tests.unit.cli_fakes import FakeFleet, incident, status, stream
from vqa_ray.cli import run as command
from vqa_ray.cli.main import cli
from vqa_ray.cluster.messages import ApplyResult
from vqa_ray.config import SpreadingChanges
from vqa_ray.errors import ClusterUnreachable, ConfigError

OPEN, CLOSED = incident(end_s=None), incident()


@pytest.fixture
def fleet_file(tmp_path):
    path = tmp_path / "f.yaml"
    path.write_text("streams: [{id: cam, url: 'udp://h:1'}]")
    return path


@pytest.fixture
def running(monkeypatch):
    def use(fake):
        class Starting:
            @classmethod
            def start(cls, *, address=None, options=None):
                fake.calls.append(("start", address))
                fake.options = options
                return fake

        monkeypatch.setattr(command, "Fleet", Starting)
        monkeypatch.setattr(command, "LOOK_S", 0.0)
        return fake

    return use


def vqa(*arguments):
    return CliRunner().invoke(cli, ["run", *map(str, arguments)], prog_name="vqa", env={"RAY_ADDRESS": None})


def lines_of(result):
    return [line.rstrip() for line in result.stdout.splitlines()]


def test_without_a_terminal_each_change_is_a_line(running, fleet_file):
    fake = FakeFleet(
        statuses=[status(stream(state="connecting")), status(stream()), status(stream(state="ended"))],
        incidents=[[], [], [OPEN], [CLOSED]],
    )
    running(fake)
    result = vqa(fleet_file)
    lines = lines_of(result)
    assert lines[0] == f"{fleet_file}: 1 added, 2 removed"
    assert [line.split("  ", 1)[1] for line in lines[1:-2]] == [
        "● source  cam  connecting",
        "▲ began  cam  black  major",
        "● source  cam  live",
        "▽ ended  cam  black  after 1.50 s, worst 100% dark",
        "● source  cam  ended",
    ]
    assert lines[-2:] == [f"{fleet_file}: 1 incident (1 black)", "stopped"]
    assert result.exit_code == 1
    assert fake.calls == [("start", None), ("apply", ["cam"]), "stop"]


def test_without_incidents_the_exit_code_is_0(running, fleet_file):
    running(FakeFleet(statuses=[status(stream(state="ended"))]))
    assert vqa(fleet_file).exit_code == 0


def test_incidents_of_before_are_not_told(running, fleet_file):
    running(FakeFleet(statuses=[status(stream(state="ended"))], incidents=[[CLOSED], [CLOSED]]))
    result = vqa(fleet_file)
    assert result.exit_code == 0
    assert "began" not in result.stdout


def test_one_that_began_and_ended_between_two_looks_is_told_whole(running, fleet_file):
    running(FakeFleet(statuses=[status(stream(state="ended"))], incidents=[[], [CLOSED]]))
    words = " ".join(lines_of(vqa(fleet_file)))
    assert words.index("▲ began") < words.index("▽ ended")


def test_a_cluster_that_was_joined_goes_on(running, fleet_file):
    fake = running(FakeFleet(statuses=[status(stream(state="ended"))], owned=False))
    result = vqa(fleet_file, "--address", "head:6379")
    assert fake.calls == [("start", "head:6379"), ("apply", ["cam"]), "leave"]
    assert lines_of(result)[-1] == "the fleet goes on: `vqa status` shows it, `vqa stop` ends it"


def test_ctrl_c_stops_what_was_started_here(running, fleet_file):
    fake = running(FakeFleet(statuses=[status(stream()), KeyboardInterrupt()], incidents=[[], []]))
    result = vqa(fleet_file)
    assert (result.exit_code, fake.calls[-1]) == (0, "stop")


def test_duration_ends_the_watch(running, fleet_file):
    fake = running(FakeFleet(statuses=[status(stream())]))
    result = vqa(fleet_file, "--duration", "0.05")
    assert (result.exit_code, fake.calls[-1]) == (0, "stop")


def test_a_supervisor_that_is_away_for_a_while_does_not_end_the_watch(running, fleet_file):
    away = ClusterUnreachable("the supervisor does not answer")
    fake = running(FakeFleet(statuses=[away, away, status(stream()), status(stream(state="ended"))]))
    result = vqa(fleet_file)
    assert result.exit_code == 0
    assert result.stdout.count("the supervisor does not answer; trying again") == 1
    assert fake.calls[-1] == "stop"


def test_detach_comes_back_at_once(running, fleet_file):
    fake = running(FakeFleet(owned=False))
    result = vqa(fleet_file, "--detach", "--address", "auto")
    assert result.exit_code == 0
    assert fake.calls == [("start", "auto"), ("apply", ["cam"]), "leave"]


def test_detach_without_a_cluster_is_refused(running, fleet_file):
    fake = running(FakeFleet())
    result = vqa(fleet_file, "--detach")
    assert result.exit_code == 2
    assert "ray start --head" in " ".join(result.stderr.split())
    assert fake.calls == []


def test_a_fleet_that_is_refused_leaves_no_ray_behind(running, fleet_file, monkeypatch):
    fake = running(FakeFleet())
    monkeypatch.setattr(fake, "apply", lambda fleet: (_ for _ in ()).throw(ConfigError("store: cannot be written")))
    result = vqa(fleet_file)
    assert (result.exit_code, fake.calls[-1]) == (2, "stop")
    assert result.stderr == "vqa: store: cannot be written\n"


def test_a_terminal_shows_the_streams_in_a_table_and_the_incidents_above():
    out = Console(file=io.StringIO(), force_terminal=True, width=100, height=20, color_system=None)
    fake = FakeFleet(statuses=[status(stream()), status(stream(state="ended"))], incidents=[[], [OPEN], [CLOSED]])
    command.Watch(fake, out, sleep=lambda _: None).until(None)
    text = out.file.getvalue()
    assert "▲ began  cam  black  major" in text
    assert "1 stream: 1 live · 1 analyzer · 0 open" in text
    assert "cam     live   25.0    100.0%  4.3%" in text
    assert "Ctrl-C ends" in text


def test_the_table_fits_the_terminal():
    out = Console(file=io.StringIO(), force_terminal=True, width=100, height=12, color_system=None)
    watch = command.Watch(FakeFleet(), out)
    page = watch.page(status(*(stream(f"s{n}") for n in range(100))), 1.0)
    assert len(out.render_lines(page)) <= 12


def test_the_number_of_analyzers_and_a_configmap_to_follow_can_be_given(running, fleet_file):
    fake = running(FakeFleet(owned=False))
    fake.follow = lambda name: fake.calls.append(("follow", name))
    result = vqa(fleet_file, "--detach", "--address", "auto", "--analyzers", "2:40", "--follow", "vqa-fleet")
    assert result.exit_code == 0
    assert fake.calls == [("start", "auto"), ("apply", ["cam"]), ("follow", "vqa-fleet"), "leave"]
    assert (fake.options.analyzers_min, fake.options.analyzers_max) == (2, 40)


def test_the_number_of_analyzers_that_is_given_counts_more_than_the_file(running, tmp_path):
    fake = running(FakeFleet(owned=False))
    fake.apply = lambda fleet: fake.calls.append(fleet.cluster) or ApplyResult(added=(), changed=(), removed=())
    file = tmp_path / "fleet.yaml"
    file.write_text("cluster: {policy: pack, analyzers_max: 7}\nstreams: []\n")
    assert vqa(str(file), "--detach", "--address", "auto", "--analyzers", "2:40").exit_code == 0
    (cluster,) = [call for call in fake.calls if isinstance(call, SpreadingChanges)]
    assert (cluster.policy, cluster.analyzers_min, cluster.analyzers_max) == ("pack", 2, 40)


@pytest.mark.parametrize("text", ["3", "a:b", "5:4", "0:0", "-1:2"])
def test_a_wrong_number_of_analyzers_is_refused(running, fleet_file, text):
    assert vqa(fleet_file, "--analyzers", text).exit_code == 2
