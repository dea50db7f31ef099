"""Which stream is parked."""

from vqa_ray.core.poison import FORGIVEN_AFTER_S, Record, guilty


def record(crashes: int, *, alone: int) -> Record:
    made = Record()
    for n in range(crashes):
        made = made.crashed(float(n), alone=n >= crashes - alone)
    return made


def test_a_stream_that_crashes_alone_is_parked():
    assert not guilty(record(4, alone=2), elsewhere=0, others=3, park_after=3)
    assert guilty(record(5, alone=3), elsewhere=0, others=3, park_after=3)


def test_crashes_in_company_prove_nothing():
    assert not guilty(record(40, alone=0), elsewhere=0, others=3, park_after=3)


def test_where_others_die_as_often_it_is_not_the_stream():
    assert not guilty(record(5, alone=3), elsewhere=9, others=3, park_after=3)
    assert guilty(record(12, alone=9), elsewhere=27, others=3, park_after=3)  # but that is too often for chance


def test_old_crashes_are_forgiven():
    again = record(5, alone=3).crashed(4.0 + FORGIVEN_AFTER_S + 1, alone=True)
    assert (again.crashes, again.alone) == (1, 1)


def test_it_waits_for_an_analyzer_of_its_own_the_longer_the_more_often_it_crashed():
    waits = [record(n, alone=0).alone_until_s - (n - 1) for n in (2, 3, 6, 50)]
    assert waits == [10.0, 20.0, 160.0, FORGIVEN_AFTER_S]


def test_nothing_is_parked_where_that_is_switched_off():
    assert not guilty(record(99, alone=99), elsewhere=0, others=1, park_after=None)


def test_the_words_say_what_happened():
    assert record(5, alone=3).words == "its process died 5 times, 3 of these with nothing else in it"
