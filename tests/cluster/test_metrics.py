"""Metrics on a real Ray: what a scrape of the head's metrics port gives."""

import re
import urllib.request
from pathlib import Path

import pytest
import ray

from tests.cluster.conftest import Bench, eventually

pytestmark = pytest.mark.ray


def scraped() -> dict[str, float]:
    """Our samples at the node's metrics port, as `name{labels of ours}`."""
    node = ray.nodes()[0]
    url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    with urllib.request.urlopen(url, timeout=5) as answer:
        text = answer.read().decode()
    found = {}
    for name, labels, value in re.findall(r"^ray_(vqa_\w+)\{([^}]*)\} (\S+)$", text, re.MULTILINE):
        ours = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        kept = [ours[key] for key in ("state", "stream", "analyzer", "channel") if key in ours]
        found[" ".join([name, *kept])] = float(value)
    return found


def seen(*samples: str) -> bool:
    try:
        return set(samples) <= scraped().keys()
    except OSError:  # the agent that serves them starts a little later than the rest of Ray
        return False


def test_a_scrape_gives_the_fleet_and_forgets_streams_that_are_watched_no_more(ray_env: Path):
    bench = Bench(ray_env)
    try:
        bench.watch("a", "b")
        eventually(lambda: seen("vqa_streams live", "vqa_stream_up a", "vqa_stream_up b"), timeout_s=60)
        now = scraped()
        assert (now["vqa_streams live"], now["vqa_stream_up a"], now["vqa_incidents_open"]) == (2, 1, 0)
        bench.break_stream("a", "incident")
        eventually(lambda: scraped()["vqa_incidents_open"] == 1, timeout_s=30)
        bench.watch("a")
        eventually(lambda: not seen("vqa_stream_up b"), timeout_s=60)
        assert seen("vqa_stream_up a", "vqa_analyzer_load analyzer-0")
    finally:
        bench.fleet.stop()
