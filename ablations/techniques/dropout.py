"""Dropout after the two hidden dense layers.

Claim:
    Without dropout the network overfits substantially. Dropout about doubles the number of
    iterations until convergence.

Source:
    §4.2.

Variants:
    ``on``: each output of the two hidden dense layers is set to zero with probability 0.5.
    ``off``: no dropout.

Deviates:
    No deviation. As in the paper, outputs are not rescaled during training and are halved at test
    time. ``torch.nn.Dropout`` doubles them during training instead, which changes the training
    dynamics for the same initial weights and learning rate.
"""

import torch
from torch import Tensor, nn

from ablations.rng import counter_bits
from ablations.techniques import Dropout


def draw_mask(key: int, rows: Tensor, features: int, *, rate: float = 0.5, bits: int = 8) -> Tensor:
    """Draw a Bernoulli mask; each row depends only on ``key`` and its position in the batch.

    Paper: §4.2.

    Args:
        key: Seed of the whole batch; different for each step and layer.
        rows: Positions of the images in the global batch, shape (N,), int64.
        features: Number of outputs of the layer.
        rate: Probability of setting an output to zero, rounded to a multiple of 2 ** -bits.
        bits: Random bits per output, 8 or 16.

    Returns:
        True where the output is kept, shape (N, features), bool, on the device of ``rows``.

    Examples:
        >>> mask = draw_mask(0, torch.arange(4), 10)
        >>> torch.equal(mask[2:], draw_mask(0, torch.tensor([2, 3]), 10))
        True
    """
    words = counter_bits(key, rows, -(-features * bits // 64))
    numbers = words.view({8: torch.int8, 16: torch.int16}[bits])[:, :features]  # signed
    return numbers >= round(rate * 2**bits) - 2 ** (bits - 1)


class SeededDropout(nn.Module):
    """Base class of dropout layers whose masks do not depend on the number of processes.

    The training step calls :meth:`seed` before each forward pass. Without this call, the mask comes
    from torch's global generator.

    Args:
        rate: Probability of setting an input to zero.
        bits: See :func:`draw_mask`.
    """

    def __init__(self, rate: float, bits: int) -> None:
        super().__init__()
        self.rate, self.bits = rate, bits
        self._seed: tuple[int, Tensor] | None = None

    def seed(self, key: int, rows: Tensor) -> None:
        """Set the key and the rows of the mask of the next forward pass; see :func:`draw_mask`."""
        self._seed = key, rows

    def masked(self, x: Tensor) -> Tensor:
        """Return ``x``, shape (N, features), with the dropped values set to zero."""
        seed, self._seed = self._seed, None
        if seed is None:
            return x * (torch.rand_like(x) >= self.rate)
        return x * draw_mask(*seed, x.shape[1], rate=self.rate, bits=self.bits)

    def extra_repr(self) -> str:
        """Return the rate, for ``print(network)``."""
        return f"rate={self.rate}"


class PaperDropout(SeededDropout):
    """Dropout with p = 0.5 as in the paper: no rescaling in training, all inputs halved at test.

    Paper: §4.2.
    """

    def __init__(self) -> None:
        super().__init__(rate=0.5, bits=8)

    def forward(self, x: Tensor) -> Tensor:
        """Mask (training) or halve (evaluation) ``x``, shape (N, features)."""
        return self.masked(x) if self.training else x * 0.5


class InvertedDropout(SeededDropout):
    """Dropout as in Keras and torch: kept inputs are scaled up in training, unchanged at test time.

    Args:
        rate: Probability of setting an input to zero.
    """

    def __init__(self, rate: float) -> None:
        super().__init__(rate, bits=16)

    def forward(self, x: Tensor) -> Tensor:
        """Mask and scale ``x``, shape (N, features), during training."""
        return self.masked(x) / (1 - self.rate) if self.training else x


def dropout_layer(kind: Dropout) -> nn.Module:
    """Return the paper's dropout, or an identity layer."""
    match kind:
        case Dropout.on:
            return PaperDropout()
        case Dropout.off:
            return nn.Identity()
