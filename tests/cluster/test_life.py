"""Starting, finding and stopping a fleet: no process stays."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.conftest import Bench, eventually
from vqa_ray.cluster.client import Fleet
from vqa_ray.errors import ClusterUnreachable, ConfigError

pytestmark = pytest.mark.ray

ASK = """
import sys
from vqa_ray.cluster.client import Fleet
fleet = Fleet.connect(state_dir=sys.argv[1])
print(sorted(s.stream_id for s in fleet.status().streams))
if "stop" in sys.argv: fleet.stop()
"""


def ask(state: Path, *more: str) -> str:
    done = subprocess.run([sys.executable, "-c", ASK, str(state), *more], capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_fleet_is_found_from_another_process_stopped_from_there_and_leaves_nothing_behind(ray_env: Path):
    with pytest.raises(ClusterUnreachable):
        Fleet.connect(state_dir=ray_env / "state")
    bench = Bench(ray_env)
    bench.watch("a", "b")
    status = bench.fleet.status()
    pids = [status.supervisor_pid, *(a.pid for a in status.analyzers if a.pid)]
    assert ask(ray_env / "state") == "['a', 'b']"
    with pytest.raises(ConfigError):
        bench.fleet.apply(_of_unknown_profile(bench))
    assert ask(ray_env / "state", "stop") == "['a', 'b']"
    with pytest.raises(ClusterUnreachable):
        bench.fleet.status()
    bench.fleet.stop()
    eventually(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))  # noqa: PTH110
    eventually(lambda: not _with_folder(ray_env))


def _of_unknown_profile(bench: Bench):
    import msgspec

    return msgspec.structs.replace(bench.spec("a"), profile="unheard-of")


def _with_folder(folder: Path) -> list[str]:
    """Command lines of living processes that name the private folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if f"{folder}/r" in text:
            found.append(text)
    return found
