"""A transport stream several times over in one, packets as they are: long clean time for little encoding."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av


def loop(path: Path, times: int, length: Fraction) -> None:
    """Make `path` (MPEG-TS) its own content `times` times, each `length` seconds after the one before.

    The sound goes on packet by packet without a hole, so that it may come up to half a packet (12 ms of MP2) early or
    late.
    """
    if times < 2:
        return
    once = path.with_name(f"{path.stem}.once{path.suffix}")
    path.replace(once)
    try:
        with av.open(str(path), "w", options={"fflags": "+bitexact"}) as made:
            targets: list[Any] = []
            heard = 0
            for turn in range(times):
                with av.open(str(once)) as source:
                    targets = targets or [made.add_stream_from_template(stream) for stream in source.streams]
                    heard = _copy(source, made, targets, turn, length, heard)
    finally:
        once.unlink()


def _copy(source: Any, made: Any, targets: list[Any], turn: int, length: Fraction, heard: int) -> int:
    """One pass over the source; heard: where the sound ends so far, which is returned too, in its own units."""
    start, zero = turn * length, source.streams.video[0].start_time * source.streams.video[0].time_base
    for packet in source.demux():
        if packet.pts is None or packet.dts is None:
            continue
        if packet.stream.type == "audio":
            middle = (packet.pts + packet.duration / Fraction(2)) * packet.time_base - zero
            if middle > length or (turn and middle < 0):
                continue
            if turn:
                packet.dts = packet.pts = heard
            heard = packet.pts + packet.duration
        else:
            ticks = round(start / packet.time_base)
            packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
        packet.stream = targets[packet.stream.index]
        made.mux(packet)
    return heard
