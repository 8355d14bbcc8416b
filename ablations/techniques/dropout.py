"""Dropout in the two hidden dense layers.

Claim:
    Without dropout the network overfits substantially; with it, training takes about twice as many
    iterations to converge.

Source:
    §4.2.

Variants:
    ``on``: each output of the two hidden dense layers is set to zero with probability one half.
    ``off``: none is.

Deviates:
    Nothing. As in the paper, outputs keep their size during training and are halved at test time;
    today's layers double them during training instead, which with fixed initial weights and
    learning rate trains another network.
"""

import torch
from torch import Tensor, nn

from ablations.rng import counter_bits
from ablations.techniques import Dropout


def draw_mask(key: int, rows: Tensor, features: int, *, rate: float = 0.5, bits: int = 8) -> Tensor:
    """Toss a coin for each feature of each row, whichever rows are asked for.

    Paper: §4.2.

    Args:
        key: Seed of the whole batch, new in each step and layer.
        rows: Positions of the images in the global batch, shape (N,), int64.
        features: Number of outputs of the layer.
        rate: Probability to be set to zero, as a multiple of 2 ** -bits.
        bits: Random bits for each coin, 8 or 16.

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
    """Dropout whose masks the training step draws, before each forward pass.

    The mask of an image thus does not depend on how many processes share the batch. Without
    :meth:`draw`, torch's global generator is used.

    Args:
        features: Number of inputs.
        rate: Probability to be set to zero.
        bits: See :func:`draw_mask`.
    """

    def __init__(self, features: int, rate: float, bits: int) -> None:
        super().__init__()
        self.features, self.rate, self.bits = features, rate, bits
        self._mask: Tensor | None = None

    def draw(self, key: int, rows: Tensor) -> None:
        """Draw the mask of the next forward pass, see :func:`draw_mask`."""
        self._mask = draw_mask(key, rows, self.features, rate=self.rate, bits=self.bits)

    def masked(self, x: Tensor) -> Tensor:
        """Set to zero what the mask drops of ``x``, shape (N, features).

        Raises:
            ValueError: The mask was drawn for another number of images.
        """
        mask, self._mask = self._mask, None
        if mask is None:
            mask = torch.rand_like(x) >= self.rate
        elif mask.shape != x.shape:
            raise ValueError(f"dropout mask of shape {tuple(mask.shape)} for {tuple(x.shape)}")
        return x * mask

    def extra_repr(self) -> str:
        """The rate, for the printed network."""
        return f"rate={self.rate}"


class PaperDropout(SeededDropout):
    """Zero half of the inputs during training, halve all of them at test time.

    Paper: §4.2.

    Args:
        features: Number of inputs.
    """

    def __init__(self, features: int) -> None:
        super().__init__(features, rate=0.5, bits=8)

    def forward(self, x: Tensor) -> Tensor:
        """Mask (training) or halve (evaluation) ``x``, shape (N, features)."""
        return self.masked(x) if self.training else x * 0.5


class InvertedDropout(SeededDropout):
    """Dropout as Keras and torch have it: what is kept grows in training, nothing happens after.

    Args:
        features: Number of inputs.
        rate: Probability to be set to zero, as a multiple of 1/65536.
    """

    def __init__(self, features: int, rate: float) -> None:
        super().__init__(features, rate, bits=16)

    def forward(self, x: Tensor) -> Tensor:
        """Mask and scale ``x``, shape (N, features), in training."""
        return self.masked(x) / (1 - self.rate) if self.training else x


def dropout_layer(kind: Dropout, features: int) -> nn.Module:
    """Dropout, or nothing."""
    match kind:
        case Dropout.on:
            return PaperDropout(features)
        case Dropout.off:
            return nn.Identity()
