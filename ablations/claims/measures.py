"""Numbers read from records: one for each arm and pair, and their differences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from math import isfinite, log, nan
from pathlib import Path
from statistics import mean

import numpy as np
from numpy.typing import NDArray

from ablations.claims.schema import ERRORS, TIMES, Claim, Study
from ablations.config import ConfigError
from ablations.record import PREDICTIONS, Record, Scores
from ablations.stats.labels import Comparison
from ablations.stats.timing import first_passage

SIDES = ("with", "without")


@dataclass(frozen=True)
class Pairs:
    """The records of one comparison of a claim.

    Attributes:
        claim: The claim.
        study: The study, for margins, looks and targets.
        part: Name of the comparison; empty if the claim makes just one.
        records: Of ``with`` and ``without``, by first seed of the pair: one run, or the members of
            an ensemble.
        views: Views that the test error of either side is read in.
        output: Folder of the runs, for the predictions that ensembles average.
        pool: Same for comparisons that share the baseline arm; empty for others.
    """

    claim: Claim
    study: Study
    part: str
    records: Mapping[str, Mapping[int, Sequence[Record]]]
    views: Mapping[str, str]
    output: Path
    pool: str = ""

    @cached_property
    def seeds(self) -> list[int]:
        """Seeds of the pairs that both sides have, in order."""
        return [seed for seed in self.records["with"] if seed in self.records["without"]]

    def values(self, k: int = 1) -> dict[str, dict[int, float]]:
        """Read the claim's measure of each side and pair.

        Args:
            k: 1 or 5, for errors.

        Returns:
            Error rates as fractions, gaps, times in epochs or steps (infinite if the target was not
            reached), distances of colors, or agreements. A diverged run counts as a network that
            guesses.
        """
        return {
            side: {seed: self._value(side, found, k) for seed, found in self.records[side].items()}
            for side in SIDES
        }

    def _value(self, side: str, records: Sequence[Record], k: int) -> float:
        claim, record, view = self.claim, records[0], self.views[side]
        target = self.study.target_of(claim)
        match claim.measure.of:
            case "test_error" if claim.ensemble and side == "with":
                return smoothed(ensemble_error(self.output, records, view, k), record)
            case "test_error":
                return smoothed(mean(r.test_error(view, k) for r in records), record)
            case "train_error":
                return smoothed(train_error(record), record, record.train)
            case "gap":
                return record.test_error("center", 1) - train_error(record)
            case "epochs_to_error":
                online = claim.measure.curve == "online"
                scores = [point.train if online else point.val for point in record.curve]
                return _time(
                    [point.epoch for point in record.curve],
                    [score and score.top1 for score in scores],
                    target,
                )
            case "steps_to_loss":
                return _time(record.online_loss.steps, record.online_loss.loss, target)
            case "color":
                return abs(record.colors[0] - record.colors[1]) if record.colors else 0.0
            case "neighbors":
                if record.neighbors is None:
                    return 1 / record.data.classes
                return getattr(record.neighbors, "features" if side == "with" else "pixels")

    def compare(self, alpha: float, obstacle: str = "", missing: str = "") -> list[Comparison]:
        """Take the differences of the pairs.

        Args:
            alpha: Error rate of the family for this claim.
            obstacle: Which part of the gate failed.
            missing: Why the comparison is incomplete.

        Returns:
            One comparison; two for a claim on the generalization gap, which also has to lower the
            test error.
        """
        claim, values = self.claim, self.values()
        margin, _ = self.study.margin_of(claim)
        scale = self.study.scale_of(claim)
        first = Comparison(
            claim=claim.name,
            part=self.part,
            differences={},
            margin=margin,
            looks=self.study.looks_of(claim),
            alpha=alpha,
            obstacle=obstacle,
            missing=missing,
        )
        if claim.measure.of in TIMES:
            return [self._compare_times(first, values)]
        unit = self._baseline_error if scale == "relative" else 1.0
        first = replace(
            first,
            differences={
                seed: log(high / low) if scale == "ratio" else (high - low) / unit
                for seed, high, low in self._ends(values)
            },
            floor=self._step(scale) ** 2 / 6,
            pool=self._pooled(f"{claim.measure.of} {scale}"),
        )
        if claim.measure.of != "gap":
            return [first]
        errors = {
            side: {
                seed: smoothed(found[0].test_error("center", 1), found[0])
                for seed, found in self.records[side].items()
            }
            for side in SIDES
        }
        second = replace(
            first,
            part=" ".join(filter(None, (self.part, "test error"))),
            differences={
                seed: log(errors["without"][seed] / errors["with"][seed]) for seed in self.seeds
            },
            # It has to fall, and one image is the least that a test can show.
            margin=self._step("ratio"),
            floor=self._step("ratio") ** 2 / 6,
            pool=self._pooled("test_error ratio"),
        )
        return [replace(first, part=" ".join(filter(None, (self.part, "gap")))), second]

    def compare_top5(self, alpha: float, obstacle: str = "") -> list[Comparison]:
        """Take the differences of the top-5 error: a secondary comparison from 100 classes up."""
        effect = self.study.effect_of(self.claim, 5)
        if effect is None or not self.seeds:
            return []
        if self.records["with"][self.seeds[0]][0].data.classes < 100:
            return []
        ratio = self.study.scale_of(self.claim) == "ratio"
        differences = {
            seed: log(high / low) if ratio else high - low
            for seed, high, low in self._ends(self.values(5))
        }
        return [
            Comparison(
                claim=self.claim.name,
                part=" ".join(filter(None, (self.part, "top-5"))),
                differences=differences,
                margin=effect / 2,
                looks=self.study.looks_of(self.claim),
                alpha=alpha,
                obstacle=obstacle,
                pool=self._pooled("top5"),
            )
        ]

    def _pooled(self, measure: str) -> str:
        return f"{self.pool} {measure}" if self.pool else ""

    def _ends(self, values: Mapping[str, Mapping[int, float]]) -> list[tuple[int, float, float]]:
        """The larger and the smaller value of each pair, if the claim is right."""
        sides = ("without", "with") if self.claim.measure.direction == "lower" else SIDES
        larger, smaller = (values[side] for side in sides)
        return [(seed, larger[seed], smaller[seed]) for seed in self.seeds]

    def _compare_times(
        self, empty: Comparison, values: Mapping[str, Mapping[int, float]]
    ) -> Comparison:
        """Take log ratios of times.

        A time cut short by the end of training counts as the whole training: the mean is that of
        the restricted log ratio, and a bound on one side. A pair in which neither arm arrived says
        nothing.
        """
        found, silent, low_holds, high_holds = {}, 0, True, True
        for seed, long, short in self._ends(values):
            end = min(budget(self.claim, self.records[side][seed][0]) for side in SIDES)
            cut_long, cut_short = long >= end, short >= end
            if cut_long and cut_short:
                silent += 1
                continue
            low_holds, high_holds = low_holds and not cut_short, high_holds and not cut_long
            found[seed] = log(min(long, end) / min(short, end))
        obstacle = empty.obstacle
        if 2 * silent > len(self.seeds):
            found = {}
            obstacle = obstacle or (
                f"neither arm reached the target in {silent} of {len(self.seeds)} pairs"
            )
        return replace(
            empty,
            differences=found,
            silent=silent if found else 0,
            low_holds=low_holds,
            high_holds=high_holds,
            obstacle=obstacle,
        )

    @cached_property
    def _baseline_error(self) -> float:
        errors = [self.records["with"][s][0].test_error("center", 1) for s in self.seeds]
        return max(mean(errors), 1e-9) if errors else 1.0

    def _step(self, scale: str) -> float:
        """Resolution of a difference: one image of the measure."""
        if not self.seeds:
            return 1e-6
        record = self.records["with"][self.seeds[0]][0]
        step = 1 / record.data.test_images
        if self.claim.measure.of == "neighbors" and record.neighbors:
            step = 1 / record.neighbors.queries
        elif self.claim.measure.of not in (*ERRORS, "gap"):
            return 0.0
        if scale in ("ratio", "relative"):
            return step / (self._baseline_error + step / 2)
        return step

    def points(self) -> float | None:
        """Mean difference of errors as a fraction, positive in the paper's direction."""
        if self.claim.measure.of not in ERRORS or not self.seeds:
            return None
        return mean(high - low for _, high, low in self._ends(self.values()))

    def warnings(self) -> list[str]:
        """Return what a reader should know of these runs beside the label."""
        found = []
        for side in SIDES:
            runs = [record for members in self.records[side].values() for record in members]
            for what, count in (
                ("diverged", sum(run.status == "diverged" for run in runs)),
                ("are at chance", sum(map(at_chance, runs))),
            ):
                if count:
                    found.append(f"{side} the technique {count} of {len(runs)} runs {what}")
        if self.claim.measure.of == "test_error" and not self.claim.reads_one_run and self.seeds:
            pairs = [
                (self.records["without"][s][0], self.records["with"][s][0]) for s in self.seeds
            ]
            train = mean(train_error(a) - train_error(b) for a, b in pairs)
            test = mean(a.test_error("center", 1) - b.test_error("center", 1) for a, b in pairs)
            if abs(train) > abs(test):
                found.append(
                    f"the arms differ more in training error ({100 * train:+.1f} points) than in "
                    f"test error ({100 * test:+.1f} points, center view)"
                )
        return found


