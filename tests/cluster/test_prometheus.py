"""A real Prometheus scrapes a real fleet, and every panel of the dashboards shows something."""

import json
import math
import re
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import ray

from tests.cluster.conftest import Bench, eventually
from tests.media_servers import free_port
from vqa_ray.cluster.metrics import MEANING

pytestmark = [pytest.mark.ray, pytest.mark.server, pytest.mark.timeout(360)]

MONITORING = Path(__file__).parents[2] / "k8s/monitoring"
CONFIG = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: vqa-head
    static_configs: [{{targets: ["{target}"], labels: {{ray_io_cluster: vqa}}}}]
"""


class Asked:
    """A running Prometheus."""

    def __init__(self, url: str) -> None:
        self._url = url

    def get(self, path: str, **query: str) -> Any:
        """What its API answers."""
        url = f"{self._url}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.load(answer)["data"]

    def values(self, query: str) -> list[float]:
        """Of an instant query."""
        try:
            return [float(one["value"][1]) for one in self.get("query", query=query)["result"]]
        except OSError:  # still starting
            return []


@contextmanager
def prometheus(program: str, folder: Path) -> Iterator[Asked]:
    """One that scrapes the metrics port of Ray's head."""
    node = ray.nodes()[0]
    config = folder / "prometheus.yml"
    target = f"{node['NodeManagerAddress']}:{node['MetricsExportPort']}"
    config.write_text(CONFIG.format(rules=MONITORING / "rules/vqa.yaml", target=target))
    port = free_port()
    command = [
        program,
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield Asked(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def queries() -> list[tuple[str, str]]:
    """Panel and query of each target, the variables as Grafana fills them in for "All"."""
    found = []
    for file in ("vqa.json", "vqa-streams.json"):
        for panel in json.loads((MONITORING / file).read_text())["panels"]:
            for target in panel["targets"]:
                text = re.sub(r"\$(cluster|group|stream)\b", ".*", target["expr"])
                found.append((f"{file} {panel['title']}", text.replace("$__rate_interval", "30s")))
    return found


def test_every_panel_of_the_dashboards_has_data(ray_env: Path, tmp_path: Path, require_program: Callable[[str], str]):
    program = require_program("prometheus")
    bench = Bench(ray_env)
    try:
        with prometheus(program, tmp_path) as asked:
            bench.watch("a", "b")
            for number in range(2):  # the first alert makes the histogram appear, the second one makes it grow
                bench.break_stream("a", f"incident-{number}")
                counted = f"sum(ray_vqa_alert_delay_s_count) > {number}"
                eventually(lambda counted=counted: bool(asked.values(counted)), timeout_s=120)
                if number == 0:
                    bench.mend_stream("a")
                    bench.wait(lambda s: s.open_incidents == 0, timeout_s=60)
            assert asked.values('sum(increase(ray_vqa_incidents_opened_total{detector="black"}[1h])) > 0')
            deadline_s = time.monotonic() + 90
            while empty := [one for one in queries() if not any(map(math.isfinite, asked.values(one[1])))]:
                assert time.monotonic() < deadline_s, empty
                time.sleep(0.5)
            names = {name.removeprefix("ray_") for name in asked.get("label/__name__/values")}
            assert set(MEANING) <= names
            rules = asked.get("rules")["groups"][0]["rules"]
            assert [rule["name"] for rule in rules if rule["health"] == "err"] == []
    finally:
        bench.fleet.stop()
