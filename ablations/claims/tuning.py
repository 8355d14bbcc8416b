"""Choose the tuned value of each arm on seeds that no verdict uses."""

from dataclasses import dataclass, field
from math import exp, inf, isfinite, log
from statistics import mean

from ablations.claims.measures import SIDES, measure, training_length, val_error
from ablations.claims.runs import Arm, Runs, arms_of
from ablations.claims.schema import TIMES, Claim
from ablations.config import Job
from ablations.record import Record


@dataclass
class Choice:
    """The tuned value of one arm.

    Attributes:
        arm: Overrides of the arm, with the tuned value.
        tuned: The override that sets the value: the first of the grid while runs are missing; empty
            if the study tunes nothing.
        scores: Mean score of each value over the tuning seeds; smaller is better.
        records: Records of the chosen value.
        at_edge: Whether the best value is on the edge of the grid after all extensions.
        extended: Number of extensions of the grid.
        jobs: Jobs of all values tried.
        missing: Jobs that have no record yet.
    """

    arm: Arm
    tuned: str = ""
    scores: dict[float, float] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    at_edge: bool = False
    extended: int = 0
    jobs: list[Job] = field(default_factory=list)
    missing: list[Job] = field(default_factory=list)


def choose_all(runs: Runs, claim: Claim) -> dict[str, dict[str, Choice]]:
    """Choose the tuned value of each arm of a claim from existing records, by part and side.

    In controls, and in claims that read one network twice, both arms get the same value.
    """
    choices = {}
    for part in claim.comparisons:
        arms = dict(zip(SIDES, arms_of(claim, part), strict=True))
        shared = None
        if claim.family == "control":
            shared = arms["without"]
        elif claim.reads_one_run:
            shared = arms["with"]
        choices[part] = {
            side: choose(runs, claim, side, arm, shared or arm) for side, arm in arms.items()
        }
    return choices


def choose(runs: Runs, claim: Claim, side: str, arm: Arm, tuned_arm: Arm) -> Choice:
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
    tuning, choice = runs.study.tuning, Choice(arm)
    if tuning is None:
        return choice
    values = grid = runs.study.grid_of(claim, side)
    if claim.measure.of not in TIMES:
        tuned_arm = (*tuned_arm, *runs.with_validation)
    while True:
        jobs = {
            value: [
                runs.job((*tuned_arm, f"{tuning.key}={value:g}"), seed) for seed in tuning.seeds
            ]
            for value in values
        }
        choice.jobs = [job for group in jobs.values() for job in group]
        choice.missing = [job for job in choice.jobs if runs.record(job) is None]
        if choice.missing:
            best = grid[0]
            break
        found = {value: runs.records(group) for value, group in jobs.items()}
        ranks = {value: _score(runs, claim, side, records) for value, records in found.items()}
        best = min(values, key=lambda value: ranks[value])
        choice.scores = {value: rank[0] for value, rank in ranks.items()}
        choice.records = found[best]
        choice.at_edge = best in (values[0], values[-1])
        if not choice.at_edge or choice.extended == tuning.extensions:
            break
        choice.extended += 1
        beyond = best / tuning.factor if best == values[0] else best * tuning.factor
        values = sorted([*values, float(f"{beyond:.6g}")])
    choice.tuned = f"{tuning.key}={best:g}"
    choice.arm = (*arm, choice.tuned)
    return choice


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
