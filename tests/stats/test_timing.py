import numpy as np
import pytest

from ablations.stats.timing import first_passage


def test_passage_is_interpolated():
    assert first_passage([0, 2, 4, 6], [0.9, 0.5, 0.1, 0.1], 0.2) == 3.5


def test_lucky_evaluation_does_not_count():
    values = [0.5, 0.2, 0.3, 0.24, 0.2]
    passage = first_passage([1, 2, 3, 4, 5], values, 0.25)
    assert passage == pytest.approx(3 + 0.05 / 0.06)


def test_last_evaluation_alone_is_not_confirmed():
    assert first_passage([1, 2, 3], [0.5, 0.4, 0.1], 0.25) == float("inf")


def test_target_met_exactly_counts():
    assert first_passage([1, 2, 3], [0.5, 0.25, 0.25], 0.25) == 2.0


def test_passage_at_the_first_evaluation_is_dated_by_it():
    assert first_passage([3, 4], [0.1, 0.1], 0.25) == 3.0


def test_passage_after_a_lost_evaluation_is_dated_by_the_next():
    assert first_passage([1, 2, 3], [np.nan, 0.1, 0.1], 0.25) == 2.0


@pytest.mark.parametrize("values", [[np.nan] * 3, [0.5, 0.4, 0.3]])
def test_curve_that_never_arrives(values):
    assert first_passage([1, 2, 3], values, 0.25) == float("inf")


@pytest.mark.parametrize("times", [[1, 2], [1, 3, 2], [1, 1, 2]])
def test_curve_needs_increasing_times(times):
    with pytest.raises(ValueError, match="increasing times"):
        first_passage(times, [0.5, 0.4, 0.3], 0.25)
