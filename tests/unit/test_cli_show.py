"""How things look in the terminal."""

from datetime import timedelta

import pytest
from rich.console import Console

from tests.unit.cli_fakes import START, incident, status, stream
from vqa_ray.cli import show
from vqa_ray.core.reading import Severity


def drawn(renderable, width=120) -> list[str]:
    out = Console(width=width, color_system=None, record=True, file=None, quiet=False, force_terminal=False)
    with out.capture() as captured:
        out.print(renderable)
    return [line.rstrip() for line in captured.get().splitlines()]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0:00:00.000"),
        (3.0004, "0:00:03.000"),
        (59.9996, "0:01:00.000"),
        (3723.5, "1:02:03.500"),
        (-1.5, "-0:00:01.500"),
    ],
)
def test_clock(seconds, words):
    assert show.clock(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.04 s"), (9.996, "10.0 s"), (59.96, "1 min 00 s"), (185, "3 min 05 s"), (7800, "2 h 10 min")],
)
def test_length(seconds, words):
    assert show.length(seconds) == words


@pytest.mark.parametrize(
    ("number", "unit", "words"),
    [
        (0.995, "dark share", "100% dark"),
        (0.5, "share", "50%"),
        (-72.25, "dBFS", "-72.2 dBFS"),
        (3600, "s", "3600 s"),
        (1, "1", "1"),
        (1, "errors", "1 error"),
        (3, "errors", "3 errors"),
        (1, "ms", "1 ms"),
        (1, "darkness", "1 darkness"),
    ],
)
def test_value(number, unit, words):
    assert show.value(incident(value=number, unit=unit)) == words


def test_incidents_of_a_file_are_shown_in_media_time():
    table = show.incident_table(
        [
            incident("silence", 65.0, None, unit="dBFS", value=-80.0, severity=Severity.MINOR, part="FL"),
            incident("black", 3.0, 4.5),
        ],
        media_time=True,
        with_stream=False,
    )
    assert drawn(table) == [
        "      start          end  length  detector  part  severity  worst",
        "0:00:03.000  0:00:04.500  1.50 s  black           major     100% dark",
        "0:01:05.000         open          silence   FL    minor     -80 dBFS",
    ]


def test_incidents_of_live_streams_are_shown_in_utc_with_the_stream_and_the_reason():
    table = show.incident_table(
        [incident("signal_loss", 1.25, None, unit="s", value=4.0, reason="rtsp://u:hunter2@h/ refused")],
        media_time=False,
        with_stream=True,
    )
    assert drawn(table) == [
        "     start   end  length  stream  detector     part  severity  worst  why",
        "12:00:01.2  open          cam     signal_loss        major     4 s    rtsp://u:***@h/ refused",
    ]


def test_dates_are_shown_when_they_differ():
    late = incident("freeze", 0.0, None, start_utc=START + timedelta(days=1))
    table = show.incident_table([incident(), late], media_time=False, with_stream=False)
    assert drawn(table)[1].startswith("2026-03-01 12:00:03.0")


def test_what_happens_is_a_line():
    assert (
        show.incident_line(incident(end_s=None, reason="why")).plain == "12:00:03.0  ▲ began  cam  black  major  (why)"
    )
    assert show.incident_line(incident()).plain == "12:00:04.5  ▽ ended  cam  black  after 1.50 s, worst 100% dark"


def test_counts_name_the_most_frequent_first():
    found = [incident("freeze", 1), incident("black", 2), incident("black", 3)]
    assert show.counts(found) == "3 incidents (2 black, 1 freeze)"
    assert show.counts([]) == "no incidents"


def test_the_fleet_in_one_line():
    now = status(stream("a"), stream("b", "backing_off", open_incidents=1), stream("c"), undelivered=2)
    assert show.status_line(now).plain == (
        "3 streams: 2 live, 1 backing off · 1 analyzer · 1 open · 2 alerts undelivered"
    )


def test_streams_in_trouble_come_first_with_the_reason():
    table = show.stream_table(
        [
            stream("a"),
            stream("b", "backing_off", fps=0.0, reason="http://u:hunter2@h/ refused", open_incidents=1, reconnects=3),
            stream("c", open_incidents=1, health=60.4),
            stream("d", tier="key", coverage=0.04),
        ]
    )
    assert drawn(table) == [
        "stream  state         fps  coverage   cpu  health  open  reconnects  analyzer    why",
        "b       backing off                                   1           3  analyzer-0  http://u:***@h/ refused",
        "c       live         25.0    100.0%  4.3%      60     1              analyzer-0",
        "a       live         25.0    100.0%  4.3%                            analyzer-0",
        "d       live         25.0      4.0%  4.3%                            analyzer-0  key frames only",
    ]


def test_in_80_columns_some_columns_are_left_out_and_none_is_cut():
    fleet = [stream("studio-a-contribution", "backing_off", reconnects=12), stream("x", analyzer="analyzer-12")]
    assert drawn(show.stream_table(fleet), width=80) == [
        "stream                 state         fps  coverage  reconnects  analyzer",
        "studio-a-contribution  backing off  25.0    100.0%          12  analyzer-0",
        "x                      live         25.0    100.0%              analyzer-12",
    ]
    found = [incident("signal_loss", stream_id="studio-a-contribution"), incident("audio_dropout", part="FL")]
    assert drawn(show.incident_table(found, media_time=False, with_stream=True), width=80) == [
        "     start         end  length  stream                 detector       part",
        "12:00:03.0  12:00:04.5  1.50 s  cam                    audio_dropout  FL",
        "12:00:03.0  12:00:04.5  1.50 s  studio-a-contribution  signal_loss",
    ]
    assert all(len(line) <= 40 for line in drawn(show.stream_table(fleet), width=40))


def test_errors_of_our_own_are_shown_as_such_and_counted():
    why = "internal error: KeyError: 7"
    assert drawn(show.stream_table([stream("a"), stream("b", "faulty", fps=0.0, reason=why, faults=2)])) == [
        "stream  state    fps  coverage   cpu  health  open  reconnects  faults  analyzer    why",
        f"b       faulty                                                       2  analyzer-0  {why}",
        "a       live    25.0    100.0%  4.3%                                    analyzer-0",
    ]


def test_what_does_not_fit_is_counted():
    table = show.stream_table([stream(f"s{n}") for n in range(10)], rows=4)
    lines = drawn(table)
    assert len(lines) == 5
    assert lines[-1] == "… 7 more"


def test_every_tier_but_all_has_words():
    from vqa_ray.core.ladder import Tier

    assert set(show.TIER_WORDS) == {tier.value for tier in Tier} - {Tier.ALL.value}


def test_every_state_of_a_source_has_a_colour():
    from vqa_ray.core.source import State

    assert {state.value for state in State} <= set(show.STATE_STYLE)
