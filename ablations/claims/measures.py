"""Read the measure of a claim from records, and take the differences of pairs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from math import inf, log, nan
from pathlib import Path
from statistics import mean

import numpy as np
from numpy.typing import NDArray

from ablations.claims.runs import Arm, Runs
from ablations.claims.schema import ERRORS, TIMES, Claim
from ablations.config import ConfigError
from ablations.record import PREDICTIONS, Record, Scores
from ablations.stats.labels import Comparison
from ablations.stats.timing import first_passage

SIDES = ("with", "without")

# The measure of each side by first seed of the pair.
Values = Mapping[str, Mapping[int, float]]


def measure(
    runs: Runs, claim: Claim, side: str, members: Sequence[Record], view: str, k: int = 1
) -> float:
    """Read the measure of a claim from one side of a pair.

    Args:
        runs: The runs of the study.
        claim: The claim.
        side: ``with`` or ``without`` the technique.
        members: One run, or the members of an ensemble.
        view: View of the test error.
        k: 1 or 5, for test errors; other measures ignore it.

    Returns:
        An error rate or a gap as a fraction, a time in epochs or steps (infinite if the target was
        not reached), a difference of colorfulness, or a fraction of neighbors of the same class. A
        diverged run counts as at chance.
    """
    record, target = members[0], runs.study.target_of(claim)
    match claim.measure.of:
        case "test_error" if claim.ensemble and side == "with":
            return smoothed(ensemble_error(runs.output, members, view, k), record)
        case "test_error":
            return smoothed(mean(member.test_error(view, k) for member in members), record)
        case "train_error":
            return smoothed(train_error(record), record, record.train)
        case "gap":
            return record.test_error("center", 1) - train_error(record)
        case "epochs_to_error":
            online = claim.measure.curve == "online"
            scores = [point.train if online else point.val for point in record.curve]
            if not online and record.data.val_images and None in scores:
                raise ConfigError(
                    f"run {record.run_id}: {claim.name} needs the validation error of every epoch, "
                    "but the run was trained with trainer.check_val_every_n_epoch; next step: "
                    "delete its folder and repeat the command without this key"
                )
            epochs = [point.epoch for point in record.curve]
            return _time(epochs, [score and score.top1 for score in scores], target)
        case "steps_to_loss":
            return _time(record.online_loss.steps, record.online_loss.loss, target)
        case "color":
            return abs(record.colors[0] - record.colors[1]) if record.colors else 0.0
        case "neighbors":
            if record.neighbors is None:
                return 1 / record.data.classes
            return getattr(record.neighbors, "features" if side == "with" else "pixels")


class Part:
    """The pairs of one comparison of a claim, and their measure.

    Args:
        runs: The runs of the study.
        claim: The claim.
        arms: Overrides of the arm on each side.
        seeds: Seeds of each pair: one, or several for an ensemble.

    Attributes:
        pairs: Runs of each side by first seed of the pair.
        values: Measure of each side by first seed of the pair.
    """

    def __init__(
        self, runs: Runs, claim: Claim, arms: Mapping[str, Arm], seeds: Sequence[Sequence[int]]
    ) -> None:
        self.runs, self.claim = runs, claim
        self.scale = runs.study.scale_of(claim)
        self.views = {side: runs.view(arm) for side, arm in arms.items()}
        self.pairs = {
            pair[0]: {
                side: runs.records(runs.job(arm, seed) for seed in pair)
                for side, arm in arms.items()
            }
            for pair in seeds
        }
        self.values = self._measure()

    def _measure(self, k: int = 1) -> Values:
        return {
            side: {
                seed: measure(self.runs, self.claim, side, pair[side], self.views[side], k)
                for seed, pair in self.pairs.items()
            }
            for side in SIDES
        }

    @property
    def members(self) -> dict[str, list[Record]]:
        """All runs of each side."""
        return {side: [run for pair in self.pairs.values() for run in pair[side]] for side in SIDES}

    @property
    def points(self) -> float | None:
        """Mean difference of errors as a fraction, positive in the paper's direction."""
        if self.claim.measure.of not in ERRORS or not self.pairs:
            return None
        return mean(high - low for _, high, low in self._larger_and_smaller(self.values))

    def compare(self, blank: Comparison) -> list[Comparison]:
        """Return the comparisons, with the differences of the pairs.

        Args:
            blank: The comparison without differences; ``pool`` names the baseline.

        Returns:
            One comparison; two for a claim on the generalization gap, which must also lower the
            test error.
        """
        of = self.claim.measure.of
        if of in TIMES:
            return [self._compare_times(blank)]
        step = self._step(of, self.scale)
        found = self._compare(blank, of, self.values, self.scale, step)
        if of != "gap":
            return [found]
        errors = {
            side: {
                seed: smoothed(pair[side][0].test_error("center", 1), pair[side][0])
                for seed, pair in self.pairs.items()
            }
            for side in SIDES
        }
        step = self._step("test_error", "ratio")
        test_error = replace(
            self._compare(blank, "test_error", errors, "ratio", step),
            part=f"{blank.part} test error".strip(),
            margin=step,  # it must fall by at least one test image
        )
        return [replace(found, part=f"{blank.part} gap".strip()), test_error]

    def compare_top5(self, blank: Comparison) -> list[Comparison]:
        """Return the secondary comparison of the top-5 error.

        It is judged if the paper gives this error, with 100 classes or more; otherwise the list is
        empty.
        """
        first = next(iter(self.pairs.values()), None)
        if not self.claim.paper.top5 or first is None or first["with"][0].data.classes < 100:
            return []
        found = self._compare(blank, "top5", self._measure(5), self.scale)
        margin = (self.runs.study.effect_of(self.claim, 5) or 0) / 2
        return [replace(found, part=f"{blank.part} top-5".strip(), margin=margin)]

    def _compare(
        self, blank: Comparison, measure: str, values: Values, scale: str, step: float = 0.0
    ) -> Comparison:
        unit = self._baseline_error if scale == "relative" else 1.0
        return replace(
            blank,
            differences={
                seed: log(high / low) if scale == "ratio" else (high - low) / unit
                for seed, high, low in self._larger_and_smaller(values)
            },
            # Errors are rounded to whole images, with variance step**2 / 12 in each arm.
            floor=step**2 / 6,
            pool=f"{blank.pool} {measure} {scale}" if blank.pool else "",
        )

    def _larger_and_smaller(self, values: Values) -> list[tuple[int, float, float]]:
        """Return for each pair the seed, and the values that the claim says are larger, smaller."""
        lower = self.claim.measure.direction == "lower"
        larger, smaller = (values[side] for side in (SIDES[::-1] if lower else SIDES))
        return [(seed, larger[seed], smaller[seed]) for seed in larger]

    def _compare_times(self, blank: Comparison) -> Comparison:
        """Return the comparison of log ratios of times.

        A target that was not reached counts as the whole training, and leaves the interval open on
        one side. A pair in which neither arm reached the target has no difference.
        """
        found, low_holds, high_holds = {}, True, True
        for seed, long, short in self._larger_and_smaller(self.values):
            runs = self.pairs[seed].values()
            whole = min(training_length(self.claim, members[0]) for members in runs)
            long_censored, short_censored = long >= whole, short >= whole
            if long_censored and short_censored:
                continue
            low_holds = low_holds and not short_censored
            high_holds = high_holds and not long_censored
            found[seed] = log(min(long, whole) / min(short, whole))
        pairs = len(self.pairs)
        silent, obstacle = pairs - len(found), blank.obstacle
        if 2 * silent > pairs:
            obstacle = obstacle or f"neither arm reached the target in {silent} of {pairs} pairs"
            found, silent = {}, 0
        return replace(
            blank,
            differences=found,
            silent=silent,
            pool="",
            low_holds=low_holds,
            high_holds=high_holds,
            obstacle=obstacle,
        )

    @property
    def _baseline_error(self) -> float:
        errors = [pair["with"][0].test_error("center", 1) for pair in self.pairs.values()]
        return max(mean(errors), 1e-9) if errors else 1.0

    def _step(self, measure: str, scale: str) -> float:
        """Return by how much one image changes a difference.

        0 if the measure counts no images, and 1e-6 without pairs, because it may be a margin.
        """
        if not self.pairs:
            return 1e-6
        record = next(iter(self.pairs.values()))["with"][0]
        images, error = record.data.test_images, self._baseline_error
        if measure == "train_error":
            images = record.train.count if record.train else record.data.train_images
            error = mean(train_error(pair["with"][0]) for pair in self.pairs.values())
        elif measure == "neighbors" and record.neighbors:
            images = record.neighbors.queries
        elif measure not in ("test_error", "gap"):
            return 0.0
        return 1 / (images * error + 0.5) if scale in ("ratio", "relative") else 1 / images

    @property
    def warnings(self) -> list[str]:
        """Warnings about the runs."""
        found = []
        for side, runs in self.members.items():
            values = self.values[side]
            late = self.claim.measure.of in TIMES and sum(
                _first_fall(self.claim, pair[side][0]) < values[seed] < inf
                for seed, pair in self.pairs.items()
            )
            for count, what in (
                (
                    late,
                    "reach the target after the learning rate first falls, so the schedule "
                    "affects the time",
                ),
                (sum(run.status == "diverged" for run in runs), "diverged"),
                (sum(run.at_chance for run in runs), "are at chance"),
            ):
                if count:
                    found.append(f"{side} the technique {count} of {len(runs)} runs {what}")
        if self.claim.measure.of == "test_error" and not self.claim.reads_one_run and self.pairs:
            firsts = [(pair["without"][0], pair["with"][0]) for pair in self.pairs.values()]
            train = mean(train_error(a) - train_error(b) for a, b in firsts)
            test = mean(a.test_error("center", 1) - b.test_error("center", 1) for a, b in firsts)
            if abs(train) > abs(test):
                found.append(
                    f"the arms differ more in training error ({100 * train:+.1f} points) than in "
                    f"test error ({100 * test:+.1f} points, center view)"
                )
        return found


