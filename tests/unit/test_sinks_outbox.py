"""The outbox: threads around backlogs. Channels here are fakes; those with sockets are in tests/pipeline."""

import logging
import threading
import time
from collections.abc import Callable

import msgspec
import pytest

from tests.unit.test_sinks_backlog import CHANGED, CLOSED, GIVE_UP, RETRY, SENT, notice
from vqa_ray.core.notice import Notice
from vqa_ray.core.reading import Severity
from vqa_ray.errors import ConfigError
from vqa_ray.sinks.backlog import RetryPolicy
from vqa_ray.sinks.channel import Delivery, Selective
from vqa_ray.sinks.outbox import Outbox

FAST = RetryPolicy(first_s=0.01, ceiling_s=0.02)


class Fake:
    """A channel that notes what it is sent, and answers as told."""

    def __init__(
        self,
        name: str = "fake",
        answer: Callable[[Notice], Delivery] = lambda _: SENT,
        resend_every_s: float | None = None,
    ) -> None:
        self.name = name
        self.resend_every_s = resend_every_s
        self.answer = answer
        self.sent: list[str] = []
        self.closed = False
        self._came = threading.Condition()

    def send(self, notice: Notice, /) -> Delivery:
        with self._came:
            self.sent.append(notice.key)
            self._came.notify_all()
        return self.answer(notice)

    def close(self) -> None:
        self.closed = True

    def wait(self, count: int) -> list[str]:
        with self._came:
            assert self._came.wait_for(lambda: len(self.sent) >= count, 5.0), self.sent
            return list(self.sent)


