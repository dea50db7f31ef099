"""What reaches the channels of what is journaled, and what of it outlives the supervisor."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.unit.test_noise import incident
from vqa_ray.cluster.journal import Journal
from vqa_ray.cluster.state import Entry, SqliteStore
from vqa_ray.core.noise import Escalation, Grouping, NoiseOptions
from vqa_ray.core.notice import Incident, Notice, NoticeKind
from vqa_ray.core.quiet import Mute
from vqa_ray.core.reading import Severity
from vqa_ray.core.remark import Remark, RemarkKind
from vqa_ray.sinks.channel import Delivery, Outcome

NOW = datetime.now(UTC)


class Told:
    """A channel."""

    name = "told"
    resend_every_s = 0.05

    def __init__(self) -> None:
        self.notices: list[Notice] = []
        self.works = True

    def send(self, notice: Notice) -> Delivery:
        if not self.works:
            return Delivery(Outcome.RETRY, "away")
        self.notices.append(notice)
        return Delivery(Outcome.SENT)

    def close(self) -> None: ...

    @property
    def keys(self) -> list[str]:
        return list(dict.fromkeys(notice.key for notice in self.notices))


def entry(kind: NoticeKind, number: int, **about: object) -> Entry:
    found: Incident = incident(number, start_utc=NOW, **about)
    if kind is NoticeKind.CLOSED:
        found = incident(number, end_s=9.0, start_utc=NOW, **{**about, "end_utc": NOW + timedelta(seconds=9)})
    return Entry(Notice(kind=kind, incident=found, noticed_utc=NOW), 1)


def play(folder: Path, told: Told, options: NoiseOptions, scene: Callable[[Journal], Awaitable[None]]) -> None:
    """One life of a supervisor's journal."""

    async def live() -> None:
        journal = Journal(lambda: SqliteStore(folder))
        journal.hush(options)
        await journal.recover()
        journal.hush(options)
        await journal.use([told])
        await scene(journal)
        await journal.stop(2.0)

    asyncio.run(live())


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10.0):
        while not true():
            await asyncio.sleep(0.01)


def mute(until_s: float, **scope: object) -> Mute:
    return Mute(mute_id="m", by="Ada", at_utc=NOW, until_utc=datetime.now(UTC) + timedelta(seconds=until_s), **scope)  # type: ignore[arg-type]


def test_what_is_muted_is_journaled_and_told_when_it_outlasts_the_mute_also_after_a_restart(tmp_path: Path):
    told = Told()

    async def first(journal: Journal) -> None:
        await journal.mute(mute(3600, streams=("s1", "s2")))
        journal.hush(NoiseOptions())
        await journal.write([entry(NoticeKind.OPENED, 1), entry(NoticeKind.OPENED, 2), entry(NoticeKind.OPENED, 3)])
        await journal.write([entry(NoticeKind.CLOSED, 2)])
        await journal.look()
        await until(lambda: told.keys == ["i3:opened"])
        assert await journal.do(journal.store.count_open) == 2
        assert len(await journal.do(journal.store.incidents, limit=9)) == 3

    async def second(journal: Journal) -> None:
        await journal.look()
        await until(lambda: len(told.notices) > 3)  # what was told is told again, what was not is not
        assert told.keys == ["i3:opened"]
        assert [one.by for one in journal.mutes()] == ["Ada"]
        assert await journal.unmute("m")
        assert not await journal.unmute("m")
        journal.hush(NoiseOptions())
        await journal.look()
        await until(lambda: told.keys == ["i3:opened", "i1:opened"])

    play(tmp_path, told, NoiseOptions(), first)
    play(tmp_path, told, NoiseOptions(), second)


def test_an_escalation_is_told_after_a_restart_too_and_leaves_the_incident_as_it_is(tmp_path: Path):
    told = Told()
    options = NoiseOptions(escalate=(Escalation(after_s=0.001, severity=Severity.CRITICAL),))

    async def first(journal: Journal) -> None:
        await journal.write([entry(NoticeKind.OPENED, 1)])
        await until(lambda: told.keys == ["i1:opened"])
        told.works = False
        await asyncio.sleep(0.01)
        await journal.look()
        kept = await journal.do(journal.store.incident, "i1")
        assert kept is not None
        assert kept.severity is Severity.MAJOR

    async def second(journal: Journal) -> None:
        await journal.look()
        await until(lambda: "i1:changed:10" in told.keys)
        await journal.write([entry(NoticeKind.CLOSED, 1)])
        await until(lambda: told.keys[-1] == "i1:closed")
        assert told.keys == ["i1:opened", "i1:changed:10", "i1:closed"]
        assert told.notices[-1].incident.severity is Severity.CRITICAL
        assert await journal.do(journal.store.tellings) == {}

    play(tmp_path, told, options, first)
    told.works = True
    play(tmp_path, told, options, second)


def test_an_acknowledged_incident_is_not_escalated(tmp_path: Path):
    told = Told()
    options = NoiseOptions(escalate=(Escalation(after_s=0.001),))
    said = Remark(incident_id="i1", kind=RemarkKind.ACKNOWLEDGED, by="Ada", at_utc=NOW)

    async def first(journal: Journal) -> None:
        await journal.write([entry(NoticeKind.OPENED, 1), entry(NoticeKind.OPENED, 2)])
        assert await journal.remark(said)
        assert not await journal.remark(Remark(incident_id="x", kind=RemarkKind.ACKNOWLEDGED, by="Ada", at_utc=NOW))
        await asyncio.sleep(0.01)
        await journal.look()
        await until(lambda: "i2:changed:10" in told.keys)

    async def second(journal: Journal) -> None:
        await journal.look()
        await asyncio.sleep(0.05)
        assert "i1:changed:10" not in told.keys
        await journal.retract("i1", RemarkKind.ACKNOWLEDGED)
        await journal.look()
        await until(lambda: "i1:changed:10" in told.keys)

    play(tmp_path, told, options, first)
    play(tmp_path, told, options, second)


def test_a_group_is_one_notice_and_one_end(tmp_path: Path):
    told = Told()
    options = NoiseOptions(group=Grouping(label="channel", within_s=0.05, at_least=3))

    async def scene(journal: Journal) -> None:
        await journal.write([entry(NoticeKind.OPENED, number) for number in (1, 2, 3)])
        await asyncio.sleep(0.1)
        await journal.look()
        await until(lambda: told.keys == ["i1:opened"])
        assert told.notices[0].streams == ("s1", "s2", "s3")
        await until(lambda: len(told.notices) > 2)  # told again and again, as one
        await journal.write([entry(NoticeKind.CLOSED, number) for number in (1, 2)])
        await journal.write([entry(NoticeKind.CLOSED, 3)])
        await until(lambda: told.keys == ["i1:opened", "i1:closed"])

    play(tmp_path, told, options, scene)


def test_what_cannot_be_written_down_is_told_when_it_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    told = Told()

    async def scene(journal: Journal) -> None:
        def full(*_: object, **__: object) -> None:
            raise OSError("disk full")

        with monkeypatch.context() as patch:
            patch.setattr(journal.store, "journal", full)
            with pytest.raises(OSError, match="disk full"):
                await journal.write([entry(NoticeKind.OPENED, 1)])
        await journal.write([entry(NoticeKind.OPENED, 1)])
        await until(lambda: told.keys == ["i1:opened"])

    play(tmp_path, told, NoiseOptions(cooldown_s=60.0), scene)
