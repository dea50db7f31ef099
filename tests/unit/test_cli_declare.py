"""`vqa check`, `vqa schema`, `vqa detectors`: what needs neither media nor Ray."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from vqa_ray import config
from vqa_ray.cli.main import cli
from vqa_ray.detectors.registry import SPECS, options

EXAMPLE = Path(__file__).parents[2] / "fleet.example.yaml"


def vqa(*arguments):
    return CliRunner().invoke(cli, [str(one) for one in arguments], prog_name="vqa")


def test_check_sums_up_a_fleet_that_is_fine():
    result = vqa("check", EXAMPLE)
    assert result.exit_code == 0
    assert result.output == (
        f"{EXAMPLE}: fine: 4 streams (1 https, 1 udp, 1 rtsp, 1 http); profiles 3 live, 1 sport;"
        " alerts to alertmanager, on-call, jsonl, slack, pagerduty, email; results in /var/lib/vqa/results\n"
    )


def test_check_refuses_what_is_wrong_with_exit_code_2(tmp_path):
    path = tmp_path / "f.yaml"
    path.write_text("streams: [{id: a}]")
    result = vqa("check", path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"vqa: {path}:1: streams[0].url: is missing: give text, not empty\n"


def test_check_as_json_gives_each_stream_its_complete_profile():
    lines = [json.loads(line) for line in vqa("check", EXAMPLE, "--json").stdout.splitlines()]
    sport = next(line for line in lines if line["id"] == "sport-multicast")
    assert sport["profile"]["detectors"]["black"]["raise_after_s"] == 3
    assert sport["profile"]["reconnect"]["stall_after_s"] == 5


def test_schema_is_the_configs_own():
    assert json.loads(vqa("schema").stdout) == json.loads(json.dumps(config.json_schema()))


def test_detectors_lists_all_with_their_holds():
    result = vqa("detectors")
    assert result.exit_code == 0
    rows = {line.split()[0]: line for line in result.stdout.splitlines()}
    assert all(spec.id in rows for spec in SPECS)
    assert rows["black"].split()[1:5] == ["2", "s", "0.1", "s"]
    assert rows["null"].split()[1:3] == ["off", "off"]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.id)
def test_a_detectors_page_names_every_option(spec):
    result = vqa("detectors", spec.id)
    assert result.exit_code == 0
    assert all(option.name in result.stdout for option in options(spec))


def test_a_detectors_page_says_what_adapts_and_what_makes_it_worse():
    page = " ".join(vqa("detectors", "freeze").stdout.split())
    assert "critical together with silence" in page
    assert "Adapts to the stream: how far things moved" in page
    record = json.loads(vqa("detectors", "bit_rate", "--json").stdout)
    assert "median of the last memory_s seconds" in record["adapts"]
    assert "Adapts" not in vqa("detectors", "null").stdout


def test_detectors_as_json_gives_options_with_default_and_range():
    record = json.loads(vqa("detectors", "black", "--json").stdout)
    assert record["id"] == "black"
    hold = next(option for option in record["options"] if option["name"] == "raise_after_s")
    assert (hold["default"], hold["allowed"]) == (2.0, "0 to 86400")
    assert record["profiles"]["qc"]["raise_after_s"] == 0.1


def test_an_unknown_detector_is_refused_with_a_guess():
    result = vqa("detectors", "blak")
    assert result.exit_code == 2
    assert result.stderr == "vqa: detector 'blak': there is no such name; did you mean 'black'?\n"
