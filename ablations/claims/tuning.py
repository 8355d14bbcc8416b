"""Choose the tuned value of each arm on seeds that no verdict uses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, inf, isfinite, log
from statistics import mean

from ablations.claims.measures import SIDES, measure, training_length, val_error
from ablations.claims.runs import Arm, Runs, arms_of
from ablations.claims.schema import TIMES, Claim
from ablations.config import Job
from ablations.record import Record


@dataclass(frozen=True)
class Choice:
    """The tuned value of one arm.

    Attributes:
        arm: Overrides of the arm, with the tuned value.
        tuned: The override that sets the value: the first of the grid while runs are missing; empty
            if the study tunes nothing.
        jobs: Jobs of all values tried.
        missing: Jobs that have no record yet.
        records: Records of the chosen value.
        scores: Mean score of each value over the tuning seeds; smaller is better.
        at_edge: Whether the best value is on the edge of the grid after all extensions.
        extended: Number of extensions of the grid.
    """

    arm: Arm
    tuned: str = ""
    jobs: Sequence[Job] = ()
    missing: Sequence[Job] = ()
    records: Sequence[Record] = ()
    scores: Mapping[float, float] = field(default_factory=dict)
    at_edge: bool = False
    extended: int = 0


def choose(runs: Runs, claim: Claim) -> dict[str, dict[str, Choice]]:
    """Choose the tuned value of each arm of a claim from existing records, by part and side.

    In controls, and in claims that read one network twice, both arms get the same value.
    """
    choices = {}
    for part in claim.comparisons:
        arms = dict(zip(SIDES, arms_of(claim, part), strict=True))
        tuned = dict(arms)
        if claim.family == "control":
            tuned["with"] = arms["without"]
        elif claim.reads_one_run:
            tuned["without"] = arms["with"]
        choices[part] = {
            side: _choose(runs, claim, side, arms[side], tuned[side]) for side in SIDES
        }
    return choices


def _choose(runs: Runs, claim: Claim, side: str, arm: Arm, tuned_arm: Arm) -> Choice:
    """Choose the tuned value of an arm from existing records.

    The score is the validation error, or for claims on times the claim's own measure, with ties
    broken by the final training loss; remaining ties go to the first value. While the best value
    is on the edge of the grid, the grid is extended, as often as the study allows.

    Args:
        runs: The runs of the study.
        claim: The claim.
        side: ``with`` or ``without``.
        arm: Overrides of the arm, without the tuned key.
        tuned_arm: The arm whose runs decide, also without the tuned key.
    """
    tuning = runs.study.tuning
    if tuning is None:
        return Choice(arm)
    if claim.measure.of not in TIMES:
        tuned_arm = (*tuned_arm, *runs.with_validation)
    values = grid = runs.study.grid_of(claim, side)
    extended = 0
    while True:
        setting = {value: f"{tuning.key}={value:g}" for value in values}
        jobs = {
            value: [runs.job((*tuned_arm, setting[value]), seed) for seed in tuning.seeds]
            for value in values
        }
        tried = [job for group in jobs.values() for job in group]
        if missing := [job for job in tried if runs.record(job) is None]:
            first = setting[grid[0]]
            return Choice((*arm, first), first, tried, missing, extended=extended)
        found = {value: runs.records(group) for value, group in jobs.items()}
        ranks = {value: _score(runs, claim, side, records) for value, records in found.items()}
        best = min(values, key=lambda value: ranks[value])
        at_edge = best in (values[0], values[-1])
        if not at_edge or extended == tuning.extensions:
            scores = {value: rank[0] for value, rank in ranks.items()}
            tuned = setting[best]
            arm = (*arm, tuned)
            return Choice(arm, tuned, tried, (), found[best], scores, at_edge, extended)
        extended += 1
        beyond = best / tuning.factor if best == values[0] else best * tuning.factor
        values = sorted([*values, float(f"{beyond:.6g}")])


def _score(runs: Runs, claim: Claim, side: str, records: list[Record]) -> tuple[float, float]:
    """Return the score of a value and a tie breaker; smaller is better."""
    if claim.measure.of not in TIMES:
        return mean(map(val_error, records)), 0.0
    # A target that was not reached counts as the whole training; the loss breaks such ties.
    times = [
        min(measure(runs, claim, side, [r], "center"), training_length(claim, r)) for r in records
    ]
    last = [r.curve[-1].train.loss if r.curve else None for r in records]
    losses = [inf if loss is None else loss for loss in last]
    return exp(mean(map(log, times))), mean(losses) if all(map(isfinite, losses)) else inf
