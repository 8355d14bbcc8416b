import numpy as np
import pytest

from ablations.stats import simulate
from ablations.stats.labels import Label


@pytest.fixture
def rng():
    return np.random.default_rng(simulate.SEED)


def test_a_decided_claim_trains_no_more_pairs(rng):
    whole = simulate.Claims(effects=(50.0, 0.0), margin=1.0).draw(rng)
    first, second = simulate.one_command(whole, 2)[-1]
    assert (first.label, first.n) == (Label.holds, 3)
    assert second.n > 3


@pytest.mark.parametrize("call", simulate.CALLS)
def test_every_way_to_call_ends_at_the_same_pairs_as_the_plan(rng, call):
    whole = simulate.Claims(effects=(0.0,) * 3, margin=0.01).draw(rng)
    last = simulate.CALLS[call](whole, 3)[-1]
    assert [verdict.n for verdict in last] == [8, 8, 8]


def test_the_table_is_printed(rng):
    text = simulate.table(rng, 2)
    assert "| --seeds 3 to 10 in turn |" in text
    assert text.count("≤ .05") >= 11


@pytest.mark.slow
@pytest.mark.parametrize("call", simulate.CALLS)
def test_family_wise_error_keeps_its_level_however_the_command_is_called(rng, call):
    # 0.05 plus two standard errors of 300 studies.
    assert simulate.family_wise_error(rng, simulate.Claims(), call, 300) / 300 <= 0.075


@pytest.mark.slow
def test_planted_effects_are_right_or_undecided(rng):
    for right, fair in simulate.planted(rng, 60).values():
        assert fair >= 0.95
        assert right >= 0.9
