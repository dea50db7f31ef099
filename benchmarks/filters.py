"""What FFmpeg's own filters find in a file, as events that are judged like ours; libavfilter through PyAV.

FFmpeg's detectors at two settings: their defaults, and short holds (0.1 s black, 0.5 s freeze, 0.3 s silence) at the
same thresholds. Where FFmpeg only measures, the plainest rule over its figures stands in (`RULES`); these rules are
ours, and are counted with the short holds. A class that is not in `CLASSES` has nothing in FFmpeg.
"""

import statistics
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import av
import msgspec
from av.filter import Graph

from vqa_ray.core.labels import Event

DEFAULT_S = {"black": 2.0, "freeze": 2.0, "silence": 2.0}
SHORT_S = {"black": 0.1, "freeze": 0.5, "silence": 0.3}
DROPOUT_S = 0.02  # silencedetect's shortest hold here; what ends before SHORT_S is a dropout
CLASSES = ("black", "freeze", "silence", "audio_dropout", "corruption", "green", "blockiness", "loudness", "clipping")

Values = Mapping[str, str]
PREFIX = "lavfi."


class Rule(msgspec.Struct, frozen=True):
    """A figure of a filter that is bad for at least `least_s`, with holes up to `merge_s`, is an event."""

    kind: str
    bad: Callable[[Values], bool]
    least_s: float
    merge_s: float


RULES = (
    Rule("green", lambda v: _value(v, "signalstats.UAVG", 128) < 100 > _value(v, "signalstats.VAVG", 128), 0.1, 0.1),
    Rule("blockiness", lambda v: _value(v, "block", 0) > 2.0, 0.5, 0.2),
    Rule("corruption", lambda v: "corrupt" in v, 0.0, 0.5),
    Rule(
        "clipping",
        lambda v: _value(v, "astats.Overall.Flat_factor", 0) > 0 and _value(v, "astats.Overall.Peak_level", -99) > -0.5,
        0.3,
        0.5,
    ),
    Rule("loudness", lambda v: abs(_value(v, "step", 0)) > 8.0, 1.0, 0.3),
)


class Detected(msgspec.Struct):
    """What is found with the defaults, and with short holds."""

    default: list[Event]
    short: list[Event]


def detect(path: Path, *, blocks: bool = True) -> Detected:
    """Run the filters over a file, as far as it can be decoded. blocks: blockdetect too, which is slow."""
    spans = _Spans()
    with av.open(str(path)) as container:
        video, audio = (next(iter(found), None) for found in (container.streams.video, container.streams.audio))
        seen, heard = _pictures(blocks), _sounds()
        for stream in filter(None, (video, audio)):
            stream.codec_context.thread_count = 1
        for packet in container.demux(*filter(None, (video, audio))):
            try:
                frames = packet.decode()
            except av.FFmpegError:
                continue
            for frame in frames:
                if frame.pts is None:
                    continue
                picture = packet.stream is video
                spans.pass_by(frame, picture=picture)
                for chain in seen if picture else heard:
                    for at_s, values in chain.feed(frame):
                        spans.take(chain.name, at_s, values, picture=picture)
    return spans.close()


class _Chain:
    """A source, filters, a sink, made for the first frame (a stream may announce another format than it decodes to).

    A frame that it cannot take, since the format changed, ends it.
    """

    def __init__(self, name: str, *filters: tuple[str, str]) -> None:
        self.name, self._filters = name, filters
        self._graph: Graph | None = None
        self._source: Any = None
        self._sink: Any = None
        self._ended = False

    def feed(self, frame: Any) -> Iterator[tuple[float, Values]]:
        """Time and figures of each frame that comes out."""
        if self._ended:
            return
        try:
            if self._graph is None:
                self._build(frame)
            self._source.push(frame)
        except (av.FFmpegError, ValueError):
            self._ended = True
            return
        while True:
            try:
                out = self._sink.pull()
            except (av.FFmpegError, EOFError):
                return
            yield float(out.pts * out.time_base), {k.removeprefix(PREFIX): v for k, v in out.metadata.items()}

    def _build(self, frame: Any) -> None:
        self._graph = graph = Graph()
        graph.threads = 1
        if isinstance(frame, av.VideoFrame):
            last = graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
            )
        else:
            last = graph.add_abuffer(
                sample_rate=frame.sample_rate, format=frame.format, layout=frame.layout, time_base=frame.time_base
            )
        self._source = last
        sink = "buffersink" if isinstance(frame, av.VideoFrame) else "abuffersink"
        for kind, options in [*self._filters, (sink, "")]:
            following = graph.add(kind, options) if options else graph.add(kind)
            last.link_to(following)
            last = following
        graph.configure()
        self._sink = last


