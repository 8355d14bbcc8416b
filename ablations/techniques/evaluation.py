"""Averaging predictions over ten views.

Claim:
    Averaging the predictions for ten views of each test image lowers the top-1 and top-5 errors
    from 39.0 % and 18.3 % for the center crop to 37.5 % and 17.0 %.

Source:
    §4.1, and a footnote to Table 1 in §6.

Variants:
    ``ten_view``: average over the four corner crops, the center crop and their mirror images.
    ``center``: the center crop only. Every run measures both; this key selects which one is
    reported as the test error.

Deviates:
    No deviation. As in the paper, the average is over probabilities, not logits.
"""

import math

import torch
from torch import Tensor

# Index of the center crop among the ten views.
CENTER_VIEW = 4


def center_crop(images: Tensor, crop: int) -> Tensor:
    """Return the center crop as a view of ``images``.

    Paper: §2, §4.1.

    Args:
        images: One or more images, shape (..., S, S, 3).
        crop: Height and width of the crop, in pixels; at most S.

    Returns:
        A view, shape (..., crop, crop, 3).

    Examples:
        >>> center_crop(torch.arange(48).view(4, 4, 3), 2)[0, 0].tolist()
        [15, 16, 17]
    """
    start = (images.shape[-2] - crop) // 2
    return images[..., start : start + crop, start : start + crop, :]


def ten_views(images: Tensor, crop: int) -> Tensor:
    """Return the four corner crops, the center crop, and their mirror images.

    Paper: §4.1.

    Args:
        images: Shape (N, S, S, 3), any dtype.
        crop: Height and width of a view, in pixels; at most S.

    Returns:
        Shape (N, 10, crop, crop, 3), in the order top left, top right, bottom left, bottom right,
        center, then the mirror images in the same order.

    Examples:
        >>> ten_views(torch.zeros(2, 32, 32, 3), 24).shape
        torch.Size([2, 10, 24, 24, 3])
    """
    end = images.shape[1] - crop
    corners = [
        images[:, top : top + crop, left : left + crop] for top in (0, end) for left in (0, end)
    ]
    views = torch.stack([*corners, center_crop(images, crop)], dim=1)
    return torch.cat([views, views.flip(3)], dim=1)


def average_probabilities(logits: Tensor) -> Tensor:
    """Return the class probabilities, averaged over the views.

    Paper: §4.1.

    Args:
        logits: N images, V views, C classes: shape (N, V, C).

    Returns:
        Probabilities, shape (N, C), float32 or float64.

    Examples:
        >>> average_probabilities(torch.tensor([[[0.0, 0.0], [100.0, 0.0]]])).tolist()
        [[0.75, 0.25]]
    """
    return logits.to(torch.promote_types(logits.dtype, torch.float32)).softmax(-1).mean(1)


def average_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy of the averaged probabilities.

    The result is finite even where a probability of :func:`average_probabilities` rounds to 0.

    Args:
        logits: Shape (N, V, C).
        labels: True classes, shape (N,), int64.

    Returns:
        Loss of each image, in nats, shape (N,).

    Examples:
        >>> average_cross_entropy(torch.tensor([[[0.0, 200.0]]]), torch.tensor([0])).tolist()
        [200.0]
    """
    views = logits.shape[1]
    true = logits.log_softmax(-1).gather(2, labels[:, None, None].expand(-1, views, 1))[..., 0]
    return math.log(views) - true.logsumexp(1)
