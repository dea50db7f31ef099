"""How far a count can be trusted; figures from the literature and by hand."""

import pytest

from vqa_ray.core.confidence import most_events, needed_without_miss, wilson


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [
        (15, 148, 0.0624, 0.1605),  # Newcombe 1998, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (20, 20, 0.8389, 1.0),
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilsons_interval(hits, of, low, high):
    assert wilson(hits, of) == pytest.approx((low, high), abs=1e-4)


def test_as_many_hits_as_are_needed_show_the_share_and_one_less_does_not():
    count = needed_without_miss(0.98)
    assert count == 189
    assert wilson(count, count)[0] >= 0.98 > wilson(count - 1, count - 1)[0]


@pytest.mark.parametrize(("seen", "most"), [(0, 2.996), (1, 4.744), (5, 10.513), (20, 29.062)])
def test_the_upper_limit_of_a_count(seen, most):
    assert most_events(seen) == pytest.approx(most, abs=1e-3)