def until(true: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 5.0
    while not true():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def after(event: threading.Event) -> Delivery:
    """The answer of a receiver that hangs until the event."""
    event.wait(10.0)
    return SENT


def test_every_channel_gets_what_is_put_and_reports_it():
    first, second = Fake("first"), Fake("second")
    delivered: list[tuple[str, str]] = []
    box = Outbox([first, second], on_delivered=lambda channel, key: delivered.append((channel, key)))
    box.start()
    assert box.put(notice())
    assert box.put(notice(CLOSED))
    assert box.stop(5.0)
    assert first.sent == second.sent == ["a:opened", "a:closed"]
    assert sorted(delivered) == [
        ("first", "a:closed"),
        ("first", "a:opened"),
        ("second", "a:closed"),
        ("second", "a:opened"),
    ]
    assert box.stats()["first"].sent == 2
    assert first.closed


def test_a_slow_channel_delays_neither_the_caller_nor_another_channel():
    release = threading.Event()
    slow = Fake("slow", lambda _: SENT if release.wait(5.0) else RETRY)
    quick = Fake("quick")
    box = Outbox([slow, quick])
    box.start()
    began_s = time.monotonic()
    for number in range(50):
        box.put(notice(incident=str(number)))
    assert time.monotonic() - began_s < 0.5
    assert len(quick.wait(50)) == 50
    assert box.stats()["slow"].waiting == 50
    release.set()
    assert box.stop(5.0)


def test_what_failed_is_tried_again_until_it_is_sent():
    answers = iter([RETRY, RETRY, SENT])
    channel = Fake(answer=lambda _: next(answers))
    box = Outbox([channel], retry=FAST)
    box.start()
    box.put(notice())
    assert channel.wait(3) == ["a:opened"] * 3
    until(lambda: box.stats()["fake"].waiting == 0)
    stats = box.stats()["fake"]
    assert (stats.sent, stats.retried, stats.last_error) == (1, 2, "")
    box.stop()


def test_a_refused_notice_is_reported_as_done_and_counted(caplog):
    delivered: list[str] = []
    box = Outbox([Fake(answer=lambda _: GIVE_UP)], on_delivered=lambda _, key: delivered.append(key))
    box.start()
    box.put(notice())
    until(lambda: delivered == ["a:opened"])
    assert box.stats()["fake"].given_up == 1
    assert "gave up a:opened: 400" in caplog.text
    box.stop()


def test_a_channel_that_raises_goes_on_and_what_it_raised_is_not_shown(caplog):
    caplog.set_level(logging.DEBUG)
    calls: list[Notice] = []

    def answer(one: Notice) -> Delivery:
        calls.append(one)
        if len(calls) == 1:
            raise RuntimeError("https://hooks.example/secret-token")
        return SENT

    box = Outbox([Fake(answer=answer)], retry=FAST)
    box.start()
    box.put(notice())
    until(lambda: box.stats()["fake"].sent == 1)
    assert "RuntimeError" in caplog.text
    assert "secret-token" not in caplog.text
    box.stop()


def test_a_callback_that_raises_does_not_stop_deliveries(caplog):
    def broken(channel: str, key: str) -> None:
        raise OSError("disk full")

    channel = Fake()
    box = Outbox([channel], on_delivered=broken)
    box.start()
    box.put(notice())
    box.put(notice(CLOSED))
    assert box.stop(5.0)
    assert channel.sent == ["a:opened", "a:closed"]
    assert "could not be recorded" in caplog.text


def test_repeats_are_dropped_by_their_key():
    channel = Fake()
    box = Outbox([channel])
    box.start()
    assert box.put(notice())
    channel.wait(1)
    assert not box.put(notice())
    assert box.stop(5.0)
    assert channel.sent == ["a:opened"]
    assert box.stats()["fake"].repeated == 1


def test_journaled_notices_go_only_to_the_channels_that_have_yet_to_take_them():
    first, second = Fake("first"), Fake("second")
    box = Outbox([first, second])
    box.put(notice(), only={"second"})
    box.put(notice(CLOSED))
    box.start()
    assert box.stop(5.0)
    assert first.sent == ["a:closed"]
    assert second.sent == ["a:opened", "a:closed"]


def test_open_incidents_are_taken_up_after_a_restart_by_channels_that_want_them_again():
    forgetful, mindful = Fake("forgetful", resend_every_s=60.0), Fake("mindful")
    box = Outbox([forgetful, mindful])
    box.resume([notice(), notice(incident="b")])
    box.start()
    assert forgetful.wait(2) == ["a:opened", "b:opened"]
    assert box.stats()["forgetful"].open == 2
    assert mindful.sent == []
    box.stop()


def test_open_incidents_are_told_again_unless_another_outbox_does_it():
    for resends, least in ((True, 3), (False, 1)):
        channel = Fake(resend_every_s=0.02)
        box = Outbox([channel], resends=resends)
        box.start()
        box.put(notice())
        channel.wait(least)
        time.sleep(0.06)
        box.stop()
        assert resends or channel.sent == ["a:opened"]


def test_stopping_tries_what_waits_once_more_and_ends_in_time():
    attempts: list[str] = []

    def answer(one: Notice) -> Delivery:
        attempts.append(one.key)
        return RETRY if len(attempts) == 1 else SENT

    box = Outbox([Fake(answer=answer)], retry=RetryPolicy(first_s=1000.0, ceiling_s=1000.0))
    box.start()
    box.put(notice())
    until(lambda: box.stats()["fake"].retried == 1)
    assert box.stop(5.0)
    assert attempts == ["a:opened"] * 2


def test_stopping_does_not_wait_for_a_channel_that_hangs():
    hang = threading.Event()
    box = Outbox([Fake(answer=lambda _: after(hang))])
    box.start()
    box.put(notice())
    began_s = time.monotonic()
    assert not box.stop(0.2)
    assert time.monotonic() - began_s < 1.0
    hang.set()


def test_stopping_ends_although_the_receiver_is_away():
    box = Outbox([Fake(answer=lambda _: RETRY)])
    box.start()
    for number in range(20):
        box.put(notice(incident=str(number)))
    began_s = time.monotonic()
    assert not box.stop(5.0)
    assert time.monotonic() - began_s < 2.0
    assert box.stats()["fake"].waiting == 20


def test_an_outbox_that_was_never_started_stops_at_once():
    box = Outbox([Fake()])
    box.put(notice())
    assert not box.stop(1.0)


def test_room_is_bounded_and_drops_are_counted(caplog):
    hold = threading.Event()
    box = Outbox([Fake(answer=lambda _: after(hold))], capacity=5)
    box.start()
    for number in range(20):
        box.put(notice(CHANGED, incident=str(number), sequence=1))
    stats = box.stats()["fake"]
    assert stats.waiting == 5
    assert stats.dropped == 15
    assert caplog.text.count("backlog is full") == 1
    hold.set()
    assert box.stop(5.0)


def test_two_channels_of_one_name_are_refused():
    with pytest.raises(ConfigError, match="two channels are named 'fake'"):
        Outbox([Fake(), Fake()])


def test_the_clock_is_the_callers():
    now = [0.0]
    channel = Fake(answer=lambda _: RETRY if now[0] < 100.0 else SENT)
    box = Outbox([channel], retry=RetryPolicy(first_s=50.0, ceiling_s=50.0), clock=lambda: now[0], chance=lambda: 1.0)
    box.start()
    box.put(notice())
    until(lambda: box.stats()["fake"].retried == 1)
    now[0] = 101.0
    box.put(notice(incident="b"))  # wakes the thread, which finds both due
    until(lambda: box.stats()["fake"].sent == 2)
    box.stop()


def of(severity: Severity, told: Notice) -> Notice:
    return msgspec.structs.replace(told, incident=msgspec.structs.replace(told.incident, severity=severity))


def test_what_is_too_mild_for_a_channel_is_done_but_not_sent_until_it_grows_worse(caplog):
    every, bad = Fake("every", resend_every_s=60.0), Fake("bad", resend_every_s=60.0)
    delivered: list[tuple[str, str]] = []
    left_out: list[tuple[str, str]] = []
    box = Outbox(
        [every, Selective(bad, Severity.MAJOR)],
        on_delivered=lambda channel, key: delivered.append((channel, key)),
        on_left_out=lambda channel, key: left_out.append((channel, key)),
    )
    box.start()
    for told in (
        of(Severity.MINOR, notice(incident="mild")),
        of(Severity.MINOR, notice(CLOSED, "mild")),
        of(Severity.MINOR, notice(incident="worse")),
        of(Severity.CRITICAL, notice(CHANGED, "worse", sequence=3)),
        of(Severity.CRITICAL, notice(CLOSED, "worse")),
    ):
        box.put(told)
    assert box.stop(5.0)
    assert len(every.sent) == 5
    assert bad.sent == ["worse:changed:3", "worse:closed"]
    assert [key for channel, key in delivered if channel == "bad"] == bad.sent
    assert sorted(left_out) == [("bad", "mild:closed"), ("bad", "mild:opened"), ("bad", "worse:opened")]
    stats = box.stats()["bad"]
    assert (stats.sent, stats.given_up, stats.retried, stats.waiting, stats.open) == (2, 0, 0, 0, 0)
    assert caplog.text == ""


def test_what_is_left_out_says_nothing_of_the_receiver():
    bad = Fake("bad", lambda _: RETRY)
    box = Outbox([Selective(bad, Severity.MAJOR)], retry=FAST)
    box.start()
    box.put(of(Severity.CRITICAL, notice(incident="worse")))
    bad.wait(1)
    until(lambda: box.stats()["bad"].last_error == "503")
    box.put(of(Severity.INFO, notice(incident="mild")))
    until(lambda: box.stats()["bad"].waiting == 1)
    assert box.stats()["bad"].last_error == "503"
    box.stop(1.0)
