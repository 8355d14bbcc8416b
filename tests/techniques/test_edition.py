from dataclasses import fields

from ablations.techniques import Edition
from ablations.techniques.edition import Details, details


def test_the_editions_differ_in_every_detail() -> None:
    printed, released = details(Edition.printed), details(Edition.released)
    for field in fields(Details):
        assert getattr(printed, field.name) != getattr(released, field.name), field.name


def test_both_borders_give_55_positions() -> None:
    for edition in Edition:
        left, right, top, bottom = details(edition).border
        assert (left + 224 + right - 11) // 4 + 1 == (top + 224 + bottom - 11) // 4 + 1 == 55
