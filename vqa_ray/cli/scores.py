"""How a score looks: a table that fits 80 columns, what it proves, and the same as a record."""

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from vqa_ray.core.confidence import most_events, needed_without_miss
from vqa_ray.core.scoring import Score, Tally

CLAIM = 0.98  # the recall and precision that a sample is asked to prove


def score_table(score: Score, title: str, others: Sequence[tuple[str, dict[str, float | None]]] = ()) -> Table:
    """One row a class. others: columns of further figures by class, each with its heading."""
    table = Table(
        title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold"
    )
    table.add_column("class", no_wrap=True)
    for heading in ("\nfound", "\nfalse", "recall %\n(95 %)", "precision %\n(95 %)", "\nF1"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("start\nms", "\nframes", "end\nms", *(name for name, _ in others)):
        table.add_column(heading, justify="right", no_wrap=True)
    for kind, tally in sorted(score.classes.items()):
        table.add_row(
            Text(kind, style="bold"),
            f"{tally.hits}/{tally.labels}" if tally.labels else "-",
            Text(str(tally.false), style="red" if tally.false else ""),
            share(tally.recall, tally.recall_interval),
            share(tally.precision, tally.precision_interval),
            figure(tally.f1),
            milliseconds(tally.start_error_s),
            "-" if tally.start_error_frames is None else f"{tally.start_error_frames:.1f}",
            milliseconds(tally.end_error_s),
            *(figure(values.get(kind)) for _, values in others),
        )
    return table


def claims(score: Score) -> Iterator[str]:
    """What the sample proves with 95 % confidence, and what it is too small for."""
    judged = {kind: tally for kind, tally in sorted(score.classes.items()) if tally.labels}
    words = {"shown": [], "excluded": [], "open": []}  # type: dict[str, list[str]]
    for kind, tally in judged.items():
        words[_standing(tally)].append(kind)
    percent = f"{CLAIM:.0%}".replace("%", " %")
    for standing, sentence in (
        ("shown", f"Recall and precision of {percent} are shown for"),
        ("excluded", f"The sample excludes {percent} for"),
        ("open", f"Too few events to tell (without a miss, {needed_without_miss(CLAIM)} would show {percent}):"),
    ):
        if words[standing]:
            yield f"{sentence} {', '.join(words[standing])}."
    yield clean_words(score)


def clean_words(score: Score) -> str:
    """False alarms on clean material, and how many a day the sample leaves possible."""
    hours = score.clean_seconds / 3600
    if not hours:
        return "The sample has no clean file: false alarms on clean material are not known."
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(score.clean_alarms.items()))
    limit = most_events(score.clean_false) / hours
    alarms = f"{score.clean_false} ({kinds})" if kinds else "0"
    return (
        f"Clean: {score.clean_files} files, {hours:.2f} h, false alarms: {alarms},"
        f" {score.clean_false / hours:.3g} an hour;"
        f" more than {limit:.3g} an hour ({24 * limit:.3g} a day) are excluded."
    )


def record(score: Score) -> dict[str, object]:
    """The score for programs."""
    hours = score.clean_seconds / 3600
    return {
        "classes": {kind: _tally(tally) for kind, tally in sorted(score.classes.items())},
        "forms": {form: {"found": found.hits, "of": found.of} for form, found in sorted(score.forms.items())},
        "clean": {
            "files": score.clean_files,
            "hours": round(hours, 4),
            "false_alarms": score.clean_false,
            "by_class": dict(sorted(score.clean_alarms.items())),
            "per_hour": score.clean_false / score.clean_seconds * 3600 if score.clean_seconds else None,
            "per_hour_at_most": most_events(score.clean_false) / score.clean_seconds * 3600
            if score.clean_seconds
            else None,
        },
        "missed": [{"file": name, "label": label} for name, label in score.missed],
        "false": [{"file": name, "event": event} for name, event in score.false],
    }


def share(value: float | None, interval: tuple[float, float]) -> str:
    """A share and its interval in percent, rounded outwards where it would say 100 or 0 and is not."""
    if value is None:
        return "-"
    low, high = (f"{100 * limit:.0f}" for limit in interval)
    return f"{_percent(value)} ({low}–{high})"


def figure(value: float | None) -> str:
    """Three digits, or a dash where the sample says nothing."""
    return "-" if value is None else f"{value:.3f}"


def milliseconds(value_s: float | None) -> str:
    """Whole milliseconds."""
    return "-" if value_s is None else f"{value_s * 1e3:.0f}"


def _percent(value: float) -> str:
    return "100" if value == 1 else f"{min(99.9, 100 * value):.1f}" if value > 0.9 else f"{100 * value:.0f}"


def _standing(tally: Tally) -> str:
    intervals = [tally.recall_interval, *([tally.precision_interval] if tally.hits + tally.false else [])]
    if all(low >= CLAIM for low, _ in intervals):
        return "shown"
    return "excluded" if any(high < CLAIM for _, high in intervals) else "open"


def _tally(tally: Tally) -> dict[str, object]:
    return {
        "found": tally.hits,
        "missed": tally.missed,
        "false": tally.false,
        "ignored": tally.ignored,
        "recall": tally.recall,
        "recall_95": tally.recall_interval if tally.labels else None,
        "precision": tally.precision,
        "precision_95": tally.precision_interval if tally.hits + tally.false else None,
        "f1": tally.f1,
        "start_error_ms": _ms(tally.start_error_s),
        "start_error_frames": None if tally.start_error_frames is None else round(tally.start_error_frames, 3),
        "end_error_ms": _ms(tally.end_error_s),
    }


def _ms(value_s: float | None) -> float | None:
    return None if value_s is None else round(value_s * 1e3, 3)
