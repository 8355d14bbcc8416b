"""A number for each arm and pair of seeds, read out of the records."""

from collections.abc import Mapping
from math import isnan, log, nan, sqrt

import numpy as np
from numpy.typing import NDArray

from ablations.claim import Claim
from ablations.config import Job
from ablations.record import Record, Scores
from ablations.stats import noise
from ablations.stats.pairs import Comparison
from ablations.stats.timing import first_passage
from ablations.study import predictions
from ablations.study.design import Case, Tuned, at_seed
from ablations.study.runner import Runner

# The choice of the tuned keys, by arm.
Choice = Mapping[str, Tuned]

_CURVES = {"running": "train", "val": "val"}


def jobs_of_pair(case: Case, choice: Choice, pair: int) -> dict[str, list[Job]]:
    """The jobs of a pair, counted from 0, by arm."""
    return {
        name: [at_seed(arm.candidates[choice[name]], seed) for seed in case.seeds(pair)]
        for name, arm in case.arms.items()
    }


def measured(claim: Claim, experiment: str, view: str, record: Record) -> float:
    """The claim's measure of one run.

    Args:
        claim: The claim.
        experiment: Name of the experiment, which may have a target of its own.
        view: ``ten_view`` or ``center``.
        record: The run.

    Returns:
        NaN for a diverged run, infinity for a target that was not reached.
    """
    measure = claim.measure
    if record.status == "diverged":
        return nan
    if measure.metric == "color":
        first, second = record.colors
        return abs(first - second)
    if claim.kind == "gap":
        # The training error is of the centre view, hence the test error, too.
        return _metric(record.test["center"], "top1") - _metric(record.train, "top1")
    curve = [getattr(point, _CURVES.get(measure.split, "val")) for point in record.curve]
    if claim.kind == "time_to_target":
        epochs = [point.epoch for point in record.curve]
        errors = [_metric(scores, measure.metric) for scores in curve]
        return first_passage(epochs, errors, measure.target_for(experiment)).time
    match measure.split:
        case "running" | "val" if measure.epoch is not None:
            return _metric(curve[min(measure.epoch, len(curve)) - 1], measure.metric)
        case "running":
            return _metric(curve[-1], measure.metric)
        case "test":
            return _metric(record.test[view], measure.metric)
        case split:
            return _metric(getattr(record, split), measure.metric)


def lacks_measure(claim: Claim, record: Record) -> bool:
    """Whether a record was written before the claim's measure was kept."""
    return claim.measure.metric == "color" and record.status != "diverged" and not record.colors


def guesses(record: Record) -> bool:
    """Whether a finished run errs as often as guessing does, give or take three deviations.

    Such a network has not begun to learn, mostly for its learning rate.
    """
    if record.status != "finished":
        return False
    scores, chance = record.test["center"], 1 - 1 / record.classes
    return scores.top1 > chance - 3 * sqrt(chance * (1 - chance) / scores.count)


def _metric(scores: Scores | None, metric: str) -> float:
    value = getattr(scores, metric)
    assert value is not None, "finished runs are scored, and no claim asks for a loss of views"
    return value


def compare(case: Case, experiment: str, choice: Choice, pairs: int, runner: Runner) -> Comparison:
    """Everything measured of a case in its first pairs, as far as they are finished."""
    claim = case.claim
    values: dict[str, dict[int, float]] = {"with": {}, "without": {}}
    whole: list[tuple[dict[str, list[Job]], dict[str, list[Record]]]] = []
    sample: Record | None = None
    for pair in range(pairs):
        jobs = jobs_of_pair(case, choice, pair)
        records = {name: [runner.record(job) for job in members] for name, members in jobs.items()}
        found = {
            name: [r for r in members if r is not None and not lacks_measure(claim, r)]
            for name, members in records.items()
        }
        done = {name for name in jobs if len(found[name]) == len(jobs[name])}
        for name in ("with", "without"):
            if {name, f"{name} reference"} & set(jobs) <= done:
                sample = found[name][0]
                values[name][case.seeds(pair)[0]] = _value(
                    case, experiment, name, found, jobs, runner
                )
        if done == set(jobs) and all(r.status == "finished" for rs in found.values() for r in rs):
            whole.append((jobs, found))
    chance = _chance(claim, sample.classes) if sample else None
    return Comparison(
        claim=case.name,
        without=values["without"],
        with_technique=values["with"],
        kind=claim.kind,
        direction=claim.measure.direction,
        paper=claim.paper.effect if experiment in claim.paper.experiments else None,
        margin=claim.decision.margin,
        looks=case.looks,
        family="confirmatory" if claim.family == "confirmatory" else "exploratory",
        pool=case.pool,
        resolution=_resolution(claim, sample) if sample else 0.0,
        diverged_as=None if claim.reference else chance,
        budget=_budget(case),
        image_variance=_image_variance(case, whole, runner),
        unit="nats" if claim.measure.metric == "loss" else "points",
    )


