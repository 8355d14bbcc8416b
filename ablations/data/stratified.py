"""A fixed stratified order, in which images are assigned to splits."""

import numpy as np

SEED = 2012


def stratified_order(labels: np.ndarray) -> np.ndarray:
    """Return a fixed random order whose contiguous parts have nearly equal class proportions.

    Args:
        labels: Class numbers, shape (N,), int64.

    Returns:
        Positions in ``labels``, shape (N,), int64.
    """
    # Raw bits, because numpy guarantees these across versions, but not permutations.
    bits = np.random.PCG64(SEED).random_raw(len(labels))
    by_class = np.lexsort((bits, labels))
    counts = np.bincount(labels)
    starts = np.cumsum(counts) - counts
    rank = np.empty(len(labels))
    rank[by_class] = np.arange(len(labels)) - starts[labels[by_class]]
    return np.lexsort((bits, (rank + 0.5) / counts[labels]))
