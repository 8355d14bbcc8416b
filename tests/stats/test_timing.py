import numpy as np
import pytest

from ablations.stats.timing import first_passage


@pytest.mark.parametrize(
    ("times", "values", "target", "passage"),
    [
        pytest.param([0, 2, 4, 6], [0.9, 0.5, 0.1, 0.1], 0.2, 3.5, id="interpolated"),
        pytest.param(
            [1, 2, 3, 4, 5], [0.5, 0.2, 0.3, 0.24, 0.2], 0.25, 3 + 0.05 / 0.06, id="a lucky one"
        ),
        pytest.param([1, 2, 3], [0.5, 0.4, 0.1], 0.25, np.inf, id="the last one alone"),
        pytest.param([1, 2, 3], [0.5, 0.25, 0.25], 0.25, 2.0, id="exactly met"),
        pytest.param([3, 4], [0.1, 0.1], 0.25, 3.0, id="at the first"),
        pytest.param([1, 2, 3], [np.nan, 0.1, 0.1], 0.25, 2.0, id="after NaN"),
        pytest.param([1, 2, 3], [np.nan] * 3, 0.25, np.inf, id="all NaN"),
        pytest.param([1, 2, 3], [0.5, 0.4, 0.3], 0.25, np.inf, id="never"),
    ],
)
def test_a_passage_is_confirmed_by_a_second_evaluation(times, values, target, passage):
    assert first_passage(times, values, target) == pytest.approx(passage)
