"""`python -m benchmarks architectures`: what it says when it cannot run, and when architectures disagree."""

import importlib.util
import json

from click.testing import CliRunner

from benchmarks.architectures import bench, prices, report
from benchmarks.architectures.outcome import Call, Outcome, Span

CALL = Call("black", 0.02, 0.1, 4, 1, 1, {"state": 2, "read": 1, "results": 1})


def outcomes(told_by_serverless):
    told = [["black", "", 1.0, 2.6, "major"]]
    served = told_by_serverless(told)
    plain = {"stream_s": 10.0, "frames": 250, "wall_s": 10.0, "latency_s": [0.001], "told": told}
    spans = [Span("decode", "converter", 10.0, 0.25, 0)]
    return [
        Outcome(name="monolith", cpu_s={"pipeline": 0.3}, spans=spans, **plain),
        Outcome(name="ray-actor", cpu_s={"pipeline": 0.3}, over_monolith=[1.01], spans=spans, **plain),
        Outcome(name="ray-stages", cpu_s={"detectors": 2.0}, working_s=0.5, spans=spans, **plain),
        Outcome(
            name="serverless", cpu_s={"converter": 0.5, "functions": 5.0, "aggregator": 0.1}, executions=10,
            calls=[CALL] * 190, transitions=200, batch_s=1.0, spans=spans, **{**plain, "told": served},
        ),
        Outcome(
            name="serverless, grouped", cpu_s={"converter": 0.5, "functions": 1.0, "aggregator": 0.1}, executions=10,
            calls=[CALL] * 30, transitions=40, batch_s=1.0, spans=spans, **plain,
        ),
    ]  # fmt: skip


def invoke(monkeypatch, told_by_serverless, *arguments):
    made = report.make("360p25", outcomes(told_by_serverless), prices.load())
    monkeypatch.setattr(bench, "run", lambda plan, console, listed: [made])
    return CliRunner().invoke(bench.command, ["--short", *arguments])


def test_without_the_extra_it_says_how_to_get_it(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "moto" else found(name))
    result = CliRunner().invoke(bench.command, ["--short"])
    assert result.exit_code == 1
    assert "moto not installed" in result.output
    assert "pip install '.[bench]'" in result.output


def test_the_figures_have_the_names_that_are_promised(monkeypatch, tmp_path):
    result = invoke(monkeypatch, lambda told: told, "--json", str(tmp_path / "figures.json"))
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "figures.json").read_text())
    for architecture in ("monolith", "ray_actor", "ray_stages", "serverless"):
        for name in ("usd_per_stream_hour", "cpu_s_per_stream_s", "latency_p99_ms"):
            assert found[f"{name}_{architecture}"] > 0
    assert found["incidents_equal"] == 1
    assert found["saving_monolith_vs_serverless"] > 0.9


def test_architectures_that_disagree_fail(monkeypatch):
    result = invoke(monkeypatch, lambda told: [])
    assert result.exit_code == 1
    assert "do not find the same incidents" in result.output
