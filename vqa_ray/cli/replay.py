"""`vqa replay`: what a changed profile would have made of the days in the store."""

import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import click
import msgspec
from rich.text import Text

from vqa_ray import config
from vqa_ray.cli import show
from vqa_ray.cli.fleet import address_option, connected
from vqa_ray.cli.main import OK, PROBLEMS
from vqa_ray.config import FleetSpec, Profile, StreamSpec
from vqa_ray.core.hold import Rule
from vqa_ray.core.notice import Incident
from vqa_ray.core.replay import Fate, Outcome, Second, Verdict
from vqa_ray.core.replay import replay as replayed
from vqa_ray.errors import ClusterError, ConfigError
from vqa_ray.pipeline.analysis import rule_of
from vqa_ray.sinks.history import read_seconds
from vqa_ray.sinks.store import read_incidents

UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
OF_THE_RULE = frozenset({"raise_after_s", "clear_after_s", "merge_gap_s", "severity"})  # options that are replayed
SIGNS = {Fate.NEW: ("+", "red"), Fate.GONE: ("-", "green"), Fate.MOVED: ("~", "yellow"), Fate.SAME: (" ", "")}
ANYWHERE = "udp://127.0.0.1:1"  # of a stream that no file declares: it is watched as the fleet watches live inputs


def length_of(_: click.Context, __: click.Parameter, text: str) -> timedelta:
    """`7d` as a length of time."""
    if (found := re.fullmatch(r"([1-9]\d{0,3})([mhdw])", text)) is None:
        raise click.BadParameter("write a number with m, h, d or w behind it, as in 7d")
    return timedelta(**{UNITS[found[2]]: int(found[1])})


@click.command()
@click.option("--since", default="7d", show_default=True, callback=length_of, help="How far back: 90m, 12h, 7d, 2w.")
@click.option("--store", required=True, metavar="URI", help="The result store: a folder, s3://…, gs://….")
@click.option("--profile", required=True, type=click.Path(dir_okay=False), help="A fleet file with the new profiles.")
@click.option(
    "--before",
    type=click.Path(dir_okay=False),
    help="The fleet file that was in force.  [default: the running fleet's]",
)
@click.option("--stream", help="Only this stream.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line and incident that differs.")
@address_option
def replay(
    since: timedelta,
    store: str,
    profile: str,
    before: str | None,
    stream: str | None,
    as_json: bool,
    address: str | None,
) -> None:
    """Run changed holds and severities over the stored seconds: which incidents would have come, gone or moved.

    Exit code 1 if any would. What is stored is a row a second: incidents of rules that did not change are given as they
    were raised, those of others to a second.
    """
    until = datetime.now(UTC)
    was = config.load_fleet(before) if before else running(address)
    now = changed(was, config.load_fleet(profile))
    outcomes: list[Outcome] = []
    notes: dict[str, None] = {}
    stored = read_incidents(store, since=until - since, until=until, stream=stream)
    declared = {one.id for one in (*was.streams, *now.streams)} | {one.stream_id for one in stored}
    for name in sorted({stream} if stream else declared):
        old, new = profile_of(was, name), profile_of(now, name)
        notes |= dict.fromkeys(not_replayed(old, new))
        own = [one for one in stored if one.stream_id == name]
        outcomes.append(one_stream(store, name, own, rules(old), rules(new), until - since, until))
    verdicts = [verdict for outcome in outcomes for verdict in outcome.verdicts]
    if as_json:
        for verdict in differing(verdicts):
            click.echo(msgspec.json.encode(verdict))
    else:
        tell(verdicts, sum(outcome.unsure for outcome in outcomes), since)
    for note in notes:
        click.echo(note, err=True)
    sys.exit(PROBLEMS if differing(verdicts) else OK)


def running(address: str | None) -> FleetSpec:
    """What the running fleet was declared as; ConfigError says what to do where there is none."""
    try:
        with connected(address) as fleet:
            return fleet.declared()
    except ClusterError as error:
        raise ConfigError(f"name the fleet file that was in force with --before: {error}") from None


def changed(was: FleetSpec, file: FleetSpec) -> FleetSpec:
    """The fleet as the new file would make it: its streams as it says, the others in its profiles."""
    own = {one.id for one in file.streams}
    made = msgspec.structs.replace(
        was,
        streams=(*file.streams, *(one for one in was.streams if one.id not in own)),
        profiles=was.profiles | file.profiles,
        profile=file.profile or was.profile,
    )
    config.check_fleet(made)
    return made


