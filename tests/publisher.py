"""`python -m tests.publisher`: a child that encodes the synthetic programme in real time into any muxer of libav.

It reads one line of JSON (a Job) from standard input. A server that goes away is connected to again, by an encoder that
starts anew, as encoders do. When standard input ends, so does the process.
"""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import av
import av.error
import msgspec

from vqa_ray.media.synthetic.encode import Studio, add_audio, add_video
from vqa_ray.media.synthetic.programme import Programme
from vqa_ray.media.synthetic.script import Fault, Script


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to publish, and where to: a path or a URL that libav writes. Faults happen in the first connection only."""

    target: str
    container: str
    programme: Programme
    options: dict[str, str] = {}
    faults: tuple[Fault, ...] = ()


@contextlib.contextmanager
def publishing(job: Job) -> Iterator["subprocess.Popen[bytes]"]:
    """A child that publishes; ended by its handle."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.publisher"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
    )
    assert child.stdin is not None
    try:
        child.stdin.write(msgspec.json.encode(job) + b"\n")
        yield child
    finally:
        child.kill()
        child.wait()
        child.stdin.close()


def publish(job: Job) -> None:
    """One connection, until it breaks."""
    with av.open(job.target, "w", format=job.container, options=job.options) as out:
        studio = Studio(job.programme, Script(job.faults), add_video(out, job.programme), add_audio(out, job.programme))
        began_s = time.monotonic()
        while True:
            time.sleep(max(0.0, began_s + studio.at_s - time.monotonic()))
            out.mux(studio.step())


def _end_with(lines: Any) -> None:
    lines.read()
    os._exit(0)


def main() -> None:
    """Publishes until standard input ends."""
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    threading.Thread(target=_end_with, args=(sys.stdin.buffer,), daemon=True).start()
    while True:
        with contextlib.suppress(av.error.FFmpegError, OSError):
            publish(job)
        job = msgspec.structs.replace(job, faults=())
        time.sleep(0.3)


if __name__ == "__main__":
    main()
