"""How the demo looks: values in, rich tables and lines out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from vqa_ray.cli import show
from vqa_ray.cli.demo.match import Row, Verdict

if TYPE_CHECKING:
    from vqa_ray.cluster.messages import FleetStatus

LOG_LINES = 14


class Screen:
    """The streams and the latest events, renewed in place on a terminal; elsewhere one line an event."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._log: list[Text] = []
        self._page: RenderableType = Text()
        self._live = Live(console=out, auto_refresh=False, transient=True) if out.is_terminal else None
        self._states: dict[str, str] = {}

    def __enter__(self) -> "Screen":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    @property
    def page(self) -> RenderableType:
        """What was shown last."""
        return self._page

    def say(self, line: Text | str) -> None:
        """An event."""
        text = Text(line) if isinstance(line, str) else line
        self._log.append(text)
        if self._live is None:
            self._out.print(text)

    def show(self, status: "FleetStatus", words: str) -> None:
        """How everything is now."""
        events = Group(*self._log[-LOG_LINES:])
        head = Text.assemble(show.status_line(status), " · ", (words, "dim"))
        self._page = Group(head, show.stream_table(status.streams), Text(), events)
        if self._live is not None:
            self._live.update(self._page, refresh=True)
            return
        for stream in status.streams:
            if self._states.get(stream.stream_id) != stream.state:
                self._states[stream.stream_id] = stream.state
                self._out.print(show.state_line(stream))


def scripted_table(rows: Sequence[Row]) -> Table:
    """Scripted against found, with the delays."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("stream", "scripted", "from", "for", "found", "start", "end", "alert after", ""):
        right = name in ("for", "start", "end", "alert after")
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    for row in rows:
        fault = row.expected
        table.add_row(
            fault.stream_id,
            fault.kind.value,
            show.utc(fault.start_utc),
            show.length((fault.end_utc - fault.start_utc).total_seconds()),
            row.found.detector if row.found else "",
            _off(row.start_off_s),
            _off(row.end_off_s),
            show.length(row.told_after_s) if row.told_after_s is not None else "",
            Text(f"✗ {row.why}", style="bold red") if row.why else Text("✓", style="green"),
        )
    return table


def _off(seconds: float | None) -> str:
    return f"{seconds:+.2f} s" if seconds is not None else ""


def verdict_lines(verdict: Verdict, alerts: int) -> list[Text]:
    """What beside the table decides."""
    found = sum(1 for row in verdict.rows if not row.why)
    lines = [
        _line(found == len(verdict.rows), f"{found} of {len(verdict.rows)} scripted faults found as scripted"),
        _line(not verdict.unexplained, f"{len(verdict.unexplained)} incidents that the script does not explain"),
        _line(not verdict.told_twice, f"{alerts} alerts received, {len(verdict.told_twice)} of them twice"),
    ]
    if verdict.untold:
        lines.append(_line(False, f"{len(verdict.untold)} alerts never came: {', '.join(verdict.untold[:5])}"))
    return lines


def failover_line(took_s: float | None, streams: int, limit_s: float) -> Text:
    """How long streams were without an analyzer."""
    if took_s is None:
        return _line(False, f"the {streams} streams of the killed analyzer were not analysed again")
    words = f"analyzer killed: its {streams} streams were analysed again within {took_s:.1f} s (limit {limit_s:.0f} s)"
    return _line(took_s <= limit_s, words)


def _line(fine: bool, words: str) -> Text:
    return Text.assemble(("✓ ", "green") if fine else ("✗ ", "bold red"), words)
