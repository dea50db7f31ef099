"""What counts as damage in labels."""

from fractions import Fraction

from vqa_ray.media.labelled.damage import Damage, as_shown, labels

FPS = Fraction(25)


def test_a_missing_picture_is_damaged_all_over() -> None:
    ((label,), slight) = labels([Damage(25, 0.1), Damage(26, 0.1, missing=True)], "packet_loss", FPS)
    assert (label.start, label.end, label.value) == (1.0, 1.08, 1.0)
    assert slight == []


def test_on_a_screen_a_missing_picture_is_the_one_before_again() -> None:
    intact_again = [Damage(n, 0.0, missing=True) for n in (50, 51)]
    broken_again = [Damage(25, 0.1), Damage(26, 0.1, missing=True)]
    shown, soft = as_shown([*broken_again, *intact_again], FPS)
    assert shown == [Damage(25, 0.1), Damage(26, 0.1)]
    assert [(one.kind, one.start, one.end) for one in soft if one.kind == "corruption"] == [
        ("corruption", 1.04, 1.08),
        ("corruption", 2.0, 2.08),
    ]
    assert {one.kind for one in soft} == {"corruption", "freeze"}