def _pictures(blocks: bool) -> list[_Chain]:
    figures = [("blackdetect", ""), ("signalstats", "")] + ([("blockdetect", "")] if blocks else [])
    return [
        _Chain("figures", *figures),
        _Chain("default", ("freezedetect", f"d={DEFAULT_S['freeze']}")),
        _Chain("short", ("freezedetect", f"d={SHORT_S['freeze']}")),
    ]


def _sounds() -> list[_Chain]:
    return [
        _Chain("dropout", ("silencedetect", f"d={DROPOUT_S}")),
        _Chain("figures", ("asetnsamples", "n=4800"), ("astats", "metadata=1:reset=1"), ("ebur128", "metadata=1")),
    ]


class _Spans:
    """Figures in, events out; times are seconds from the first picture."""

    def __init__(self) -> None:
        self._zero: float | None = None
        self._last = 0.0
        self._open: dict[tuple[str, str], float] = {}
        self._done: list[tuple[str, str, float, float]] = []
        self._bad: dict[str, list[tuple[float, float]]] = {rule.kind: [] for rule in RULES}
        self._levels: deque[float] = deque(maxlen=100)  # ten seconds of momentary loudness

    def pass_by(self, frame: Any, *, picture: bool) -> None:
        """A decoded frame, before the filters: its time, and libav's mark of damage."""
        at_s = float(frame.pts * frame.time_base)
        length_s = float(frame.duration * frame.time_base) if frame.duration else 0.0
        self._last = max(self._last, at_s + length_s)
        if picture and self._zero is None:
            self._zero = at_s
        if picture and frame.is_corrupt:
            self._mark("corruption", at_s, 0.0)

    def take(self, chain: str, at_s: float, values: Values, *, picture: bool) -> None:
        """What the filters say of a frame."""
        for kind, begins, ends in (
            ("black", "black_start", "black_end"),
            ("freeze", "freezedetect.freeze_start", "freezedetect.freeze_end"),
            ("silence", "silence_start", "silence_end"),
        ):
            if begins in values:
                self._open[chain, kind] = float(values[begins])
            if ends in values and (chain, kind) in self._open:
                self._done.append((chain, kind, self._open.pop((chain, kind)), float(values[ends])))
        if "r128.M" in values:
            values = {**values, "step": str(self._step(float(values["r128.M"])))}
        for rule in RULES:
            if rule.bad(values):
                self._mark(rule.kind, at_s, 0.0 if picture else 0.1)

    def close(self) -> Detected:
        """All events; what is open lasts to the end."""
        zero = self._zero or 0.0
        spans = self._done + [(*key, start, self._last) for key, start in self._open.items()]
        default, short = [], []
        for chain, kind, start, end in spans:
            event, length_s = Event(kind, start - zero, end - zero), end - start
            if chain in ("figures", "default", "dropout") and length_s >= DEFAULT_S[kind]:
                default.append(event)
            if chain in ("figures", "short", "dropout") and length_s >= SHORT_S[kind]:
                short.append(event)
            if chain == "dropout" and length_s < SHORT_S[kind]:
                short.append(Event("audio_dropout", event.start, event.end))
        for rule in RULES:
            short += [
                Event(rule.kind, start - zero, end - zero)
                for start, end in self._bad[rule.kind]
                if end - start >= rule.least_s
            ]
        return Detected(default, short)

    def _step(self, level: float) -> float:
        """How far the momentary loudness is from its median over ten seconds, 0 in the first three."""
        usual = statistics.median(self._levels) if len(self._levels) >= 30 else level
        self._levels.append(level)
        return level - usual

    def _mark(self, kind: str, at_s: float, length_s: float) -> None:
        merge_s = next(rule.merge_s for rule in RULES if rule.kind == kind)
        spans = self._bad[kind]
        if spans and at_s - spans[-1][1] <= max(merge_s, 0.05):
            spans[-1] = spans[-1][0], max(spans[-1][1], at_s + length_s)
        else:
            spans.append((at_s, at_s + length_s))


def _value(values: Values, name: str, otherwise: float) -> float:
    try:
        return float(values.get(name, otherwise))
    except ValueError:
        return otherwise
