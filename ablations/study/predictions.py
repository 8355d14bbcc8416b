"""What ensembles of finished runs predict for each test image."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ablations.config import ConfigError, Job
from ablations.data.store import Store
from ablations.record import PREDICTIONS


def wrong_together(output: Path, jobs: Sequence[Job], view: str, k: int) -> NDArray[np.bool_]:
    """Images that the runs get wrong by the mean of their probabilities, shape (images,).

    Args:
        output: Folder of the runs.
        jobs: Members of the ensemble.
        view: ``center`` or ``ten_view``.
        k: Classes that may hold the right one.

    Raises:
        ConfigError: The predictions of a finished run are gone.
    """
    tables = [_probabilities(output / job.run.run_id, view) for job in jobs]
    mean = np.mean([table.astype(np.float32) for table in tables], axis=0)
    return _misses(mean, _labels(jobs[0].store), k)


def _misses(probabilities: NDArray[np.floating], labels: NDArray[np.int64], k: int) -> NDArray:
    # As `metrics.true_class_rank` for single runs, without torch.
    right = np.take_along_axis(probabilities, labels[:, None], axis=1)
    before = np.arange(probabilities.shape[1]) < labels[:, None]
    ahead = ~(probabilities <= right) | ((probabilities == right) & before)
    return ahead.sum(1) >= k


@lru_cache(maxsize=64)
def _probabilities(folder: Path, view: str) -> NDArray[np.float16]:
    try:
        with np.load(folder / PREDICTIONS) as arrays:
            return arrays[view]
    except FileNotFoundError:
        raise ConfigError(
            f"{folder / PREDICTIONS} is gone, and an ensemble averages what its members predict; "
            "delete that folder and run the command again to train its run anew"
        ) from None


@lru_cache(maxsize=4)
def _labels(store: str) -> NDArray[np.int64]:
    return Store.open(Path(store)).test_labels
