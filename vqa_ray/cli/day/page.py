"""The report of a day as one HTML page that needs nothing else."""

from collections.abc import Iterable
from datetime import timedelta
from html import escape

from vqa_ray.cli import show
from vqa_ray.cli.day import drawing
from vqa_ray.cli.day.drawing import Bar, Part, Stretch
from vqa_ray.core.notice import Incident
from vqa_ray.core.report import DayReport, Period
from vqa_ray.core.urls import redact

WORST, LANES, LONGEST = 40, 25, 20  # streams as bars, streams as lanes, incidents in the table
SEVERITIES = ("critical", "major", "minor", "info")


def render(report: DayReport, *, of: str) -> str:
    """The page. of: which streams it is about, in words."""
    title = f"{report.since:%Y-%m-%d}, {of}"
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{drawing.STYLE}</style><main>"
        f"<h1>{escape(title)}</h1>"
        f'<p class="note">{report.since:%Y-%m-%d %H:%M} to {report.until:%Y-%m-%d %H:%M} UTC</p>'
        f"{_figures(report)}{_streams(report)}{_labels(report)}{_lanes(report)}{_kinds(report)}{_longest(report)}"
        f"{_definitions(report)}</main></html>\n"
    )


def _figures(report: DayReport) -> str:
    values = {
        "availability, mean of streams": _share(report.availability),
        "coverage, mean of streams": _share(report.coverage),
        "streams": str(len(report.streams)),
        "incidents": str(len(report.incidents)),
        "time to detect, median": _seconds(report.detect_p50_s),
        "time to detect, 95th percentile": _seconds(report.detect_p95_s),
    }
    if (people := report.people) is not None:
        values["acknowledged"] = str(people.acknowledged)
        values["time to acknowledge, median"] = _seconds(people.acknowledge_p50_s)
        values["false alarms"] = f"{people.false_alarms} ({people.false_alarm_share:.1%})"
    return drawing.figures(values)


def _streams(report: DayReport) -> str:
    worst = report.streams[:WORST]
    rows = [
        Bar(
            one.stream_id,
            (
                Part("available", one.availability, "good"),
                Part("in a major or critical incident", max(0.0, one.coverage - one.availability), "critical"),
                Part("not analysed", max(0.0, 1 - one.coverage), "none"),
            ),
            f"{one.availability:.3%}",
        )
        for one in worst
    ]
    rest = len(report.streams) - len(worst)
    note = f'<p class="note">{rest} better ones are in the tables beside this page.</p>' if rest else ""
    return f"<h2>Availability</h2>{drawing.bars(rows, most=1.0)}{note}"


def _labels(report: DayReport) -> str:
    if not report.labels:
        return ""
    rows = [
        (one.label, str(one.streams), f"{one.availability:.3%}", f"{one.coverage:.3%}", str(one.incidents))
        for one in report.labels
    ]
    return "<h2>By label</h2>" + drawing.table(("label", "streams", "availability", "coverage", "incidents"), rows)


def _lanes(report: DayReport) -> str:
    period = Period(report.since, report.until)
    wanted = [one.stream_id for one in report.streams if one.incidents][:LANES]
    if not wanted:
        return ""
    rows = {stream: [_stretch(period, i) for i in _gravest_last(report, stream)] for stream in wanted}
    hours = period.seconds / 3600
    step = max(1, round(hours / 8))
    marks = {
        h / hours: f"{report.since + timedelta(hours=h):%H:%M}" for h in range(0, int(hours) + 1, step)
    }  # fmt: skip
    keys = [(name, name) for name in SEVERITIES]
    return f"<h2>When</h2>{drawing.lanes(rows, marks, keys)}"


def _gravest_last(report: DayReport, stream: str) -> Iterable[Incident]:
    own = [one for one in report.incidents if one.stream_id == stream]
    return sorted(own, key=lambda one: SEVERITIES.index(one.severity.value), reverse=True)


def _stretch(period: Period, one: Incident) -> Stretch:
    begin_s, end_s = period.cut(one)
    hint = f"{one.detector} {one.part}".strip() + f", {show.utc(one.start_utc)}, {show.length(end_s - begin_s)}"
    return Stretch(begin_s / period.seconds, end_s / period.seconds, one.severity.value, hint)


def _kinds(report: DayReport) -> str:
    if not report.kinds:
        return "<h2>Incidents</h2><p>None.</p>"
    bars = [Bar(one.detector, _parts(one.by_severity), str(one.incidents)) for one in report.kinds]
    hours = [
        Bar(f"{(report.since + timedelta(hours=n)):%H}", _parts(counts)) for n, counts in enumerate(report.per_hour)
    ]
    rows = [
        (
            one.detector,
            str(one.incidents),
            show.length(one.total_s),
            show.length(one.longest_s),
            _seconds(one.detect_p50_s),
            _seconds(one.detect_p95_s),
        )
        for one in report.kinds
    ]
    heads = ("detector", "incidents", "in all", "longest", "time to detect, median", "95th percentile")
    return (
        f"<h2>Incidents by kind</h2>{drawing.bars(bars)}{drawing.table(heads, rows)}"
        f"<h2>Incidents by hour of their start</h2>{drawing.columns(hours)}"
    )


def _parts(counts: dict[str, int]) -> list[Part]:
    return [Part(name, counts[name], name) for name in SEVERITIES if name in counts]


def _longest(report: DayReport) -> str:
    if not report.incidents:
        return ""
    period = Period(report.since, report.until)
    rows = []
    for one in report.longest[:LONGEST]:
        begin_s, end_s = period.cut(one)
        what = f"{one.detector} {one.part}".strip()
        end = show.utc(one.end_utc, date=True) if one.end_utc else "open"
        times = (show.utc(one.start_utc, date=True), end, show.length(end_s - begin_s))
        rows.append((*times, one.stream_id, what, one.severity.value, show.value(one), redact(one.reason)))
    heads = ("start", "end", "in the period", "stream", "what", "severity", "worst", "why")
    return f"<h2>Longest incidents</h2>{drawing.table(heads, rows)}"


def _definitions(report: DayReport) -> str:
    people = (
        "False-alarm rate and times to acknowledge are of what people said on the page of the fleet that runs, of "
        "incidents that it remembers."
        if report.people is not None
        else "What people said of incidents (acknowledged, false alarm) is left out: no running fleet was asked."
    )
    return (
        "<h2>What the figures mean</h2><p>Coverage: share of the period in which the stream was watched, each second "
        "counted by the share of its frames that was analysed; a second without any frame counts as analysed when "
        "somebody watched. Availability: the same without the time of major and critical incidents. Of a label: the "
        "mean over its streams. Time to detect: from the first bad frame until the incident was recorded, which is "
        "when alerts set out; it holds the hold of the detector (raise_after_s) and the delay of the protocol, not the "
        f"way of the alert, which the store does not know. {people}</p>"
    )


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3%}"


def _seconds(value: float | None) -> str:
    return "–" if value is None else show.length(max(0.0, value))
