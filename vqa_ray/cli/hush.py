"""`vqa mute`, `unmute`, `mutes`, `ack`: what the running fleet tells nobody, and who is on what."""

import getpass
import sys
import uuid
from datetime import UTC, datetime, timedelta

import click
import msgspec

from vqa_ray.cli.fleet import address_option, connected
from vqa_ray.cli.main import PROBLEMS
from vqa_ray.cli.replay import length_of
from vqa_ray.core.quiet import Mute, Quiet
from vqa_ray.core.remark import Remark, RemarkKind
from vqa_ray.detectors.registry import by_id
from vqa_ray.errors import ConfigError

by_option = click.option("--by", default=getpass.getuser, show_default="the user", help="Who says so.")
note_option = click.option("--note", default="", help="Why, for the others.")


@click.command()
@click.argument("streams", nargs=-1, metavar="[STREAM...]")
@click.option("--detector", "detectors", multiple=True, type=click.Choice(sorted(by_id)), help="Only of these.")
@click.option("--label", "labels", multiple=True, metavar="NAME:VALUE", help="Only of streams with this label.")
@click.option("--for", "span", default="1h", show_default=True, callback=length_of, help="How long: 30m, 4h, 1d.")
@by_option
@note_option
@address_option
def mute(
    streams: tuple[str, ...],
    detectors: tuple[str, ...],
    labels: tuple[str, ...],
    span: timedelta,
    by: str,
    note: str,
    address: str | None,
) -> None:
    """Tell nobody of these streams for a while. Incidents are found, kept and shown; what outlasts it is told then."""
    if not (streams or detectors or labels):
        raise click.UsageError("name streams, a --detector or a --label; to silence everything, `vqa stop`")
    pairs = dict(label.partition(":")[::2] for label in labels)
    if not all(pairs.values()):
        raise click.UsageError("--label: give it as NAME:VALUE")
    now = datetime.now(UTC)
    made = Mute(
        mute_id=uuid.uuid4().hex[:8],
        streams=streams,
        detectors=detectors,
        labels=pairs,
        by=by,
        note=note,
        at_utc=now,
        until_utc=now + span,
    )
    with connected(address) as running:
        running.mute(made)
    click.echo(
        f"muted until {made.until_utc:%Y-%m-%d %H:%M:%S} UTC: {made.words}; end it with: vqa unmute {made.mute_id}"
    )


@click.command()
@click.argument("mute_id", metavar="MUTE")
@address_option
def unmute(mute_id: str, address: str | None) -> None:
    """End a mute; what it held back and still lasts is told now."""
    with connected(address) as running:
        lasted = running.unmute(mute_id)
    click.echo(f"{mute_id} is over" if lasted else f"there is no mute {mute_id}; see `vqa mutes`", err=not lasted)
    if not lasted:
        sys.exit(PROBLEMS)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@address_option
def mutes(as_json: bool, address: str | None) -> None:
    """List the mutes that last, and the fleet's windows."""
    with connected(address) as running:
        quiet = running.quiet()
    click.echo(msgspec.json.encode(quiet).decode() if as_json else "\n".join(listed(quiet, datetime.now(UTC))))


@click.command()
@click.argument("incident_id", metavar="INCIDENT")
@by_option
@note_option
@address_option
def ack(incident_id: str, by: str, note: str, address: str | None) -> None:
    """Say that you are on an incident: it is neither escalated nor told again. Its id is in `vqa incidents --json`."""
    remark = Remark(incident_id=incident_id, kind=RemarkKind.ACKNOWLEDGED, by=by, note=note, at_utc=datetime.now(UTC))
    with connected(address) as running:
        if not running.remark(remark):
            raise ConfigError(f"there is no incident {incident_id!r}; see `vqa incidents --json`")
    click.echo(f"{incident_id} is acknowledged by {by}")


def listed(quiet: Quiet, now: datetime) -> list[str]:
    """A line each."""
    lines = [
        f"{one.mute_id}  until {one.until_utc:%Y-%m-%d %H:%M:%S} UTC  {one.words}  by {one.by}"
        + (f": {one.note}" if one.note else "")
        for one in quiet.mutes
    ]
    for window in quiet.windows:
        until = window.until(now)
        when = f"now, until {until:%H:%M} UTC" if until else f"next {window.next(now):%Y-%m-%d %H:%M} UTC"
        lines.append(f"window {window.name}  {when}, {window.minutes:g} min  {window.words}")
    return lines or ["nothing is silenced"]
