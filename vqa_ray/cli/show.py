"""How things look in the terminal: values in, rich tables and lines out. Nothing is asked or read here."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions
from rich.table import Table
from rich.text import Text

from vqa_ray.core.health import WHOLE
from vqa_ray.core.notice import Incident
from vqa_ray.core.reading import Severity
from vqa_ray.core.urls import redact

if TYPE_CHECKING:
    from vqa_ray.cli.measure import Offset
    from vqa_ray.cluster.messages import ApplyResult, FleetStatus, StreamStatus

PIPE_WIDTH = 200  # of tables that go to a file or a pipe: never cut there
ONE_OF = {"errors": "error", "grey levels": "grey level"}
GAP = 2  # blanks between columns
WHY, WHY_WIDTH = "why", 24
SEVERITY_STYLE = {
    Severity.CRITICAL: "bold red",
    Severity.MAJOR: "red",
    Severity.MINOR: "yellow",
    Severity.INFO: "cyan",
}
STATE_STYLE = {
    "live": "green",
    "connecting": "yellow",
    "waiting": "yellow",
    "stalled": "red",
    "backing_off": "red",
    "faulty": "bold red",
    "parked": "bold red",
    "ended": "dim",
    "paused": "dim",
    "stopped": "dim",
}
FINE = frozenset({"live", "ended", "paused"})
TIER_WORDS = {"no_disposable": "no disposable frames", "key": "key frames only"}


def console(*, stderr: bool = False) -> Console:
    """Where people read; as wide as the terminal, and never cut when it goes to a file."""
    made = Console(stderr=stderr, highlight=False)
    if not made.is_terminal:
        made = Console(stderr=stderr, highlight=False, width=PIPE_WIDTH)
    return made


def clock(at_s: float) -> str:
    """Seconds of media as `h:mm:ss.mmm`."""
    sign, ms = ("-" if at_s < 0 else ""), round(abs(at_s) * 1000)
    return f"{sign}{ms // 3_600_000}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}.{ms % 1000:03}"


def length(seconds: float) -> str:
    """A length of time, short: `0.48 s`, `12.5 s`, `3 min 05 s`, `2 h 10 min`."""
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def utc(at: datetime, *, date: bool = False) -> str:
    """A time of day in UTC, to the tenth of a second."""
    at = at.astimezone(UTC)
    day = f"{at:%Y-%m-%d} " if date else ""
    return f"{day}{at:%H:%M:%S}.{at.microsecond // 100_000}"


def value(incident: Incident) -> str:
    """The worst reading with its unit; a share as per cent."""
    unit = incident.unit
    if unit.endswith("share"):
        return f"{incident.value:.0%} {unit.removesuffix('share')}".strip()
    number = f"{incident.value:.3g}" if abs(incident.value) < 1000 else f"{incident.value:.0f}"
    if number == "1" and unit in ONE_OF:
        unit = ONE_OF[unit]
    return number if unit in ("", "1") else f"{number} {unit}"


class Columns:
    """A table that leaves out columns, rather than cut all of them, where it is drawn in too little width.

    Columns without any content go first, then those of `gives_way` in order. `why` may take several lines.
    """

    def __init__(self, *columns: str, right: Iterable[str] = (), gives_way: Sequence[str] = ()) -> None:
        self._columns = columns
        self._right = frozenset(right)
        self._gives_way = gives_way
        self._rows: list[tuple[Text, ...]] = []

    def add_row(self, *cells: str | Text) -> None:
        """One row; cells that are not given are empty."""
        texts = [Text(cell) if isinstance(cell, str) else cell for cell in cells]
        self._rows.append((*texts, *[Text()] * (len(self._columns) - len(texts))))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        kept = self._that_fit(options.max_width)
        table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
        for column in (self._columns[index] for index in kept):
            table.add_column(column, justify="right" if column in self._right else "left", no_wrap=column != WHY)
        for row in self._rows:
            table.add_row(*(row[index] for index in kept))
        yield table

    def _that_fit(self, width: int) -> list[int]:
        widths = [max(len(c), *(row[i].cell_len for row in self._rows), 0) for i, c in enumerate(self._columns)]
        needs = [min(need, WHY_WIDTH) if c == WHY else need for need, c in zip(widths, self._columns, strict=True)]
        empty = [i for i in range(len(widths)) if self._rows and not any(row[i].cell_len for row in self._rows)]
        order = [*empty, *(self._columns.index(name) for name in self._gives_way if name in self._columns)]
        kept = list(range(len(widths)))
        for index in order:
            if sum(needs[i] for i in kept) + GAP * len(kept) <= width:
                break
            kept = [i for i in kept if i != index]
        return kept


def incident_table(incidents: Sequence[Incident], *, media_time: bool, with_stream: bool) -> Columns:
    """One row an incident, by start; times in the media (a file) or of the day in UTC (live)."""
    columns = ["start", "end", "length", *(["stream"] if with_stream else []), "detector", "part", "severity", "worst"]
    with_why = any(incident.reason for incident in incidents)
    table = Columns(
        *columns,
        *([WHY] if with_why else []),
        right=("start", "end", "length"),
        gives_way=("worst", "severity", "length", WHY),
    )
    dates = len({incident.start_utc.date() for incident in incidents}) > 1
    for incident in sorted(incidents, key=lambda i: (i.start_utc, i.start_s, i.detector, i.part)):
        table.add_row(*_times(incident, media_time, dates), *_words(incident, with_stream, with_why))
    return table


def _times(incident: Incident, media_time: bool, dates: bool) -> tuple[str, str, str]:
    end_s, end_utc = incident.end_s, incident.end_utc
    spent = length(end_s - incident.start_s) if end_s is not None else ""
    if media_time:
        return clock(incident.start_s), clock(end_s) if end_s is not None else "open", spent
    return utc(incident.start_utc, date=dates), utc(end_utc, date=dates) if end_utc else "open", spent


def _words(incident: Incident, with_stream: bool, with_why: bool) -> list[Text]:
    style = SEVERITY_STYLE[incident.severity]
    return [
        *([Text(incident.stream_id)] if with_stream else []),
        Text(incident.detector, style=style),
        Text(incident.part),
        Text(incident.severity.value, style=style),
        Text(value(incident)),
        *([Text(redact(incident.reason))] if with_why else []),
    ]


def incident_line(incident: Incident, *, with_stream: bool = True) -> Text:
    """What happened just now, as one line: it opened, it grew worse, or it closed."""
    style = SEVERITY_STYLE[incident.severity]
    happened = "▲ worse  " if incident.severity_before else "▲ began  "
    what = f"{incident.detector} {incident.part}".strip()
    subject = f"{incident.stream_id}  {what}" if with_stream else what
    if incident.end_s is None or incident.end_utc is None:
        why = f"  ({redact(incident.reason)})" if incident.reason else ""
        return Text.assemble(
            utc(incident.start_utc), "  ", (happened, style), (subject, style), f"  {incident.severity}{why}"
        )
    lasted = length(incident.end_s - incident.start_s)
    return Text.assemble(
        utc(incident.end_utc), "  ", ("▽ ended  ", "green"), subject, f"  after {lasted}, worst {value(incident)}"
    )


def offset(found: "Offset") -> str:
    """A measured offset in words."""
    if found.offset_ms is None:
        what = "no face that speaks, and too few events" if found.trust == "content" else "no flashes with their beeps"
        return f"{what}: nothing was measured"
    said = early_or_late(found.offset_ms)
    if found.drift_ms_per_min is not None:
        said += f", drifts by {found.drift_ms_per_min:+.0f} ms a minute"
    trust = "sure" if found.sure else "not sure"
    return f"{said}, {trust} (sureness {found.sureness:.3g}, from {found.trust})"


def early_or_late(offset_ms: float) -> str:
    """A signed offset in words: positive is late."""
    return f"sound {abs(offset_ms):.0f} ms {'late' if offset_ms > 0 else 'early'}"


def counts(incidents: Sequence[Incident]) -> str:
    """`3 incidents (2 black, 1 freeze)`."""
    if not incidents:
        return "no incidents"
    each = Counter(incident.detector for incident in incidents).most_common()
    words = ", ".join(f"{count} {detector}" for detector, count in each)
    return f"{many(len(incidents), 'incident')} ({words})"


def many(count: int, word: str) -> str:
    """`1 stream`, `2 streams`."""
    return f"{count} {word}{'' if count == 1 else 's'}"


def status_line(status: "FleetStatus") -> Text:
    """The whole fleet in one line: how many streams are how, analyzers, what is open or undelivered."""
    states = Counter(stream.state for stream in status.streams)
    order = sorted(states, key=lambda state: (state != "live", state))
    parts: list[str | tuple[str, str]] = [(many(len(status.streams), "stream"), "bold"), ": "]
    parts += [", ".join(f"{states[state]} {state.replace('_', ' ')}" for state in order) or "none wanted"]
    parts += [f" · {many(len(status.analyzers), 'analyzer')} · "]
    parts += [(f"{status.open_incidents} open", "red" if status.open_incidents else "green")]
    if status.undelivered:
        parts += [" · ", (f"{many(status.undelivered, 'alert')} undelivered", "yellow")]
    return Text.assemble(*parts)


def stream_table(streams: Sequence["StreamStatus"], *, rows: int | None = None, ordered: bool = False) -> Columns:
    """One row a stream, those in trouble first unless they are `ordered`; at most `rows`, with a word on the rest."""
    shown = list(streams) if ordered else sorted(streams, key=_trouble)
    cut = rows is not None and len(shown) > rows
    with_why = any(map(_why, shown))
    with_faults = any(stream.faults for stream in shown)
    columns = ["stream", "state", "fps", "coverage", "cpu", "health", "open", "reconnects", "analyzer"]
    right = ("fps", "coverage", "cpu", "health", "open", "reconnects", "faults")
    columns[-1:-1] = ["faults"] if with_faults else []
    table = Columns(
        *columns,
        *([WHY] if with_why else []),
        right=right,
        gives_way=("cpu", "analyzer", "reconnects", "faults", "coverage", "fps", "health"),
    )
    for stream in shown[: max(1, (rows or 0) - 1)] if cut else shown:
        table.add_row(*_stream_row(stream, with_faults, with_why))
    if cut:
        rest = len(shown) - max(1, (rows or 0) - 1)
        table.add_row(Text(f"… {rest} more", style="dim"))
    return table


def _trouble(stream: "StreamStatus") -> tuple[bool, bool, str]:
    return stream.state in FINE, stream.open_incidents == 0, stream.stream_id


def _stream_row(stream: "StreamStatus", with_faults: bool, with_why: bool) -> list[Text]:
    seen = stream.fps > 0
    row = [
        Text(stream.stream_id),
        Text(stream.state.replace("_", " "), style=STATE_STYLE.get(stream.state, "")),
        Text(f"{stream.fps:.1f}" if seen else ""),
        Text(f"{stream.coverage:.1%}" if seen else "", style="" if stream.coverage > 0.999 else "yellow"),
        Text(f"{stream.cpu_share:.1%}" if seen else ""),
        Text("" if stream.health is None else f"{stream.health:.0f}", style=_health_style(stream.health)),
        Text(str(stream.open_incidents or ""), style="red"),
        Text(str(stream.reconnects or "")),
        *([Text(str(stream.faults or ""), style="bold red")] if with_faults else []),
        Text(stream.where),
    ]
    if with_why:
        row.append(Text(_why(stream)))
    return row


def _why(stream: "StreamStatus") -> str:
    """What there is to say of a stream that is not as it should be; "" of one that is."""
    telling = stream.state not in FINE or stream.faults
    return tier_words(stream) or (redact(stream.reason) if telling else "")


def _health_style(health: float | None) -> str:
    return "" if health is None or health >= WHOLE - 0.5 else "yellow" if health >= WHOLE / 2 else "red"


def state_line(stream: "StreamStatus") -> Text:
    """How a stream is now, where there is no table."""
    style = STATE_STYLE.get(stream.state, "")
    why = f"  {redact(stream.reason)}" if stream.reason and stream.state not in FINE else ""
    now = utc(datetime.now(UTC))
    return Text.assemble(
        now, "  ", ("● source ", style), f" {stream.stream_id}  ", (stream.state.replace("_", " "), style), why
    )


def tier_words(stream: "StreamStatus") -> str:
    """What is left out of the stream because its analyzer is short of time; "" if nothing."""
    return TIER_WORDS.get(stream.tier, "")


def changes(result: "ApplyResult") -> Iterator[str]:
    """What `apply` would change, a line a stream, and one for each option of a stream that stays."""
    yield from (f"+ {stream_id}" for stream_id in result.added)
    for stream_id in result.changed:
        yield f"~ {stream_id}"
        yield from (f"    {line}" for line in result.details.get(stream_id, ()))
    yield from (f"- {stream_id}" for stream_id in result.removed)


def applied(result: "ApplyResult") -> str:
    """What `apply` changed."""
    parts = [(result.added, "added"), (result.changed, "changed"), (result.removed, "removed")]
    return ", ".join(f"{len(ids)} {word}" for ids, word in parts if ids) or "nothing to change"
