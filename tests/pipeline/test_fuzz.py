"""500 mutated transport streams and MP4s through `analyze`: no exception but SourceError, no crash, no hang.

In child processes, so that a crash or a hang inside libav is a failure with the seed that brings it about.
"""

import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import pytest

import vqa_ray
from tests.fuzz import make_clips

SEEDS = 500
CHILDREN = 2
HANGS_AFTER_S = 30.0  # an input takes 10 ms, and up to 4 s where libav follows a damaged index
MOST_FAILURES = 5  # of a child's seeds; then it is given up


def lines_of(child: "subprocess.Popen[bytes]", limit_s: float) -> Iterator[str]:
    """Its lines, until it ends or says nothing for `limit_s`."""
    assert child.stdout is not None
    while select.select([child.stdout], [], [], limit_s)[0] and (line := child.stdout.readline()):
        yield line.decode().strip()


def failures_of(command: Sequence[str], first: int, last: int, limit_s: float = HANGS_AFTER_S) -> list[str]:
    """Runs `command first last`, again behind each seed that ends it; what went wrong, with the seeds."""
    failures: list[str] = []
    while first < last and len(failures) < MOST_FAILURES:
        said = tempfile.TemporaryFile()  # noqa: SIM115 # closed below
        child = subprocess.Popen([*command, str(first), str(last)], stdout=subprocess.PIPE, stderr=said, bufsize=0)
        seed, done = first, first
        for line in lines_of(child, limit_s):
            seed = int(line.split()[0])
            if " failed " in line:
                failures.append(line)
            done = seed if line.endswith("begins") else seed + 1
        if done >= last:
            first = last
            child.wait(limit_s)
        else:
            failures.append(f"{seed} {_ending(child, said)}")
            first = seed + 1
        assert child.stdout is not None
        child.stdout.close()
        said.close()
    return failures


def _ending(child: "subprocess.Popen[bytes]", said: IO[bytes]) -> str:
    """How it ended: by itself, or now, because it hangs."""
    try:
        code = child.wait(1.0)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        return "hangs"
    said.seek(0)
    why = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return f"died of {why}: {said.read().decode(errors='replace')[-2000:]}"


def test_500_damaged_inputs_raise_nothing_and_end_in_time(tmp_path: Path) -> None:
    make_clips(tmp_path)
    for clip in tmp_path.iterdir():  # what is mutated is read to its end while it is whole
        assert sum(1 for _ in vqa_ray.analyze(str(clip), readings=True)) > 50
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.fuzz", str(tmp_path)]
    share = SEEDS // CHILDREN
    with ThreadPoolExecutor(CHILDREN) as pool:
        firsts = range(0, SEEDS, share)
        found = pool.map(lambda first: failures_of(command, first, min(SEEDS, first + share)), firsts)
        assert [failure for failures in found for failure in failures] == []


CHILD = """
import os, sys, time
for seed in range(int(sys.argv[1]), int(sys.argv[2])):
    print(seed, "begins", flush=True)
    if seed == 2:
        {does}
    print(seed, "took 0 s", flush=True)
"""


@pytest.mark.parametrize(
    ("does", "says"),
    [("os.abort()", "2 died of SIGABRT"), ("time.sleep(60)", "2 hangs"), ("sys.exit(3)", "2 died of exit code 3")],
)
def test_a_crash_and_a_hang_are_seen_with_their_seed_and_the_rest_is_still_run(does: str, says: str) -> None:
    failures = failures_of([sys.executable, "-c", CHILD.format(does=does)], 0, 5, limit_s=2.0)
    assert len(failures) == 1
    assert failures[0].startswith(says)
