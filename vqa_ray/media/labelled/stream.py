"""Files of each class whose defect comes after encoding: what is lost on the way, timestamps that gap and jump."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from vqa_ray.core.labels import Label, LabelledFile, Soft
from vqa_ray.media.labelled import damage, transport
from vqa_ray.media.labelled.coding import Coding, decoded, encode
from vqa_ray.media.labelled.damage import Damage
from vqa_ray.media.labelled.defect import placed
from vqa_ray.media.labelled.shoot import Shoot, seconds_of
from vqa_ray.media.synthetic.transport import VIDEO_PID

COUNTERS = 16  # of the continuity counter
TRIES = 8  # until all of the damage can be seen; each loses more than the one before, the last one whole pictures
CODECS = ("libx264", "libx264", "mpeg2video", "libx265")
LOST_SIGNAL_S = 2.0  # a gap from which on nothing came for so long that the signal was gone
PATIENCE_S = 1.5  # what sound may suffer for so long after a packet of it was lost


class Broken:
    """A clean transport stream, and what damage made of it."""

    def __init__(self, shoot: Shoot, count: int, coding: Coding) -> None:
        self.shoot, self.count, self.coding = shoot, count, coding
        self.sound = shoot.sound(count)
        self.soft = shoot.natural(self.sound)
        self.clean = shoot.folder / f"{shoot.stem}.clean.ts"
        encode(self.clean, shoot.pictures(count), self.sound, shoot.fps, coding)
        self.data = self.clean.read_bytes()
        self.video = transport.places(self.data, VIDEO_PID)

    def places(self, first: int, last: int) -> list[transport.Place]:
        """The picture's packets from frame to frame."""
        fps = self.shoot.fps
        return transport.within(self.video, seconds_of(first, fps), seconds_of(last, fps), fps)

    def compare(self, path: Path) -> list[Damage]:
        """What differs from the clean stream."""
        return damage.compare(self.clean, path, self.shoot.fps)


def corruption(shoot: Shoot, events: int) -> LabelledFile:
    """Lost packets, flipped bits or lost slices, as they are or decoded and encoded once more (baked)."""
    form = shoot.pick("packet_loss", "packet_loss", "bitflip", "slice_loss", "baked")
    return _slice_loss(shoot, events) if form == "slice_loss" else _damaged(shoot, events, form)


def cc_error(shoot: Shoot, events: int) -> LabelledFile:
    """1 to 15 packets lost, of the picture or of the sound."""
    return _damaged(shoot, events, "audio_loss" if shoot.rng.random() < 0.25 else "packet_loss")


def pts_gap(shoot: Shoot, events: int) -> LabelledFile:
    """0.4 to 3 s missing of both streams, between two pictures that can be decoded by themselves."""
    spans, count = placed(shoot.rng, [1] * events, shoot.fps, gap_s=(2.5, 3.5))
    coding = shoot.coding(suffix=shoot.pick(".ts", ".mkv"), codec=shoot.pick(*CODECS), audio="aac", b_frames=0)
    gaps = {first: shoot.frames(*shoot.pick((0.4, 0.9), (1.0, 1.8), (2.0, 3.0))) for first, _ in spans}
    sound = shoot.sound(count)
    soft = shoot.natural(sound)
    path = shoot.path(coding.suffix)
    lengths_s = {first: seconds_of(length, shoot.fps) for first, length in gaps.items()}
    encode(path, shoot.pictures(count), sound, shoot.fps, coding, gaps=lengths_s)
    labels, before = [], 0
    for first, length in gaps.items():
        start_s, end_s = (round(seconds_of(n, shoot.fps), 6) for n in (first + before, first + before + length))
        severity = "minor" if length / shoot.fps < 1 else "critical" if length / shoot.fps >= LOST_SIGNAL_S else "major"
        labels.append(Label("pts_gap", start_s, end_s, sub="both_streams", severity=severity, stream="transport"))
        if length / shoot.fps >= LOST_SIGNAL_S:
            lost = Label("signal_loss", start_s, end_s, sub="no_packets", severity="critical", stream="transport")
            labels.append(lost)
        before += length
    return shoot.labelled(path, labels, count, coding, soft)


