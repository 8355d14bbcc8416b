"""Rates of the arms, chosen on tuning seeds that no verdict uses."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import exp, inf, isfinite, log
from statistics import mean

from ablations.claims.measures import SIDES, budget, measure, val_error
from ablations.claims.runs import Arm, Runs, arms_of
from ablations.claims.schema import TIMES, Claim
from ablations.config import Job
from ablations.record import Record


@dataclass
class Choice:
    """The tuned value of one arm.

    Attributes:
        arm: The arm that the value is chosen on, with the value.
        tuned: The override that sets the value: the first of the grid while runs are missing; none
            where nothing is tuned.
        scores: Mean score of each value over the tuning seeds, smaller is better.
        records: Runs of the chosen value.
        at_edge: The best value is on the edge of a grid that was extended as often as allowed.
        extended: How often the grid was extended.
        jobs: All runs of the values tried.
        missing: Those that the choice waits for.
    """

    arm: Arm
    tuned: Arm = ()
    scores: dict[float, float] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    at_edge: bool = False
    extended: int = 0
    jobs: list[Job] = field(default_factory=list)
    missing: list[Job] = field(default_factory=list)


def choose_all(runs: Runs, claim: Claim) -> dict[str, dict[str, Choice]]:
    """Choose the tuned value of every arm of a claim, by part and side, from the records at hand.

    Claims that read one network twice, and controls, inherit the rate of that network.
    """
    choices = {}
    for part in claim.comparisons:
        arms = dict(zip(SIDES, arms_of(claim, part), strict=True))
        if claim.family == "control":
            arms = dict.fromkeys(SIDES, arms["without"])
        elif claim.reads_one_run:
            arms = dict.fromkeys(SIDES, arms["with"])
        choices[part] = {side: choose(runs, claim, side, arm) for side, arm in arms.items()}
    return choices


def choose(runs: Runs, claim: Claim, side: str, arm: Arm) -> Choice:
    """Choose the tuned value of an arm from the records at hand.

    By validation error; for claims on times by the claim's own measure on training data. Of equal
    scores the first wins. While the best value is on the edge of the grid, the grid is extended
    beyond it, as often as the study allows.

    Args:
        runs: The runs of the study.
        claim: The claim.
        side: ``with`` or ``without``.
        arm: The arm without the tuned key.
    """
    tuning, choice = runs.study.tuning, Choice(arm)
    if tuning is None:
        return choice
    values = grid = runs.study.grid_of(claim, side)
    checked = arm if claim.measure.of in TIMES else (*arm, *runs.with_validation)
    while True:
        jobs = {
            value: [runs.job((*checked, f"{tuning.key}={value:g}"), seed) for seed in tuning.seeds]
            for value in values
        }
        choice.jobs = [job for group in jobs.values() for job in group]
        choice.missing = [job for job in choice.jobs if runs.record(job) is None]
        if choice.missing:
            choice.tuned = (f"{tuning.key}={grid[0]:g}",)
            return choice
        found = {v: [r for j in group if (r := runs.record(j))] for v, group in jobs.items()}
        ranks = {v: _score(runs, claim, side, records) for v, records in found.items()}
        best = min(values, key=lambda v: ranks[v])
        choice.tuned = (f"{tuning.key}={best:g}",)
        choice.arm = (*arm, *choice.tuned)
        choice.scores = {v: rank[0] for v, rank in ranks.items()}
        choice.records = found[best]
        choice.at_edge = best in (values[0], values[-1])
        if not choice.at_edge or choice.extended == tuning.extensions:
            return choice
        choice.extended += 1
        beyond = best / tuning.factor if best == values[0] else best * tuning.factor
        values = sorted([*values, float(f"{beyond:.6g}")])


def _score(runs: Runs, claim: Claim, side: str, records: list[Record]) -> tuple[float, float]:
    """Score a value; smaller is better, the second number decides between equals."""
    if claim.measure.of not in TIMES:
        return mean(map(val_error, records)), 0.0
    # A time that was cut short counts as the whole training; the loss tells such values apart.
    times = [min(measure(runs, claim, side, [r], "center"), budget(claim, r)) for r in records]
    last = [r.curve[-1].train.loss if r.curve else None for r in records]
    losses = [inf if loss is None else loss for loss in last]
    return exp(mean(map(log, times))), mean(losses) if all(map(isfinite, losses)) else inf


def missing_jobs(choices: Iterable[Choice]) -> list[Job]:
    """Return the jobs that choices wait for, one seed after the other."""
    jobs = {job.run.run_id: job for choice in choices for job in choice.missing}
    return sorted(jobs.values(), key=lambda job: job.run.seed)
