"""The backlog of one channel: order, retries, room, repeats and resends, with time as an argument."""

import math
from collections import Counter, deque
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqa_ray.core.notice import Incident, Notice, NoticeKind
from vqa_ray.core.reading import Severity
from vqa_ray.sinks.backlog import PROBE_EVERY_S, Backlog, RetryPolicy, Send, Wait
from vqa_ray.sinks.channel import Delivery, Outcome

UTC_0 = datetime(2026, 1, 1, tzinfo=UTC)
SENT = Delivery(Outcome.SENT)
RETRY = Delivery(Outcome.RETRY, "503")
GIVE_UP = Delivery(Outcome.GIVE_UP, "400")
OPENED, CHANGED, CLOSED = NoticeKind.OPENED, NoticeKind.CHANGED, NoticeKind.CLOSED


def notice(kind: NoticeKind = OPENED, incident: str = "a", *, stream: str | None = None, sequence: int = 0) -> Notice:
    closed = kind is CLOSED
    return Notice(
        kind=kind,
        noticed_utc=UTC_0,
        sequence=sequence,
        incident=Incident(
            incident_id=incident,
            stream_id=stream or f"stream of {incident}",
            detector="black",
            severity=Severity.MAJOR,
            start_s=1.0,
            end_s=2.0 if closed else None,
            start_utc=UTC_0,
            end_utc=UTC_0 if closed else None,
            value=1.0,
            unit="share",
        ),
    )


def backlog(**options: object) -> Backlog:
    return Backlog(chance=lambda: 1.0, **options)  # type: ignore[arg-type]


def keys(box: Backlog, delivery: Delivery = SENT, now_s: float = 0.0) -> list[str]:
    """Sends all that is due at `now_s`."""
    sent = []
    while isinstance(step := box.next(now_s), Send):
        sent.append(step.notice.key)
        box.settle(step, delivery, now_s)
    return sent


def test_what_is_put_is_due_at_once_and_in_order():
    box = backlog()
    for one in (notice(), notice(CHANGED, sequence=1), notice(CLOSED)):
        assert box.put(one, 0.0)
    assert keys(box) == ["a:opened", "a:changed:1", "a:closed"]
    assert box.next(0.0) == Wait(math.inf)
    assert box.counts.sent == 3


def test_a_repeat_is_refused_while_it_waits_and_after_it_was_sent():
    box = backlog()
    assert box.put(notice(), 0.0)
    assert not box.put(notice(), 0.0)
    keys(box)
    assert not box.put(notice(), 0.0)
    assert box.counts.repeated == 2


def test_a_failed_notice_waits_ever_longer_up_to_the_ceiling():
    box = backlog(retry=RetryPolicy(first_s=1.0, ceiling_s=4.0))
    box.put(notice(), 0.0)
    now_s, waits = 0.0, []
    for _ in range(5):
        step = box.next(now_s)
        assert isinstance(step, Send)
        box.settle(step, RETRY, now_s)
        wait = box.next(now_s)
        assert isinstance(wait, Wait)
        waits.append(wait.until_s - now_s)
        now_s = wait.until_s
    assert waits == [1.0, 2.0, 4.0, 4.0, 4.0]
    assert box.counts.retried == 5


def test_jitter_is_half_of_the_delay():
    policy = RetryPolicy(first_s=2.0, ceiling_s=100.0)
    assert (policy.delay_s(2, 0.0), policy.delay_s(2, 1.0)) == (2.0, 4.0)
    assert policy.delay_s(10_000, 1.0) == 100.0


def test_a_failed_notice_holds_back_its_own_incident_and_no_other():
    box = backlog()
    box.put(notice(), 0.0)
    box.put(notice(CLOSED), 0.0)
    step = box.next(0.0)
    assert isinstance(step, Send)
    box.settle(step, RETRY, 0.0)
    box.put(notice(incident="b"), 0.0)
    assert keys(box) == ["b:opened"]
    assert keys(box, now_s=1.0) == ["a:opened", "a:closed"]


def test_the_next_incident_of_a_stream_and_detector_waits_for_the_one_before():
    """To Alertmanager both are one alert: the close of the first must not arrive after the second opened."""
    box = backlog()
    box.put(notice(CLOSED, "a", stream="one"), 0.0)
    step = box.next(0.0)
    assert isinstance(step, Send)
    box.settle(step, RETRY, 0.0)
    box.put(notice(OPENED, "b", stream="one"), 0.0)
    assert keys(box, now_s=0.1) == []
    assert keys(box, now_s=1.0) == ["a:closed", "b:opened"]


def test_a_notice_refused_for_good_is_given_up_and_frees_its_lane():
    box = backlog()
    box.put(notice(), 0.0)
    box.put(notice(CLOSED), 0.0)
    step = box.next(0.0)
    assert isinstance(step, Send)
    settled = box.settle(step, GIVE_UP, 0.0)
    assert settled.done
    assert settled.given_up
    assert keys(box) == ["a:closed"]
    assert (box.counts.given_up, box.counts.sent) == (1, 1)


