"""Rates of the arms, chosen on tuning seeds that no verdict uses."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import exp, inf, isfinite, log
from statistics import mean

from ablations.claims.measures import SIDES, Pairs, budget
from ablations.claims.runs import Arm, Runs
from ablations.claims.schema import TIMES, Claim, Study
from ablations.config import Job
from ablations.record import Record


@dataclass
class Choice:
    """The tuned value of one arm.

    Attributes:
        arm: The arm that the value is chosen on, with the value.
        tuned: The override that sets the value; none where nothing is tuned.
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


def tuned_arms(claim: Claim, arms: tuple[Arm, Arm]) -> dict[str, Arm]:
    """Return the arm that each side's rate is chosen on.

    Claims that read one network twice, and controls, inherit the rate of that network.
    """
    ours, theirs = arms
    if claim.family == "control":
        return dict.fromkeys(SIDES, theirs)
    if claim.reads_one_run:
        return dict.fromkeys(SIDES, ours)
    return dict(zip(SIDES, arms, strict=True))


def choose(runs: Runs, claim: Claim, side: str, arm: Arm) -> Choice:
    """Choose the tuned value of an arm from the records at hand.

    By validation error; for claims on times by the claim's own measure on training data. Of equal
    scores the first wins. While the best value is on the edge of the grid, the grid is extended
    beyond it, as often as the study allows.

    Args:
        runs: The runs of the study.
        claim: The claim.
        side: ``with`` or ``without``.
        arm: See :func:`tuned_arms`.
    """
    study = runs.study
    tuning = study.tuning
    if tuning is None:
        return Choice(arm)
    grid = study.plan_of(claim).grid
    values = sorted(
        getattr(grid, f"{side}_" if side == "with" else side) if grid else tuning.values
    )
    choice = Choice(arm)
    checked = arm if claim.measure.of in TIMES else (*arm, *runs.with_validation)
    while True:
        jobs = {v: _jobs(runs, checked, tuning.key, v, tuning.seeds) for v in values}
        choice.jobs = [job for group in jobs.values() for job in group]
        choice.missing = [job for job in choice.jobs if runs.record(job) is None]
        if choice.missing:
            return choice
        found = {v: [r for j in group if (r := runs.record(j))] for v, group in jobs.items()}
        ranks = {v: _score(claim, study, side, records, runs) for v, records in found.items()}
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


def _jobs(runs: Runs, arm: Arm, key: str, value: float, seeds: Sequence[int]) -> list[Job]:
    return [runs.job((*arm, f"{key}={value:g}"), seed) for seed in seeds]


def _score(
    claim: Claim, study: Study, side: str, records: list[Record], runs: Runs
) -> tuple[float, float]:
    """Score a value; smaller is better, the second number decides between equals."""
    chance = [1 - 1 / record.data.classes for record in records]
    if claim.measure.of not in TIMES:
        errors = [r.val.top1 if r.val else c for r, c in zip(records, chance, strict=True)]
        return mean(errors), 0.0
    pairs = Pairs(
        claim,
        study,
        "",
        {name: {r.seed: [r] for r in records} for name in SIDES},
        dict.fromkeys(SIDES, "center"),
        runs.output,
    )
    values = pairs.values()[side].values()
    last = [r.curve[-1].train.loss if r.curve else None for r in records]
    losses = [inf if loss is None else loss for loss in last]
    # A time that was cut short counts as the whole training; the loss tells such values apart.
    budgets = [budget(claim, record) for record in records]
    times = [min(v, b) for v, b in zip(values, budgets, strict=True)]
    return exp(mean(map(log, times))), mean(losses) if all(map(isfinite, losses)) else inf


def missing_jobs(choices: Iterable[Choice]) -> list[Job]:
    """Return the jobs that choices wait for, one seed after the other."""
    jobs = {job.run.run_id: job for choice in choices for job in choice.missing}
    return sorted(jobs.values(), key=lambda job: job.run.seed)
