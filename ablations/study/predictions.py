"""What finished runs predicted for each test image."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ablations.config import Job
from ablations.data.store import Store
from ablations.stats import noise

PREDICTIONS = "predictions.npz"

Wrong = NDArray[np.bool_]


def wrong(output: Path, jobs: Sequence[Job], view: str, k: int) -> Wrong:
    """Images that each run gets wrong, shape (runs, images)."""
    return np.stack([_wrong(output / job.run.run_id, job.store, view, k) for job in jobs])


def wrong_together(output: Path, jobs: Sequence[Job], view: str, k: int) -> Wrong:
    """Images that the runs get wrong by the mean of their probabilities, shape (1, images)."""
    folders = [output / job.run.run_id for job in jobs]
    mean = np.mean([_probabilities(folder, view).astype(np.float32) for folder in folders], axis=0)
    return _misses(mean, _labels(jobs[0].store), k)[None]


def image_variance(
    output: Path,
    pairs: Sequence[tuple[list[Job], list[Job]]],
    views: tuple[str, str],
    k: int,
    *,
    ensemble: bool,
) -> float | None:
    """Variance of a difference of test errors that is due to the choice of test images.

    Args:
        output: Folder of the runs.
        pairs: Jobs of the arms without and with the technique.
        views: The views of either arm.
        k: Classes that may hold the right one.
        ensemble: The second of a pair is read as one ensemble.

    Returns:
        None where there is no pair, or predictions are no longer there.
    """
    jobs = [job for pair in pairs for arm in pair for job in arm]
    if not jobs or not all((output / job.run.run_id / PREDICTIONS).exists() for job in jobs):
        return None
    without = np.concatenate([wrong(output, arm, views[0], k) for arm, _ in pairs])
    if ensemble:
        together = [wrong_together(output, arm, views[1], k) for _, arm in pairs]
        with_technique = np.repeat(np.concatenate(together), len(pairs[0][1]), axis=0)
    else:
        with_technique = np.concatenate([wrong(output, arm, views[1], k) for _, arm in pairs])
    return noise.image_variance(without, with_technique)


@lru_cache(maxsize=1024)
def _wrong(folder: Path, store: str, view: str, k: int) -> Wrong:
    return _misses(_probabilities(folder, view), _labels(store), k)


def _misses(probabilities: NDArray[np.floating], labels: NDArray[np.int64], k: int) -> Wrong:
    right = np.take_along_axis(probabilities, labels[:, None], axis=1)
    return (probabilities > right).sum(1) >= k


def _probabilities(folder: Path, view: str) -> NDArray[np.float16]:
    with np.load(folder / PREDICTIONS) as arrays:
        return arrays[view]


@lru_cache(maxsize=4)
def _labels(store: str) -> NDArray[np.int64]:
    return Store.open(Path(store)).test_labels