def train_error(record: Record) -> float:
    """Return the training error of the trained network; chance for a diverged run."""
    return record.train.top1 if record.train else 1 - 1 / record.data.classes


def smoothed(error: float, record: Record, scores: Scores | None = None) -> float:
    """Return (wrong + 1/2) / (N + 1), which has a logarithm even if nothing is wrong.

    Args:
        error: Fraction of the images.
        record: Its test images are counted.
        scores: Count those of this split instead.
    """
    count = scores.count if scores else record.data.test_images
    return (error * count + 0.5) / (count + 1)


def at_chance(record: Record) -> bool:
    """Whether the error of a finished run is within three standard errors of chance."""
    if record.status != "finished":
        return False
    scores, chance = record.val or record.test["center"], 1 - 1 / record.data.classes
    return scores.top1 > chance - 3 * (chance * (1 - chance) / scores.count) ** 0.5


def _time(times: Sequence[float], values: Sequence[float | None], target: float | None) -> float:
    assert target is not None, "checked when the study was composed"
    return first_passage(times, [nan if v is None else v for v in values], target)


def budget(claim: Claim, record: Record) -> float:
    """Return the time that a run may take to a target: its whole training, in epochs or steps."""
    recipe = record.run.recipe
    steps = record.data.train_images // recipe.batch_size
    return float(recipe.epochs * (1 if claim.measure.of == "epochs_to_error" else steps))


