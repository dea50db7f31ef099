"""Marks of libav around the key frames of HLS, and elsewhere."""

from vqa_ray.media.breaks import Break
from vqa_ray.media.seams import Seams


def told(story: str) -> list[int]:
    """Positions that are told: K a key frame, p another picture; X and x the same, marked; a sound, marked."""
    seams = Seams()
    found: list[int] = []
    for position, sign in enumerate(story):
        if sign != "a":
            found += [one.pos for one in seams.picture(key=sign in "KX")]
        if sign in "Xxa":
            seams.marked(Break(position, 256))
    return found


def test_what_is_marked_around_a_key_frame_counts_for_nothing() -> None:
    assert told("KppppppxpKppppppaxKapppppppXpppppp") == []


def test_what_is_marked_elsewhere_is_told_in_order_a_few_pictures_later() -> None:
    assert told("Kpppppxpppppappppp") == [6, 12]
    assert told("Kpppppxp") == []


def test_of_many_marks_only_those_at_the_key_frame_are_dropped() -> None:
    assert told("KpppppxxxxxxxxXxxxxxxppppppp") == [6, 7, 8, 9, 10, 18, 19, 20]
