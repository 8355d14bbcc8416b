"""The learning rate of an arm, and other tuned keys, chosen on seeds that are not used again."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, isnan, log

from ablations.config import Job
from ablations.record import Record
from ablations.study.design import TUNING_SEEDS, Arm, Case, Tuned, at_seed
from ablations.study.readout import Choice, measured
from ablations.study.runner import Runner


@dataclass(frozen=True)
class Tuning:
    """What became of the tuning of one arm.

    Attributes:
        choice: The best candidate.
        scores: Mean score of each candidate over the tuning seeds, smaller is better.
        at_edge: Keys whose best value is the first or last of its grid: a better one may lie
            beyond.
    """

    choice: Tuned
    scores: dict[Tuned, float]
    at_edge: tuple[str, ...]


def tuning_jobs(cases: tuple[Case, ...]) -> Iterator[Job]:
    """Every run that the tuning needs, one seed after the other."""
    for seed in TUNING_SEEDS:
        for case in cases:
            for arm in case.arms.values():
                if len(arm.candidates) > 1:
                    yield from (at_seed(job, seed) for job in arm.candidates.values())


def tune(case: Case, experiment: str, runner: Runner) -> dict[str, Tuning] | None:
    """Choose the tuned keys of each arm of a case.

    By the claim's own measure; by the validation error where the claim is about test images, which
    select nothing. The first of equals wins.

    Returns:
        None while a run is missing.
    """
    chosen = {}
    for name, arm in case.arms.items():
        scores: dict[Tuned, tuple[float, float]] = {}
        for tuned, job in arm.candidates.items():
            seeds = TUNING_SEEDS if len(arm.candidates) > 1 else ()
            records = [runner.record(at_seed(job, seed)) for seed in seeds]
            done = [record for record in records if record is not None]
            if len(done) < len(seeds):
                return None
            each = [_score(case, experiment, arm, record) for record in done]
            first, second = zip(*each, strict=True) if each else ((0.0,), (0.0,))
            scores[tuned] = sum(first) / len(first), sum(second) / len(second)
        best = min(scores, key=lambda tuned: scores[tuned])
        means = {tuned: score for tuned, (score, _) in scores.items()}
        chosen[name] = Tuning(best, means if len(scores) > 1 else {}, _edges(best, list(scores)))
    return chosen


def choice_of(tunings: dict[str, Tuning] | None) -> Choice | None:
    """The choices alone, by arm; none while a run is missing."""
    return None if tunings is None else {name: found.choice for name, found in tunings.items()}


def _score(case: Case, experiment: str, arm: Arm, record: Record) -> tuple[float, float]:
    """Smaller is better; the second decides between candidates that never reach a target."""
    error = record.val.top1 if record.val else 1.0
    if case.claim.measure.split == "test":
        return error, 0.0
    value = measured(case.claim, experiment, arm.view, record)
    if case.claim.kind == "time_to_target":
        budget = record.run["recipe"]["epochs"]
        loss = record.curve[-1].train.loss if record.curve and not isnan(value) else None
        return log(budget if loss is None else min(value, budget)), inf if loss is None else loss
    return (inf if isnan(value) else value), 0.0


def _edges(best: Tuned, candidates: list[Tuned]) -> tuple[str, ...]:
    grids = [list(dict.fromkeys(column)) for column in zip(*candidates, strict=True)]
    return tuple(
        value
        for value, grid in zip(best, grids, strict=True)
        if len(grid) > 1 and value in (grid[0], grid[-1])
    )
