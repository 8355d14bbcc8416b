"""Random numbers that depend on the seed and on what they are for, and on nothing else.

Two arms with the same seed share every stream that both of them draw from: an arm without dropout
sees the same initial weights, image order and crops as an arm with it. No stream depends on the
number of devices: a draw belongs to a sample's position in the epoch, not to the process that
trains on it.
"""

import hashlib

import torch
from torch import Tensor

_MASK = (1 << 63) - 1


def derive(seed: int, *names: str | int) -> int:
    """Hash a seed and the names of a stream to a seed of 63 bits.

    Examples:
        >>> derive(0, "order", 1) == derive(0, "order", 1)
        True
        >>> derive(0, "order", 1) == derive(0, "order", 2)
        False
    """
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") & _MASK


def generator(seed: int, *names: str | int) -> torch.Generator:
    """A CPU generator at the start of the stream ``names`` of ``seed``."""
    return torch.Generator().manual_seed(derive(seed, *names))


def _scramble(x: Tensor) -> Tensor:
    # The finaliser of SplitMix64 (Steele, Lea and Flood 2014). torch has no unsigned shift: the
    # bits that an arithmetic shift copies from the sign are masked away.
    x = (x ^ (x >> 30 & (1 << 34) - 1)) * -0x40A7B892E31B1A47
    x = (x ^ (x >> 27 & (1 << 37) - 1)) * -0x6B2FB644ECCEEE15
    return x ^ (x >> 31 & (1 << 33) - 1)


def counter_bits(key: int, rows: Tensor, columns: int) -> Tensor:
    """Random bits for each (row, column) of a table, whichever rows are asked for.

    A counter-based generator: ranks that hold different rows of one batch draw what a single
    process would draw for those rows, on any device.

    Args:
        key: Seed of the whole table, see :func:`derive`.
        rows: Row numbers, shape (N,), int64, on the device of the result.
        columns: Number of columns, at least 1.

    Returns:
        Shape (N, columns), int64, all 64 bits random.
    """
    row_keys = _scramble(rows * -0x61C8864680B583EB + key)
    steps = torch.arange(1, columns + 1, device=rows.device) * -0x61C8864680B583EB
    return _scramble(row_keys[:, None] + steps)
