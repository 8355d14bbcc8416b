from dataclasses import replace

import pytest
from records import make_result

from ablations.page.labels import _ORDER, EXPECTED, FALSE_ALARM, MARKS, mark_of, tally, word_of
from ablations.page.svg import COLOR
from ablations.stats.labels import Label

RESULT = make_result("a", {"": ([0.3, 0.31, 0.3], [0.2, 0.21, 0.2])})


def labeled(*labels: Label, **changes):
    return [replace(RESULT, label=label.value, **changes) for label in labels]


def test_every_label_has_a_mark_and_its_color_is_the_figures():
    assert set(MARKS) == set(Label)
    assert {mark.key for mark in (*MARKS.values(), EXPECTED, FALSE_ALARM)} <= COLOR.keys()


def test_no_two_labels_look_alike_without_color():
    assert len({(mark.marker, mark.filled) for mark in MARKS.values()}) == len(MARKS)
    assert len({mark.key for mark in _ORDER}) == len(_ORDER)


def test_claims_are_counted_by_label():
    results = labeled(Label.undecided, Label.holds, Label.holds, Label.no_effect, Label.holds)
    assert tally(results) == "3 hold here, no effect here in 1, 1 undecided"
    assert tally(labeled(Label.holds)) == "1 holds here"
    assert tally(labeled(Label.holds, Label.opposite, at_paper=True)) == (
        "1 reproduced, 1 contradicted"
    )


def test_reproduced_is_said_at_the_papers_own_setting_only():
    for label in Label:
        (elsewhere,) = labeled(label)
        assert "reproduced" not in word_of(elsewhere)
        assert "contradicted" not in word_of(elsewhere)


@pytest.mark.parametrize(
    ("label", "mark", "word"),
    [
        (Label.no_effect, EXPECTED, "as expected"),
        (Label.undecided, EXPECTED, "as expected"),
        (Label.holds, FALSE_ALARM, "false alarm"),
        (Label.opposite, FALSE_ALARM, "false alarm"),
        (Label.incomplete, MARKS[Label.incomplete], "incomplete"),
    ],
)
def test_a_control_is_as_expected_or_a_false_alarm(label, mark, word):
    (control,) = labeled(label, family="control")
    assert mark_of(control) is mark
    assert word_of(control) == word
