"""The order in which validation and training images are taken from a training split."""

import numpy as np

SEED = 2012


def spread(labels: np.ndarray) -> np.ndarray:
    """A fixed random order in which every stretch holds the classes in proportion."""
    # Raw bits, because numpy promises them for all versions, and permutations for none.
    bits = np.random.PCG64(SEED).random_raw(len(labels))
    by_class = np.lexsort((bits, labels))
    counts = np.bincount(labels)
    starts = np.cumsum(counts) - counts
    rank = np.empty(len(labels))
    rank[by_class] = np.arange(len(labels)) - starts[labels[by_class]]
    return np.lexsort((bits, (rank + 0.5) / counts[labels]))
