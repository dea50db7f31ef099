"""The life of a live source: a table, back-off, parking."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqa_ray.core.source import MOVES, Event, Life, ReconnectOptions, State, backoff_s

OPTIONS = ReconnectOptions(first_delay_s=0.5, max_delay_s=8.0, stable_after_s=10.0)


def lived(*events: tuple[Event, float], options: ReconnectOptions = OPTIONS) -> Life:
    life = Life()
    for event, now_s in events:
        life = life.after(event, now_s, options, draw=1.0)
    return life


def test_the_first_packet_makes_it_live():
    life = lived((Event.PACKET, 1.0))
    assert (life.state, life.down) == (State.LIVE, False)


def test_silence_stalls_it_and_a_packet_revives_it():
    assert lived((Event.PACKET, 1), (Event.SILENT, 5)).state is State.STALLED
    assert lived((Event.PACKET, 1), (Event.SILENT, 5), (Event.PACKET, 6)).state is State.LIVE


def test_while_it_connects_for_the_first_time_it_is_not_down_and_after_a_failure_it_is():
    assert not Life().down
    assert lived((Event.FAILED, 1), (Event.RETRY_DUE, 2)).down


def test_delays_double_up_to_the_ceiling():
    assert [backoff_s(n, OPTIONS, 1.0) for n in (1, 2, 3, 4, 5, 6, 500)] == [0.5, 1, 2, 4, 8, 8, 8]


def test_jitter_keeps_a_delay_between_half_and_all_of_its_length():
    assert (backoff_s(3, OPTIONS, 0.0), backoff_s(3, OPTIONS, 0.5)) == (1.0, 1.5)


def test_a_connection_that_lived_long_starts_the_delays_anew():
    short = lived((Event.FAILED, 1), (Event.RETRY_DUE, 2), (Event.PACKET, 3), (Event.FAILED, 4))
    long = lived((Event.FAILED, 1), (Event.RETRY_DUE, 2), (Event.PACKET, 3), (Event.FAILED, 30))
    stalled = lived((Event.FAILED, 1), (Event.RETRY_DUE, 2), (Event.PACKET, 3), (Event.SILENT, 30), (Event.FAILED, 31))
    assert (short.tries, long.tries, stalled.tries) == (2, 1, 1)


def test_it_is_parked_after_being_down_for_long_and_not_before():
    options = ReconnectOptions(park_after_s=60)
    events = [(Event.FAILED, 0.0), (Event.RETRY_DUE, 30.0), (Event.FAILED, 59.0)]
    assert lived(*events, options=options).state is State.BACKING_OFF
    assert lived(*events, (Event.RETRY_DUE, 61.0), (Event.FAILED, 62.0), options=options).state is State.PARKED


def test_an_error_of_our_own_says_nothing_of_the_source_until_it_is_seen_again():
    faulty = lived((Event.PACKET, 1), (Event.FAULTED, 2))
    assert (faulty.state, faulty.down, faulty.unknown) == (State.FAULTY, False, True)
    again = faulty.after(Event.RETRY_DUE, 3, OPTIONS)
    assert (again.state, again.down, again.unknown) == (State.CONNECTING, False, True)
    assert not again.after(Event.PACKET, 4, OPTIONS).unknown
    assert again.after(Event.FAILED, 4, OPTIONS).down


def test_errors_of_our_own_are_tried_again_later_each_time_and_never_park_the_source():
    options = ReconnectOptions(first_delay_s=0.5, max_delay_s=8.0, park_after_s=1)
    life, now_s, delays = Life(), 0.0, []
    for _ in range(6):
        life = life.after(Event.PACKET, now_s, options).after(Event.FAULTED, now_s + 1, options, draw=1.0)
        delays.append(life.retry_at_s - life.since_s)
        now_s = life.retry_at_s
        life = life.after(Event.RETRY_DUE, now_s, options)
    assert delays == [0.5, 1, 2, 4, 8, 8]
    stable = life.after(Event.PACKET, now_s, options).after(Event.FAULTED, now_s + 10, options)
    assert stable.faults == 1


def test_a_move_that_the_table_does_not_hold_names_state_and_event():
    with pytest.raises(ValueError, match="backing_off cannot take the event packet"):
        lived((Event.FAILED, 1), (Event.PACKET, 2))


@given(st.lists(st.tuples(st.sampled_from(Event), st.floats(0, 100)), max_size=60), st.floats(0, 1, exclude_max=True))
def test_any_legal_story_keeps_its_promises(story, draw):
    life, now_s = Life(), 0.0
    for event, later_s in story:
        now_s += later_s
        if (life.state, event) not in MOVES:
            continue
        life = life.after(event, now_s, OPTIONS, draw=draw)
        if life.state is State.BACKING_OFF:
            assert now_s < life.retry_at_s or event is Event.SILENT
            assert life.retry_at_s - life.since_s <= OPTIONS.max_delay_s
            assert life.down
        if life.state is State.FAULTY:
            assert life.unknown
            assert now_s < life.retry_at_s or event is Event.SILENT
        if life.unknown:
            assert not life.down
        if life.state is State.LIVE:
            assert not life.unknown
            assert life.down_since_s is None
            assert not life.down
        if life.state is State.STOPPED:
            assert event is Event.STOP
