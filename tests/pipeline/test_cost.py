"""What detectors cost: measured in the running pipeline, on real media."""

import json

import pytest
from click.testing import CliRunner

from vqa_ray.cli import cost as command
from vqa_ray.cli.main import cli
from vqa_ray.detectors.registry import by_id
from vqa_ray.pipeline import cost
from vqa_ray.pipeline.cost import Cost, Timed, measure


@pytest.fixture(scope="module")
def costs() -> list[Cost]:
    specs = [by_id[name]() for name in ("null", "black", "silence", "signal_loss", "cc_error", "playlist")]
    return measure(specs, seconds={"360p": 2.0}, rounds=1)


def test_each_detector_is_timed_for_what_it_reads(costs):
    found = {one.detector: one for one in costs}
    assert found["black"].reads == found["null"].reads == 50
    assert found["silence"].reads >= 19
    assert (found["black"].per, found["silence"].per, found["signal_loss"].per) == ("frame", "block", "item")
    assert found["playlist"].reads == 0


def test_figures_are_those_of_the_machine(costs):
    found = {one.detector: one for one in costs}
    assert 0.01 < found["null"].us < found["black"].us < 100_000
    assert all(0.0 <= one.share < 10.0 for one in costs)


def test_a_detector_under_measurement_says_what_it_says(tmp_path):
    class Said:
        def read(self, item):
            return (item,)

        def finish(self):
            return ("last",)

    timed = Timed(Said())
    assert (timed.read(1), timed.finish(), timed.reads) == ((1,), ("last",), 1)
    assert timed.spent_s > 0.0


def test_the_command_prints_a_table_or_json(monkeypatch):
    one = Cost(detector="black", size="360p", per="frame", reads=10, us=3.14, share=0.0049)
    idle = Cost(detector="playlist", size="360p", per="item", reads=0, us=0.0, share=0.0)
    monkeypatch.setattr(command, "measure", lambda specs, on_round: [one, idle])
    lines = CliRunner().invoke(cli, ["detectors", "black", "--cost"]).stdout.splitlines()
    assert lines[1].split() == ["black", "frame", "3.1", "0.5%"]
    assert lines[2].split() == ["playlist", "item"]
    record = json.loads(CliRunner().invoke(cli, ["detectors", "black", "--cost", "--json"]).stdout.splitlines()[0])
    assert record["us"] == 3.14


def test_both_sizes_are_measured():
    assert set(cost.SECONDS) == set(cost.SIZES) == {"360p", "1080p"}
