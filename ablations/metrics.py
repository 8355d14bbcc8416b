"""Metrics of errors and loss, accumulated on the device and summed over processes."""

import math
from bisect import bisect_right

import torch
from torch import Tensor
from torchmetrics import Metric

from ablations.record import OnlineLoss, Scores


def true_class_rank(scores: Tensor, labels: Tensor) -> Tensor:
    """Return the rank of the true class by decreasing score, from 0.

    Ties are broken by class number, so that a network with equal scores is at chance. A true class
    with score NaN ranks last, at C.

    Args:
        scores: Logits or probabilities, shape (N, C).
        labels: True classes, shape (N,), int64.

    Returns:
        Shape (N,), int64, from 0 to C.

    Examples:
        >>> true_class_rank(torch.tensor([[0.1, 0.7, 0.2]]), torch.tensor([2])).item()
        1
    """
    true = scores.gather(1, labels[:, None])
    before = torch.arange(scores.shape[1], device=scores.device) < labels[:, None]
    # `~(<=)` instead of `>`: comparisons with NaN are false, and NaN must not count as correct.
    return (~(scores <= true) | ((scores == true) & before)).sum(1)


class ErrorRates(Metric):
    """Micro-averaged top-1 error, top-5 error and mean loss."""

    full_state_update = False
    wrong1: Tensor
    wrong5: Tensor
    loss: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("wrong1", "wrong5", "loss", "count"):
            # A float32 sum stops growing at 2**24 times the addend.
            zero = torch.zeros((), dtype=torch.float64)
            self.add_state(name, zero, dist_reduce_fx="sum", persistent=True)

    def update(self, scores: Tensor, labels: Tensor, losses: Tensor) -> None:
        """Add a batch.

        Args:
            scores: Logits or probabilities, shape (N, C).
            labels: True classes, shape (N,), int64.
            losses: Loss of each image in nats, shape (N,).
        """
        rank = true_class_rank(scores, labels)
        self.wrong1 += (rank >= 1).sum()
        self.wrong5 += (rank >= min(5, scores.shape[1])).sum()
        self.loss += losses.sum(dtype=torch.float64)
        self.count += labels.numel()

    def compute(self) -> Tensor:
        """Return top-1 and top-5 error, loss and count of all processes, shape (4,), float64."""
        sums = torch.stack([self.wrong1, self.wrong5, self.loss, self.count])
        return torch.cat([sums[:3] / self.count.clamp_min(1), sums[3:]])

    def scores(self) -> Scores:
        """Return the averages as Python numbers; every process must call this."""
        top1, top5, loss, count = self.compute().tolist()
        return Scores(top1, top5, loss if math.isfinite(loss) else None, int(count))


def window_ends(steps: int) -> list[int]:
    """Return the last step of each window of ten steps, or 5 % of the steps before it if more.

    Args:
        steps: Training steps of the whole run.

    Examples:
        >>> window_ends(25), len(window_ends(900_000))
        ([10, 20, 25], 194)
    """
    ends: list[int] = []
    while not ends or ends[-1] < steps:
        last = ends[-1] if ends else 0
        ends.append(min(steps, max(last + 10, int(1.05 * last))))
    return ends


class WindowedLoss(Metric):
    """Mean training loss in each of several windows of steps, over all processes.

    Args:
        steps: Training steps of the whole run, see :func:`window_ends`.
    """

    full_state_update = False
    sums: Tensor
    counts: Tensor

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.ends = window_ends(steps)
        for name in ("sums", "counts"):
            start = torch.zeros(len(self.ends), dtype=torch.float64)
            self.add_state(name, start, dist_reduce_fx="sum", persistent=True)

    def update(self, step: int, losses: Tensor) -> None:
        """Add a step without a copy to the device, which would synchronize.

        Args:
            step: Number of steps before this one.
            losses: Losses of the images of this process, shape (N,).
        """
        window = min(bisect_right(self.ends, step), len(self.ends) - 1)
        self.sums[window].add_(losses.sum(dtype=torch.float64))
        self.counts[window].add_(losses.numel())

    def compute(self) -> Tensor:
        """Return mean loss and count of each window, shape (2, windows), float64."""
        return torch.stack([self.sums / self.counts.clamp_min(1), self.counts])

    def curve(self) -> OnlineLoss:
        """Return the windows trained so far; every process must call this."""
        means, counts = self.compute().tolist()
        known = [i for i, count in enumerate(counts) if count]
        return OnlineLoss(
            steps=[self.ends[i] for i in known],
            loss=[means[i] if math.isfinite(means[i]) else None for i in known],
        )
