from ablations.page.labels import BY_LABEL, CONTROL_MARKS, MARKS
from ablations.page.svg import COLOR
from ablations.stats.verdict import Label


def test_every_label_has_a_mark():
    assert [mark.label for mark in MARKS] == [
        Label.reproduced,
        Label.direction_only,
        Label.negligible,
        Label.opposite,
        Label.inconclusive,
    ]
    assert set(Label) < BY_LABEL.keys()


def test_no_two_verdicts_look_alike_without_colour():
    for group in (MARKS, CONTROL_MARKS):
        assert len({(mark.marker, mark.filled) for mark in group}) == len(group)
        assert len({mark.word for mark in group}) == len(group)


def test_their_colours_are_the_figures():
    assert {mark.key for mark in (*MARKS, *CONTROL_MARKS)} <= COLOR.keys()