def train_error(record: Record) -> float:
    """Return the training error of the trained network; chance for a diverged run."""
    return record.train.top1 if record.train else record.data.chance_error()


def val_error(record: Record) -> float:
    """Return the validation error of the trained network; chance if there is none."""
    return record.val.top1 if record.val else record.data.chance_error()


def smoothed(error: float, record: Record, scores: Scores | None = None) -> float:
    """Return (wrong + 1/2) / (N + 1), whose logarithm exists even if no image is wrong.

    Args:
        error: Fraction of wrong images.
        record: N is the number of its test images.
        scores: N is the number of images of this split instead.
    """
    count = scores.count if scores else record.data.test_images
    return (error * count + 0.5) / (count + 1)


def _time(times: Sequence[float], values: Sequence[float | None], target: float | None) -> float:
    assert target is not None, "checked when the study was composed"
    return first_passage(times, [nan if v is None else v for v in values], target)


def training_length(claim: Claim, record: Record) -> float:
    """Return the length of the whole training, in the claim's unit: epochs or steps."""
    recipe = record.run.recipe
    steps = record.data.train_images // recipe.batch_size
    return float(recipe.epochs * (1 if claim.measure.of == "epochs_to_error" else steps))


def _first_fall(claim: Claim, record: Record) -> float:
    """Return when a step schedule first lowers the learning rate, in the claim's unit."""
    milestones = record.run.recipe.milestones
    return milestones[0] * training_length(claim, record) if milestones else inf