def pts_jump(shoot: Shoot, events: int) -> LabelledFile:
    """Timestamps 15 to 100 s on, or 0.4 to 20 s back, from a key frame on, without any notice; one a file."""
    spans, count = placed(shoot.rng, [1], shoot.fps, lead_s=(3.0, 5.0), tail_s=(3.0, 4.0))
    first = spans[0][0]
    coding = shoot.coding(suffix=".ts", codec=shoot.pick("libx264", "mpeg2video"), audio="mp2", b_frames=0)
    sound = shoot.sound(count)
    soft = shoot.natural(sound)
    path = shoot.path(".ts")
    encode(path, shoot.pictures(count), sound, shoot.fps, coding, gaps={first: 0.0})
    base_s = float(shoot.rng.uniform(60, 40_000))  # as in a stream that runs for long; a step back stays above zero
    data = transport.jump(path.read_bytes(), 0, base_s)
    video = transport.places(data, VIDEO_PID)
    zero = min(place.pts for place in video)
    forward = shoot.rng.random() < 0.5
    shift_s = float(shoot.rng.uniform(15, 100)) if forward else -float(np.exp(shoot.rng.uniform(np.log(0.4), 3.0)))
    at_pts = zero + round((first - Fraction(1, 2)) / shoot.fps * transport.CLOCK_HZ)
    path.write_bytes(transport.jump(data, at_pts, round(shift_s, 2)))
    at_s = round(seconds_of(first, shoot.fps), 6)
    severity = "minor" if abs(shift_s) < 1 else "major"
    sub = "forward" if forward else "backward"
    label = Label("pts_jump", at_s, at_s, round(shift_s, 2), sub=sub, severity=severity, stream="transport")
    return shoot.labelled(path, [label], count, coding, soft)


def _damaged(shoot: Shoot, events: int, form: str) -> LabelledFile:
    """One kind of damage on the bytes of a transport stream; tried again with other packets until all of it shows."""
    spans, count = placed(shoot.rng, [shoot.frames(0.04, 1.0) for _ in range(events)], shoot.fps, gap_s=(3.0, 4.0))
    coding = shoot.coding(
        suffix=".ts", codec=shoot.pick(*CODECS), audio=shoot.pick("aac", "mp2"), key_every=int(shoot.fps), b_frames=0
    )
    broken = Broken(shoot, count, coding)
    path = shoot.path(".ts")
    try:
        for turn in range(TRIES):
            lost = [_lost(broken, span, form, turn) for span in spans]
            flips = form == "bitflip" and turn < TRIES - 1
            data = _flipped(broken, spans, turn) if flips else transport.lose(broken.data, set().union(*lost))
            path.write_bytes(data)
            found = broken.compare(path)
            again: list[Soft] = []
            if form == "baked":
                found, again = damage.as_shown(found, shoot.fps)
            labels, slight = damage.labels(found, form, shoot.fps)
            if len(labels) >= len(spans) or form == "audio_loss":
                break
        if form == "baked":
            return _baked(shoot, broken, path, labels, [*slight, *again])
    finally:
        broken.clean.unlink(missing_ok=True)
    soft = [*broken.soft, *slight]
    if form in ("packet_loss", "audio_loss"):
        labels += [_cc_label(broken, numbers, form) for numbers in lost]
    if form == "audio_loss":
        soft += [_suffering(label, kind) for label in labels for kind in ("silence", "audio_dropout", "clipping")]
    return shoot.labelled(path, labels, count, coding, soft)