def test_retries_end_after_a_day():
    box = backlog()
    box.put(notice(), 0.0)
    step = box.next(0.0)
    assert isinstance(step, Send)
    box.settle(step, RETRY, 0.0)
    step = box.next(90_000.0)
    assert isinstance(step, Send)
    assert box.settle(step, RETRY, 90_000.0).given_up


def test_retry_after_pauses_the_whole_channel():
    box = backlog()
    box.put(notice(), 0.0)
    step = box.next(0.0)
    assert isinstance(step, Send)
    box.settle(step, Delivery(Outcome.RETRY, "429", retry_after_s=20.0), 0.0)
    box.put(notice(incident="b"), 1.0)
    assert box.next(1.0) == Wait(20.0)
    assert keys(box, now_s=20.0) == ["a:opened", "b:opened"]


def test_an_absent_receiver_is_probed_now_and_then_and_gets_all_at_once_when_it_is_back():
    box = backlog()
    for number in range(100):
        box.put(notice(incident=str(number)), 0.0)
    now_s, attempts = 0.0, 0
    while now_s < 60.0:
        step = box.next(now_s)
        if isinstance(step, Send):
            attempts += 1
            box.settle(step, RETRY, now_s)
        else:
            now_s = step.until_s
    assert attempts <= 3 + 60 / PROBE_EVERY_S
    assert len(keys(box, now_s=now_s)) == 100


def test_the_oldest_change_is_dropped_before_what_opened_or_closed():
    box = backlog(capacity=3)
    box.put(notice(OPENED, "a"), 0.0)
    box.put(notice(CHANGED, "a", sequence=1), 0.0)
    box.put(notice(CHANGED, "a", sequence=2), 0.0)
    assert box.put(notice(OPENED, "b"), 0.0)
    assert box.put(notice(CLOSED, "b"), 0.0)
    assert not box.put(notice(CHANGED, "b", sequence=1), 0.0)
    assert box.put(notice(OPENED, "c"), 0.0)
    assert keys(box) == ["b:opened", "c:opened", "b:closed"]
    assert box.counts.dropped == 4


def test_what_is_under_way_is_never_dropped():
    box = backlog(capacity=1)
    box.put(notice(), 0.0)
    step = box.next(0.0)
    assert isinstance(step, Send)
    assert not box.put(notice(incident="b"), 0.0)
    assert box.settle(step, SENT, 0.0).done


def test_a_dropped_notice_may_be_put_again():
    box = backlog(capacity=1)
    box.put(notice(), 0.0)
    box.put(notice(incident="b"), 0.0)
    keys(box)
    assert box.put(notice(), 0.0)


def test_open_incidents_are_told_again_until_they_close():
    box = backlog(resend_every_s=60.0)
    box.put(notice(), 0.0)
    assert keys(box) == ["a:opened"]
    assert box.next(1.0) == Wait(60.0)
    assert keys(box, now_s=60.0) == ["a:opened"]
    assert keys(box, now_s=120.0) == ["a:opened"]
    box.put(notice(CLOSED), 130.0)
    assert keys(box, now_s=130.0) == ["a:closed"]
    assert box.next(1000.0) == Wait(math.inf)
    assert (box.counts.sent, box.counts.resent, box.open_incidents) == (2, 2, 0)


def test_what_is_told_again_is_the_latest_state():
    box = backlog(resend_every_s=60.0)
    box.put(notice(), 0.0)
    keys(box)
    box.put(notice(CHANGED, sequence=1), 10.0)
    keys(box, now_s=10.0)
    assert box.next(60.0) == Wait(70.0)
    assert keys(box, now_s=70.0) == ["a:changed:1"]


def test_a_failed_resend_is_tried_again_sooner_than_the_next():
    box = backlog(resend_every_s=60.0)
    box.put(notice(), 0.0)
    keys(box)
    step = box.next(60.0)
    assert isinstance(step, Send)
    assert step.again
    box.settle(step, RETRY, 60.0)
    assert keys(box, now_s=61.0) == ["a:opened"]


def test_an_incident_that_closed_while_its_resend_was_under_way_is_not_told_again():
    box = backlog(resend_every_s=60.0)
    box.put(notice(), 0.0)
    keys(box)
    step = box.next(60.0)
    assert isinstance(step, Send)
    box.put(notice(CLOSED), 60.0)
    box.settle(step, SENT, 60.0)
    assert keys(box, now_s=60.0) == ["a:closed"]
    assert box.next(1000.0) == Wait(math.inf)


def test_an_incident_whose_close_was_dropped_for_lack_of_room_is_not_told_for_ever():
    box = backlog(capacity=1, resend_every_s=60.0)
    box.put(notice(), 0.0)
    step = box.next(0.0)
    assert isinstance(step, Send)
    box.put(notice(CLOSED), 0.0)
    box.settle(step, SENT, 0.0)
    assert box.next(1000.0) == Wait(math.inf)


def test_after_a_restart_open_incidents_are_told_again():
    box = backlog(resend_every_s=60.0)
    box.resume(notice(), 5.0)
    assert keys(box, now_s=5.0) == ["a:opened"]
    assert box.next(6.0) == Wait(65.0)


