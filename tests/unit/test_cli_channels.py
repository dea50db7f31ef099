"""`vqa channels test`: what it sends, what it says, and its exit codes."""

import json
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from tests.receiver import Answer, receiving
from vqa_ray.cli.main import cli
from vqa_ray.sinks.registry import CHANNELS
from vqa_ray.sinks.trial import notices


def vqa(*arguments, **env):
    return CliRunner().invoke(cli, [str(one) for one in arguments], prog_name="vqa", env=env)


@pytest.fixture
def fleet(tmp_path):
    def write(text):
        path = tmp_path / "fleet.yaml"
        path.write_text(text)
        return path

    return write


def test_all_are_told_of_an_incident_that_is_over_at_once(fleet, tmp_path):
    with receiving() as hook:
        path = fleet(
            "page_url: https://vqa.example.com\n"
            "channels:\n"
            f"  - {{type: slack, url: '{hook.url}/slack', min_severity: critical}}\n"
            f"  - {{type: jsonl, path: '{tmp_path}/alerts.jsonl'}}\n"
        )
        result = vqa("channels", "test", path)
        told = [request.json()["text"] for request in hook.requests]
    assert result.exit_code == 0, result.output
    assert [line.split()[:3] for line in result.output.splitlines()] == [
        ["channel", "type", "result"],
        ["slack", "slack", "sent"],
        ["jsonl", "jsonl", "sent"],
    ]
    assert told == ["INFO: test on vqa-channels-test", "Over: test on vqa-channels-test, lasted 0.0 s"]
    kinds = [json.loads(line)["data"]["kind"] for line in (tmp_path / "alerts.jsonl").read_text().splitlines()]
    assert kinds == ["opened", "closed"]


def test_what_one_channel_refuses_is_said_and_the_others_are_tried_all_the_same(fleet):
    with receiving(lambda request: Answer(404, {}, b"no_service") if "gone" in request.path else Answer()) as hook:
        path = fleet(
            "channels:\n"
            f"  - {{type: slack, name: gone, url: '{hook.url}/gone'}}\n"
            "  - {type: pagerduty, routing_key: '${NO_SUCH_KEY}'}\n"
            f"  - {{type: teams, url: '{hook.url}/there'}}\n"
        )
        result = vqa("channels", "test", path, "--json")
    assert result.exit_code == 1
    one, two, three = map(json.loads, result.output.splitlines())
    assert (one["name"], one["outcome"]) == ("gone", "give_up")
    assert one["detail"].endswith("404 Not Found no_service")
    assert (two["outcome"], "NO_SUCH_KEY" in two["detail"]) == ("config", True)
    assert (three["outcome"], three["detail"]) == ("sent", "")


def test_only_those_that_are_named_are_told(fleet):
    with receiving() as hook:
        path = fleet(
            f"channels: [{{type: slack, url: '{hook.url}/s'}}, {{type: teams, url: '{hook.url}/t', name: team}}]"
        )
        assert vqa("channels", "test", path, "team").exit_code == 0
        assert {request.path for request in hook.requests} == {"/t"}


@pytest.mark.parametrize(
    ("text", "names", "why"),
    [
        ("channels: [{type: jsonl, path: /dev/null}]", ["jsonk"], "did you mean 'jsonl'?"),
        ("channels: []", [], "no channels"),
        ("channels: [{type: pigeon}]", [], "'pigeon' is refused"),
    ],
)
def test_what_cannot_be_done_ends_with_2(text, names, why, fleet):
    result = vqa("channels", "test", fleet(text), *names)
    assert (result.exit_code, why in result.output) == (2, True), result.output


def test_the_test_message_says_that_nothing_is_wrong():
    opened, closed = notices(datetime(2026, 1, 1, tzinfo=UTC))
    assert "nothing is wrong" in opened.incident.reason
    assert opened.incident.incident_id == closed.incident.incident_id
    assert opened.incident.severity.value == "info"


def test_every_channel_has_words_in_the_readme():
    from tests.unit.test_cli_readme import README

    assert [kind.id for kind in CHANNELS if f"| `{kind.id}` |" not in README] == []
