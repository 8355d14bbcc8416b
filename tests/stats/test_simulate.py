import numpy as np
import pytest

from ablations.stats import simulate
from ablations.stats.labels import Label


@pytest.fixture
def rng():
    return np.random.default_rng(simulate.SEED)


def test_a_decided_claim_trains_no_more_pairs(rng):
    whole = simulate.draw(rng, effects=(50.0, 0.0), margin=1.0)
    first, second = simulate.one_command(whole, 2)[-1]
    assert (first.label, first.n) == (Label.holds, 3)
    assert second.n > 3


def test_the_table_is_printed(rng):
    text = simulate.table(rng, 2)
    assert "| --seeds 3 to 10 in turn |" in text
    assert text.count("≤ .05") >= 11


@pytest.mark.slow
@pytest.mark.parametrize("call", simulate.CALLS)
def test_family_wise_error_keeps_its_level_however_the_command_is_called(rng, call):
    # 0.05 plus two standard errors of 300 studies.
    assert simulate.family_wise_error(rng, call, 300) / 300 <= 0.075