def test_what_waits_after_a_restart_is_not_told_twice():
    box = backlog(resend_every_s=60.0)
    box.put(notice(), 5.0)
    box.resume(notice(), 5.0)
    assert keys(box, now_s=5.0) == ["a:opened"]
    assert box.next(6.0) == Wait(65.0)


def test_a_channel_that_remembers_open_incidents_resumes_nothing():
    box = backlog()
    box.resume(notice(), 5.0)
    assert box.next(5.0) == Wait(math.inf)


def test_no_capacity_is_refused():
    with pytest.raises(ValueError, match="capacity 0"):
        Backlog(capacity=0)


def test_memory_stays_bounded_whatever_comes():
    box = backlog(capacity=10, resend_every_s=60.0)
    for number in range(2000):
        box.put(notice(incident=str(number)), 0.0)
        if number % 3 == 0:
            keys(box)
        if number % 5 == 0:
            box.put(notice(CLOSED, incident=str(number)), 0.0)
    sizes = [len(value) for value in vars(box).values() if hasattr(value, "__len__")]
    assert max(sizes) <= 2 * 20 + 64


def lives() -> st.SearchStrategy[list[Notice]]:
    """What a few incidents say, in any interleaving that keeps the order of each incident."""
    life = st.integers(0, 3).map(lambda n: [OPENED, *[CHANGED] * n, CLOSED])
    return st.lists(life, min_size=1, max_size=6).flatmap(
        lambda all_lives: st.permutations([i for i, one in enumerate(all_lives) for _ in one]).map(
            lambda order: list(_interleaved(all_lives, order))
        )
    )


def _interleaved(all_lives: list[list[NoticeKind]], order: list[int]) -> Iterator[Notice]:
    left = [deque(one) for one in all_lives]
    count: Counter[int] = Counter()
    for index in order:
        count[index] += 1
        yield notice(left[index].popleft(), str(index), stream=str(index % 2), sequence=count[index])


def run(box: Backlog, notices: list[Notice], outcomes: Iterator[Delivery], gap_s: float) -> list[tuple[str, Outcome]]:
    """Puts a notice every `gap_s` and sends whatever is due, until all is quiet."""
    now_s, log, coming = 0.0, [], deque(enumerate(notices))
    while True:
        step = box.next(now_s)
        if isinstance(step, Send):
            delivery = next(outcomes, SENT)
            box.settle(step, delivery, now_s)
            log.append((step.notice.key, delivery.outcome))
            continue
        arrival_s = coming[0][0] * gap_s if coming else math.inf
        now_s = max(now_s, min(arrival_s, step.until_s))
        if now_s == math.inf:
            return log
        while coming and coming[0][0] * gap_s <= now_s:
            box.put(coming.popleft()[1], now_s)


@given(lives(), st.sampled_from([0.0, 0.3, 5.0]))
def test_a_healthy_channel_gets_every_notice_exactly_once_and_in_order(notices, gap_s):
    log = run(backlog(), notices, iter(()), gap_s)
    assert Counter(key for key, _ in log) == Counter(one.key for one in notices)
    by_stream = {key: key_of[0] for key, key_of in ((one.key, (one.incident.stream_id,)) for one in notices)}
    for stream in ("0", "1"):
        wanted = [one.key for one in notices if one.incident.stream_id == stream]
        assert [key for key, _ in log if by_stream[key] == stream] == wanted


@given(
    lives(),
    st.lists(st.sampled_from([SENT, RETRY, msgspec.structs.replace(RETRY, retry_after_s=7.0)]), max_size=60),
    st.sampled_from([0.0, 0.3, 5.0]),
)
def test_a_flaky_channel_gets_every_notice_once_it_recovers_and_in_order(notices, outcomes, gap_s):
    box = backlog()
    log = run(box, notices, iter(outcomes), gap_s)
    sent = [key for key, outcome in log if outcome is Outcome.SENT]
    assert Counter(sent) == Counter(one.key for one in notices)
    for incident in {one.incident.incident_id for one in notices}:
        wanted = [one.key for one in notices if one.incident.incident_id == incident]
        assert [key for key in sent if key in wanted] == wanted
    assert box.counts.retried == sum(outcome is Outcome.RETRY for _, outcome in log)


@given(lives(), st.integers(1, 4), st.lists(st.sampled_from([SENT, RETRY, GIVE_UP, None]), max_size=80))
def test_capacity_is_never_exceeded_and_every_notice_is_accounted_for(notices, capacity, turns):
    box = backlog(capacity=capacity, resend_every_s=3.0)
    now_s, coming = 0.0, deque(notices)
    for turn in turns:
        if turn is None and coming:
            box.put(coming.popleft(), now_s)
        elif isinstance(step := box.next(now_s), Send):
            box.settle(step, turn or SENT, now_s)
        else:
            now_s += 1.0
        assert len(box) <= capacity
        counts = box.counts
        put = len(notices) - len(coming)
        assert put == counts.sent + counts.given_up + counts.dropped + len(box)
