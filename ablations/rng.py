"""Random numbers that depend only on the seed and on their purpose.

The random numbers of one purpose are a stream, named by the purpose and, for example, the epoch.
Two arms with the same seed share every stream that both use: an arm without dropout has the same
initial weights, image order and crops as an arm with it. No stream depends on the number of
devices: random numbers belong to a sample's position in the epoch, not to a process.
"""

import hashlib

import torch
from torch import Tensor

_MASK = (1 << 63) - 1
# The increment of SplitMix64. Like its other constants below, it is written as a signed number.
_INCREMENT = -0x61C8864680B583EB


def derive(seed: int, *names: str | int) -> int:
    """Return the 63-bit seed of the stream ``names``.

    Examples:
        >>> derive(0, "order", 1) == derive(0, "order", 1)
        True
        >>> derive(0, "order", 1) == derive(0, "order", 2)
        False
    """
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") & _MASK


def generator(seed: int, *names: str | int) -> torch.Generator:
    """Return a CPU generator at the start of the stream ``names``."""
    return torch.Generator().manual_seed(derive(seed, *names))


def _scramble(x: Tensor) -> Tensor:
    # The finalizer of SplitMix64 (Steele, Lea and Flood 2014). torch has no unsigned shift, so mask
    # the bits that an arithmetic shift copies from the sign.
    x = (x ^ (x >> 30 & (1 << 34) - 1)) * -0x40A7B892E31B1A47
    x = (x ^ (x >> 27 & (1 << 37) - 1)) * -0x6B2FB644ECCEEE15
    return x ^ (x >> 31 & (1 << 33) - 1)


def counter_bits(key: int, rows: Tensor, columns: int) -> Tensor:
    """Return the random bits of some rows of a table.

    The bits of a row do not depend on the other rows or on the device, so that ranks with different
    rows of a batch draw the same bits as a single process.

    Args:
        key: Seed of the whole table, see :func:`derive`.
        rows: Row numbers, shape (N,), int64, on the device of the result.
        columns: Number of columns, at least 1.

    Returns:
        Shape (N, columns), int64, all 64 bits random.
    """
    row_keys = _scramble(rows * _INCREMENT + key)
    steps = torch.arange(1, columns + 1, device=rows.device) * _INCREMENT
    return _scramble(row_keys[:, None] + steps)
