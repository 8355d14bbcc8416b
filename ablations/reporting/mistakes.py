"""Confusion of the classes by the networks of each arm."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ablations.config import ConfigError, Job
from ablations.data.store import Store
from ablations.record import Record, unpack
from ablations.reporting.evidence import Arm, Section
from ablations.words import classes

LARGEST = 20  # classes, beyond which a matrix cannot be read
PAIRS = 10
_DEEPEST = 50.0  # strongest tint of a cell in percent; the number on it must stay readable


@dataclass(frozen=True)
class Confusion:
    """The test images of an arm by true and by predicted class, over its finished runs.

    Attributes:
        arm: Name of the arm.
        runs: Number of runs.
        names: Names of the classes; their numbers where the prepared data are not here.
        counts: Images by true and by predicted class, shape (classes, classes).
    """

    arm: str
    runs: int
    names: list[str]
    counts: NDArray[np.int64]

    @property
    def shares(self) -> NDArray[np.float64]:
        """Percent of the images of each true class, shape (classes, classes)."""
        return 100 * self.counts / np.maximum(self.counts.sum(1, keepdims=True), 1)

    @property
    def matrix(self) -> list[tuple[str, list[tuple[float, float]]]]:
        """Rows of true class and cells, with percentage and tint in percent.

        Empty for more than :data:`LARGEST` classes. The most frequent mistake has the strongest
        tint.
        """
        if len(self.names) > LARGEST:
            return []
        right = np.eye(len(self.names), dtype=bool)
        most = max(self.shares[~right].max(), 1e-9)
        tints = _DEEPEST * np.where(right, self.shares / 100, self.shares / most)
        cells = np.stack([self.shares, tints], axis=2).tolist()
        return list(zip(self.names, cells, strict=True))

    @property
    def pairs(self) -> list[tuple[str, str, str, str]]:
        """The most frequent mistakes: true class, predicted class, images per run, and percent."""
        wrong = np.where(np.eye(len(self.names), dtype=bool), 0, self.counts)
        places = np.argsort(-wrong, axis=None, kind="stable")[:PAIRS]
        found = zip(*np.unravel_index(places, wrong.shape), strict=True)
        return [
            (
                self.names[true],
                self.names[predicted],
                f"{wrong[true, predicted] / self.runs:.1f}",
                f"{self.shares[true, predicted]:.1f}",
            )
            for true, predicted in found
            if wrong[true, predicted]
        ]


def confusions(section: Section) -> list[Confusion]:
    """Return the confusion of each arm that has predictions, for the views that tables show."""
    stores = (prepared(section.output / run.run_id, run) for run in section.runs)
    store = next((store for store in stores if store), None)
    return [found for arm in section.arms if (found := _confusion(arm, store))]


def _confusion(arm: Arm, store: Store | None) -> Confusion | None:
    runs = [run for run in arm.finished if run.evaluation in run.predicted]
    if not runs:
        return None
    number = runs[0].data.classes
    counts = np.zeros(number * number, np.int64)
    for run in runs:
        pairs = number * unpack(run.labels) + unpack(run.predicted[run.evaluation])
        counts += np.bincount(pairs, minlength=number * number)
    names = classes(store.classes) if store else [f"class {place}" for place in range(number)]
    return Confusion(arm.name, len(runs), names, counts.reshape(number, number))


def prepared(folder: Path, run: Record) -> Store | None:
    """Return the prepared data of a run; None where they are not here, or have changed since.

    Args:
        folder: Folder of the run.
        run: Its record.
    """
    try:
        store = Store(Path(Job.load(folder).store))
    except ConfigError:
        return None
    return store if store.fingerprint == run.data.fingerprint else None
