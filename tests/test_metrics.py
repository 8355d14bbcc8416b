import math

import pytest
import torch
from torch.nn import functional

from ablations.metrics import ErrorRates, true_class_rank
from ablations.record import Scores

# Six classes, so that top-5 can err. Per row: the scores, the true class, its rank by hand.
TABLE = [
    ([9.0, 1.0, 2.0, 3.0, 4.0, 5.0], 0, 0),
    ([9.0, 1.0, 2.0, 3.0, 4.0, 5.0], 1, 5),
    ([9.0, 1.0, 2.0, 3.0, 4.0, 5.0], 2, 4),
    ([0.0, 0.5, 0.0, 0.4, 0.0, 0.1], 3, 1),
    ([-1.0, -2.0, -3.0, -4.0, -5.0, -6.0], 5, 5),
]
SCORES = torch.tensor([row for row, _, _ in TABLE])
LABELS = torch.tensor([label for _, label, _ in TABLE])


def test_ranks_by_hand():
    assert true_class_rank(SCORES, LABELS).tolist() == [rank for _, _, rank in TABLE]


def test_errors_by_hand():
    tally = ErrorRates()
    tally.update(SCORES, LABELS, torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0]))
    scores = tally.scores()
    assert scores.top1 == 4 / 5  # all but row 0
    assert scores.top5 == 2 / 5  # rows 1 and 4
    assert scores.loss == 2.0
    assert scores.count == 5


def test_every_image_counts_the_same_whatever_its_batch():
    tally = ErrorRates()
    for rows in (slice(0, 1), slice(1, 5)):
        tally.update(SCORES[rows], LABELS[rows], torch.ones(len(LABELS[rows])))
    assert tally.scores().top1 == 4 / 5


def test_of_equal_scores_the_lower_class_comes_first():
    scores = torch.tensor([[1.0, 2.0, 2.0, 0.0, 0.0, 0.0]] * 3)
    assert true_class_rank(scores, torch.tensor([1, 2, 3])).tolist() == [0, 1, 3]


@pytest.mark.parametrize("value", [0.0, -7.5, math.inf, -math.inf])
def test_a_constant_network_errs_like_chance(value: float):
    scores = torch.full((60, 6), value)
    labels = torch.arange(60) % 6
    tally = ErrorRates()
    tally.update(scores, labels, functional.cross_entropy(torch.zeros(60, 6), labels))
    assert tally.scores().top1 == pytest.approx(5 / 6)
    assert tally.scores().top5 == pytest.approx(1 / 6)


def test_nan_is_never_right():
    scores = SCORES.clone()
    scores[0, 0] = math.nan  # the true class itself
    scores[2] = math.nan
    scores[3, 5] = math.nan  # another class
    ranks = true_class_rank(scores, LABELS)
    assert ranks[0] >= 5
    assert ranks[2] >= 5
    assert ranks[3] >= 1


def test_fewer_than_six_classes_never_err_among_five():
    tally = ErrorRates()
    tally.update(torch.tensor([[3.0, 2.0, 1.0]]), torch.tensor([2]), torch.zeros(1))
    assert (tally.scores().top1, tally.scores().top5) == (1.0, 0.0)


def test_nothing_counted_is_no_error():
    with pytest.warns(UserWarning, match="before the ``update``"):
        assert ErrorRates().scores().count == 0


def test_counts_beyond_24_bits_are_exact():
    tally = ErrorRates()
    tally.count += 2**24
    tally.update(SCORES, LABELS, torch.zeros(5))
    assert tally.scores().count == 2**24 + 5


@pytest.mark.parametrize("loss", [math.inf, math.nan])
def test_a_loss_that_is_no_number_is_none(loss: float):
    rates = ErrorRates()
    rates.update(torch.eye(6), torch.arange(6), torch.full((6,), loss))
    assert rates.scores() == Scores(0.0, 0.0, None, 6)