def ensemble_error(output: Path, records: Sequence[Record], view: str, k: int) -> float:
    """Return the test error of the mean of the predicted probabilities, as a fraction.

    Args:
        output: Folder of the runs.
        records: Members of the ensemble.
        view: ``center`` or ``ten_view``.
        k: 1 or 5.

    Raises:
        ConfigError: The predictions of a member are missing.
    """
    if any(record.status == "diverged" for record in records):
        return records[0].data.chance_error(k)
    # Imported here, because it needs torch, which takes seconds to import.
    from torch import from_numpy

    from ablations.metrics import true_class_rank

    found = [_predictions(output, record.run_id, view) for record in records]
    together = np.mean([table.astype(np.float32) for table, _ in found], axis=0)
    ranks = true_class_rank(from_numpy(together), from_numpy(found[0][1]))
    return float((ranks >= k).double().mean())


@lru_cache(maxsize=64)
def _predictions(
    output: Path, run_id: str, view: str
) -> tuple[NDArray[np.float16], NDArray[np.int64]]:
    for path in (output / run_id / PREDICTIONS, output / "predictions" / f"{run_id}.npz"):
        if path.exists():
            with np.load(path) as arrays:
                return arrays[view], arrays["labels"].astype(np.int64)
    raise ConfigError(
        f"{output / run_id / PREDICTIONS}: missing, but needed for an ensemble; next step: delete "
        "that folder and repeat the command, which trains its run again"
    )