def ensemble_error(output: Path, records: Sequence[Record], view: str, k: int) -> float:
    """Return the test error of the mean of the predicted probabilities, as a fraction.

    Args:
        output: Folder of the runs.
        records: Members of the ensemble.
        view: ``center`` or ``ten_view``.
        k: 1 or 5.

    Raises:
        ConfigError: The predictions of a member are gone.
    """
    if any(record.status == "diverged" for record in records):
        return max(0.0, 1 - k / records[0].data.classes)
    found = [_predictions(output, record.run_id, view) for record in records]
    labels = found[0][1]
    together = np.mean([table.astype(np.float32) for table, _ in found], axis=0)
    right = np.take_along_axis(together, labels[:, None], axis=1)
    before = np.arange(together.shape[1]) < labels[:, None]
    # As `metrics.true_class_rank`: of equal scores the lower class number comes first.
    ahead = ~(together <= right) | ((together == right) & before)
    return float((ahead.sum(1) >= k).mean())


@lru_cache(maxsize=64)
def _predictions(
    output: Path, run_id: str, view: str
) -> tuple[NDArray[np.float16], NDArray[np.int64]]:
    for path in (output / run_id / PREDICTIONS, output / "predictions" / f"{run_id}.npz"):
        if path.exists():
            with np.load(path) as arrays:
                return arrays[view], arrays["labels"].astype(np.int64)
    raise ConfigError(
        f"{output / run_id / PREDICTIONS} is gone, and an ensemble averages what its members "
        "predict; next step: delete that folder, and the same command trains its run again"
    )


def finite(number: float) -> float | None:
    """Return a number as JSON knows it."""
    return number if isfinite(number) else None
