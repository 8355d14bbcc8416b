"""Top-1 and top-5 error and loss, accumulated on the device and summed over processes."""

import math

import torch
from torch import Tensor
from torchmetrics import Metric

from ablations.record import Scores


def true_class_rank(scores: Tensor, labels: Tensor) -> Tensor:
    """Position of the true class when classes are sorted by falling score, from 0.

    Of equal scores the lower class number comes first, so that a network which scores every class
    alike errs as often as chance; a score that is not a number ranks behind every class.

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
    # `~(<=)` and not `>`: comparisons with NaN are false, and NaN must not count as right.
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
            # float32 stalls once a sum is 2**24 times what is added.
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

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
        """Top-1 error, top-5 error, loss and count over all processes, shape (4,), float64."""
        sums = torch.stack([self.wrong1, self.wrong5, self.loss, self.count])
        return torch.cat([sums[:3] / self.count.clamp_min(1), sums[3:]])

    def scores(self) -> Scores:
        """The averages on the host; every process has to call this."""
        top1, top5, loss, count = self.compute().tolist()
        return Scores(top1, top5, loss if math.isfinite(loss) else None, int(count))
