import math
from itertools import pairwise

import pytest
import torch
from torch.nn import functional

from ablations.metrics import ErrorRates, WindowedLoss, true_class_rank, window_ends
from ablations.record import OnlineLoss, Scores

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


def test_ranks_and_errors_by_hand():
    assert true_class_rank(SCORES, LABELS).tolist() == [rank for _, _, rank in TABLE]
    tally = ErrorRates()
    tally.update(SCORES, LABELS, torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0]))
    # All but row 0; rows 1 and 4.
    assert tally.scores() == Scores(top1=4 / 5, top5=2 / 5, loss=2.0, count=5)


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


# Windows of steps


def test_windows_have_ten_steps_and_later_a_twentieth_of_the_steps_so_far():
    ends = window_ends(900_000)
    assert ends[:21] == list(range(10, 220, 10))
    assert all(end == int(1.05 * before) for before, end in pairwise(ends[20:-1]))
    assert ends[-2] < ends[-1] == 900_000


def test_the_loss_of_a_window_by_hand():
    windows = WindowedLoss(25)
    for step in range(12):  # two images in each, of which the first has a loss
        windows.update(step, torch.tensor([float(step), 0.0]))
    assert windows.curve() == OnlineLoss([10, 20], [45 / 20, (10 + 11) / 4])
    for step in range(12, 25):
        windows.update(step, torch.tensor([1.0, 0.0]))
    assert windows.curve() == OnlineLoss([10, 20, 25], [45 / 20, (21 + 8) / 20, 5 / 10])


@pytest.mark.parametrize("loss", [math.inf, math.nan])
def test_a_window_without_a_finite_loss_has_none(loss: float):
    windows = WindowedLoss(25)
    for step, value in enumerate([*[1.0] * 10, loss]):
        windows.update(step, torch.tensor([value]))
    assert windows.curve() == OnlineLoss([10, 20], [1.0, None])