def _lost(broken: Broken, span: tuple[int, int], form: str, turn: int) -> set[int]:
    """1 to 15 packets: one after the other, or here and there, in a span that grows with each turn."""
    rng = broken.shoot.rng
    span = span[0], span[1] + turn
    if form == "audio_loss":
        fps = broken.shoot.fps
        zero = min(place.pts for place in broken.video)
        low, high = (zero + n / fps * transport.CLOCK_HZ for n in span)
        audio = transport.places(broken.data, transport.AUDIO_PID)
        found = [p.number for p in audio if low <= p.pts < max(high, low + transport.CLOCK_HZ // 4)]
    else:
        found = [place.number for place in broken.places(*span)]
        if turn == TRIES - 1:
            return set(found)
    few = min(len(found), int(rng.integers(1, COUNTERS)))  # all of them lost would look like none
    if rng.random() < 0.5:
        start = int(rng.integers(0, len(found) - few + 1))
        return set(found[start : start + few])
    return set(rng.choice(found, few, replace=False).tolist())


def _flipped(broken: Broken, spans: Sequence[tuple[int, int]], turn: int) -> bytes:
    data = broken.data
    for span in spans:
        bits = int(broken.shoot.rng.integers(5, 46)) * (1 + turn)
        data = transport.flip(data, broken.places(*span), bits, broken.shoot.rng)
    return data


def _cc_label(broken: Broken, numbers: set[int], form: str) -> Label:
    """From the first lost packet's picture to the end of the last one's."""
    fps = broken.shoot.fps
    pid = transport.AUDIO_PID if form == "audio_loss" else VIDEO_PID
    times = [place.pts for place in transport.places(broken.data, pid) if place.number in numbers]
    zero = min(place.pts for place in broken.video)
    start_s = (min(times) - zero) / transport.CLOCK_HZ
    end_s = (max(times) - zero) / transport.CLOCK_HZ + float(1 / fps)
    sub = "audio_pid" if form == "audio_loss" else "video_pid"
    return Label(
        "cc_error", round(start_s, 6), round(end_s, 6), len(numbers), sub=sub, severity="major", stream="transport"
    )


def _suffering(label: Label, kind: str) -> Soft:
    return Soft(kind, label.start - PATIENCE_S, label.end + PATIENCE_S, why="sound was lost here")


def _baked(shoot: Shoot, broken: Broken, path: Path, labels: Sequence[Label], slight: Sequence[Soft]) -> LabelledFile:
    """The damaged pictures as a receiver shows them, encoded again, with the sound as it was."""
    work = path.replace(shoot.folder / f"{shoot.stem}.damaged.ts")
    try:
        zero = next(at for at, _ in decoded(broken.clean))
        coding = shoot.coding(megabits=(2.0, 6.0))
        pictures = damage.repaired(work, broken.count, shoot.fps, zero)
        final = encode(shoot.path(coding.suffix), pictures, broken.sound, shoot.fps, coding)
    finally:
        work.unlink()
    return shoot.labelled(final, labels, broken.count, coding, [*broken.soft, *slight])


def _slice_loss(shoot: Shoot, events: int) -> LabelledFile:
    """Some of the four slices of one to six pictures missing, as after a lost packet of RTP; the container is whole."""
    spans, count = placed(shoot.rng, [shoot.frames(0.04, 0.25) for _ in range(events)], shoot.fps, gap_s=(3.0, 4.0))
    coding = shoot.coding(
        codec="libx264", suffix=shoot.pick(".ts", ".mkv"), audio="aac", key_every=int(shoot.fps), b_frames=0, slices=4
    )
    broken = Broken(shoot, count, coding)
    path = shoot.path(coding.suffix)
    try:
        for turn in range(TRIES):
            _encode_without_slices(shoot, broken, path, [(a, b + turn) for a, b in spans], whole=turn == TRIES - 1)
            labels, slight = damage.labels(broken.compare(path), "slice_loss", shoot.fps)
            if len(labels) >= len(spans):
                break
    finally:
        broken.clean.unlink(missing_ok=True)
    return shoot.labelled(path, labels, count, coding, [*broken.soft, *slight])


def _encode_without_slices(
    shoot: Shoot, broken: Broken, path: Path, spans: Sequence[tuple[int, int]], *, whole: bool
) -> None:
    """whole: all slices of these pictures."""
    bad = {n for first, last in spans for n in range(first, last) if shoot.rng.random() < 0.8} | {a for a, _ in spans}

    def change(packet: Any) -> list[Any]:
        n = round(packet.pts * packet.time_base * shoot.fps)
        if n not in bad:
            return [packet]
        if whole:
            return []
        head, coded = transport.slices(bytes(packet))
        lost = set(
            shoot.rng.choice(len(coded), min(len(coded) - 1, int(shoot.rng.integers(1, 3))), replace=False).tolist()
        )
        made: Any = av.Packet(head + b"".join(unit for k, unit in enumerate(coded) if k not in lost))
        made.stream, made.pts, made.dts, made.time_base = packet.stream, packet.pts, packet.dts, packet.time_base
        made.is_keyframe = packet.is_keyframe
        return [made]

    encode(path, shoot.pictures(broken.count), broken.sound, shoot.fps, broken.coding, change=change)
