"""The child process of a source: encodes in real time, and ends when its parent does.

It reads one line of JSON (a Brief) from standard input, answers with one line (Started), then reads further
lines: more faults. When standard input ends, so does the process.
"""

import os
import sys
import threading
import time
from typing import BinaryIO

import cv2
import msgspec

from vqa_ray.media.synthetic.encode import Studio
from vqa_ray.media.synthetic.outlets import Hls, HttpStream, Outlet, TransportOutlet, Udp
from vqa_ray.media.synthetic.programme import Programme
from vqa_ray.media.synthetic.rtmp import RtmpOutlet
from vqa_ray.media.synthetic.rtsp import RtspOutlet
from vqa_ray.media.synthetic.script import Fault, FaultKind, Script

LATE_S = 2.0  # later than this (a machine that slept), the schedule is taken up anew


class Brief(msgspec.Struct, frozen=True, kw_only=True):
    """What the parent wants: a kind of outlet (source.Kind), its address, the programme and its faults."""

    kind: str
    host: str
    port: int
    programme: Programme
    faults: tuple[Fault, ...] = ()


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """The child's answer, once a player gets something at `url`: when media time 0 was, on both clocks."""

    url: str
    origin_mono_s: float
    origin_utc_s: float


def make_outlet(brief: Brief) -> Outlet:
    """The outlet of that kind."""
    if brief.kind in ("udp", "multicast"):
        udp = Udp(brief.host, brief.port, multicast=brief.kind == "multicast")
        return TransportOutlet(brief.programme, udp)
    if brief.kind == "http":
        return TransportOutlet(brief.programme, HttpStream(brief.host, brief.port))
    if brief.kind == "hls":
        return TransportOutlet(brief.programme, Hls(brief.host, brief.port))
    if brief.kind == "rtmp":
        return RtmpOutlet(brief.programme, brief.host, brief.port)
    if brief.kind == "rtsp":
        return RtspOutlet(brief.programme, brief.host, brief.port)
    raise ValueError(f"no outlet of kind {brief.kind!r}")


class Broadcast:
    """Paces a studio on the monotonic clock, and plays the faults that concern the way and not the content."""

    def __init__(self, outlet: Outlet, programme: Programme, script: Script) -> None:
        self.outlet = outlet
        self.script = script
        self.studio = Studio(programme, script, outlet.video, outlet.audio)
        self.origin_mono_s = time.monotonic()
        self.origin_utc_s = time.time()
        self._on_air = True

    def step(self) -> None:
        """Waits for the next frame's time, makes it and sends it."""
        at_s = self.studio.at_s
        delay_s = self.origin_mono_s + at_s - time.monotonic()
        if delay_s > 0:
            time.sleep(delay_s)
        elif delay_s < -LATE_S:
            self.origin_mono_s -= delay_s
        packets = self.studio.step()
        if self._is_dead(at_s) or self.script.at(FaultKind.STALL, at_s):
            self.outlet.hold(packets)
        else:
            self.outlet.send(packets, lossy=self.script.at(FaultKind.CORRUPTION, at_s) is not None)

    def _is_dead(self, at_s: float) -> bool:
        dead = self.script.at(FaultKind.OUTAGE, at_s) is not None
        if dead and self._on_air:
            self.outlet.leave_air()
        elif not dead and not self._on_air:
            self.outlet.enter_air()
        self._on_air = not dead
        return dead


def main() -> int:
    """Runs until standard input ends."""
    cv2.setNumThreads(1)
    brief = msgspec.json.decode(sys.stdin.buffer.readline(), type=Brief)
    script = Script(brief.faults)
    broadcast = Broadcast(make_outlet(brief), brief.programme, script)
    threading.Thread(target=_obey, args=(sys.stdin.buffer, script), name="obey", daemon=True).start()
    told = False
    while True:
        broadcast.step()
        if not told and broadcast.outlet.playable:
            _answer(broadcast)
            told = True


def _answer(broadcast: Broadcast) -> None:
    started = Started(
        url=broadcast.outlet.url, origin_mono_s=broadcast.origin_mono_s, origin_utc_s=broadcast.origin_utc_s
    )
    sys.stdout.buffer.write(msgspec.json.encode(started) + b"\n")
    sys.stdout.buffer.flush()


def _obey(lines: BinaryIO, script: Script) -> None:
    for line in lines:
        script.add(msgspec.json.decode(line, type=tuple[Fault, ...]))
    os._exit(0)  # the parent closed the pipe or is gone; sockets close with the process