def _value(
    case: Case,
    experiment: str,
    name: str,
    found: Mapping[str, list[Record]],
    jobs: Mapping[str, list[Job]],
    runner: Runner,
) -> float:
    claim, view = case.claim, case.arms[name].view
    if claim.ensemble:
        if any(record.status == "diverged" for record in found[name]):
            return nan
        return float(_wrong(case, name, found, jobs, runner).mean())
    value = measured(claim, experiment, view, found[name][0])
    if not claim.reference:
        return value
    against = measured(claim, experiment, view, found[f"{name} reference"][0])
    chance = _chance(claim, found[name][0].classes)
    if chance is not None:  # before the subtraction: a diverged run has its outcome, too
        value, against = (chance if isnan(one) else one for one in (value, against))
    return value / against if claim.kind == "ratio" else value - against


def _k(claim: Claim) -> int:
    return 5 if claim.measure.metric == "top5" else 1


def _chance(claim: Claim, classes: int) -> float | None:
    """What a network that knows nothing measures; none for gaps and times."""
    if claim.kind in ("gap", "time_to_target"):
        return None
    match claim.measure.metric:
        case "loss":
            return log(classes)
        case "color":
            return 0.0
        case _:
            return max(0.0, 1 - _k(claim) / classes)


def _resolution(claim: Claim, record: Record) -> float:
    """Step in which the measure is counted: one image."""
    if claim.kind == "time_to_target" or claim.measure.metric in ("loss", "color"):
        return 0.0
    if record.status == "diverged":
        return 0.0
    split = claim.measure.split
    counted = {"test": record.test.get("center"), "val": record.val}.get(split, record.train)
    return 1 / counted.count if counted else 0.0


def _budget(case: Case) -> float | None:
    if case.claim.kind != "time_to_target":
        return None
    runs = [job.run for arm in case.arms.values() for job in arm.candidates.values()]
    return float(min(run.recipe.epochs for run in runs))


def _wrong(
    case: Case,
    name: str,
    found: Mapping[str, list[Record]],
    jobs: Mapping[str, list[Job]],
    runner: Runner,
) -> NDArray[np.bool_]:
    """Test images that an arm gets wrong in one pair, shape (runs, images)."""
    view, k = case.arms[name].view, _k(case.claim)
    wrong = np.stack([record.wrong(view, k) for record in found[name]])
    if case.claim.ensemble and name == "with":
        together = predictions.wrong_together(runner.output, jobs[name], view, k)
        return np.broadcast_to(together, wrong.shape)
    return wrong


def _image_variance(
    case: Case,
    whole: list[tuple[dict[str, list[Job]], dict[str, list[Record]]]],
    runner: Runner,
) -> float | None:
    """Variance of a difference of test errors that is due to the choice of test images."""
    claim = case.claim
    if claim.kind != "difference" or claim.measure.split != "test" or claim.reference:
        return None
    if claim.measure.metric == "color":  # no image has a part in it
        return None
    records = [record for _, arms in whole for members in arms.values() for record in members]
    if not records or not all(record.missed for record in records):  # older ones lack it
        return None
    without, technique = (
        np.concatenate([_wrong(case, name, found, jobs, runner) for jobs, found in whole])
        for name in ("without", "with")
    )
    return noise.image_variance(without, technique)
