"""What the actors log where Ray's dashboard shows it, as JSON."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.conftest import Bench, eventually
from vqa_ray.cluster import process

pytestmark = pytest.mark.ray


def logged(folder: Path) -> list[dict[str, Any]]:
    """All lines of JSON in the files of Ray's workers."""
    files = (folder / "r").glob("session_latest/logs/worker-*.err")
    lines = [line for file in files for line in file.read_text().splitlines()]
    return [json.loads(line) for line in lines if line.startswith('{"')]


def test_rays_log_files_have_lines_of_json_with_stream_and_analyzer(ray_env: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(process.FORMAT, "json")
    bench = Bench(ray_env)
    try:
        bench.watch("a")
        eventually(lambda: any(one.get("stream") == "a" for one in logged(ray_env)), timeout_s=30)
        said = next(one for one in logged(ray_env) if one.get("stream") == "a")
        assert (said["actor"], said["level"]) == ("supervisor", "info")
        assert said["analyzer"].startswith("analyzer-")
        assert said["message"].startswith("assign a at analyzer-")
    finally:
        bench.fleet.stop()