def profile_of(fleet: FleetSpec, name: str) -> Profile:
    """How a stream is watched."""
    spec = next((one for one in fleet.streams if one.id == name), StreamSpec(id=name, url=ANYWHERE))
    return config.profile_for(fleet, spec)


def rules(profile: Profile) -> dict[str, Rule]:
    """The rules of the detectors that are on."""
    return {spec.id: rule_of(spec) for spec in profile.specs}


def not_replayed(old: Profile, new: Profile) -> Iterable[str]:
    """What differs and cannot be replayed: what a detector calls bad, and detectors that were off."""
    before = {spec.id: spec for spec in old.specs}
    for spec in new.specs:
        was = before.get(spec.id)
        if was is None:
            yield f"{spec.id}: was off, the store has nothing of it; not replayed"
            continue
        for field in spec.__struct_fields__:
            one, other = getattr(was, field), getattr(spec, field)
            if field not in OF_THE_RULE and one != other:
                yield f"{spec.id}.{field}: {one} → {other} is not replayed: that needs the media"


def one_stream(
    store: str,
    name: str,
    stored: Sequence[Incident],
    old: Mapping[str, Rule],
    new: Mapping[str, Rule],
    since: datetime,
    until: datetime,
) -> Outcome:
    """The outcome for one stream; only windows of detectors that matter are read."""

    def seconds(detector: str) -> Mapping[str, Sequence[Second]]:
        lower = (old.get(detector) or new[detector]).lower_is_worse
        return read_seconds(store, since=since, until=until, stream=name, detector=detector, lower_is_worse=lower)

    return replayed(name, since, stored, seconds, old, new)


def differing(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Those that are not as they were."""
    return [one for one in verdicts if one.fate is not Fate.SAME]


def tell(verdicts: Sequence[Verdict], unsure: int, since: timedelta) -> None:
    """A line for each incident that differs, then how many alarms a day there were and would have been."""
    out = show.console()
    table = show.Columns(
        "", "start", "end", "stream", "detector", "part", "severity", "would be", right=("start", "end")
    )
    for verdict in differing(verdicts):
        table.add_row(*_row(verdict))
    if differing(verdicts):
        out.print(table)
        out.print()
    days = since / timedelta(days=1)
    before = Counter(one.before.detector for one in verdicts if one.before)
    after = Counter(one.after.detector for one in verdicts if one.after)
    sums = show.Columns(
        "detector",
        "raised",
        "would be",
        "a day",
        "would be a day",
        right=("raised", "would be", "a day", "would be a day"),
    )
    for name in sorted(before | after):
        sums.add_row(name, *_counts(before[name], after[name], days))
    sums.add_row(Text("all", style="bold"), *_counts(before.total(), after.total(), days))
    out.print(sums)
    fates = Counter(one.fate for one in verdicts)
    out.print(", ".join(f"{fates[fate]} {fate.value}" for fate in Fate), style="dim")
    if unsure:
        out.print(
            f"{show.many(unsure, 'incident')} of changed rules cannot be made again of seconds, and count as same",
            style="dim",
        )


def _counts(before: int, after: int, days: float) -> tuple[str, ...]:
    return str(before), str(after), f"{before / days:.3g}", f"{after / days:.3g}"


def _row(verdict: Verdict) -> list[Text | str]:
    one, (sign, style) = verdict.incident, SIGNS[verdict.fate]
    ends = show.utc(one.end_utc) if one.end_utc else "open"
    times = show.utc(one.start_utc, date=True), ends
    what = one.stream_id, one.detector, one.part, one.severity.value
    return [Text(sign, style=style), *times, *what, _change(verdict)]


def _change(verdict: Verdict) -> str:
    before, after = verdict.before, verdict.after
    if before is None or after is None:
        return verdict.fate.value
    words = []
    if before.start_utc != after.start_utc:
        words.append(f"from {show.utc(after.start_utc)}")
    if before.end_utc != after.end_utc:
        words.append(f"until {show.utc(after.end_utc)}" if after.end_utc else "open")
    if before.severity is not after.severity:
        words.append(after.severity.value)
    return ", ".join(words)
