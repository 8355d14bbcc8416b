"""The gate: check whether a claim can show at a study's scale, before its pairs are trained.

It reads tuning seeds only, and their validation and training errors.
"""

from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import mean, stdev

from ablations.claims.measures import SIDES, at_chance, smoothed
from ablations.claims.runs import Runs
from ablations.claims.schema import Claim
from ablations.claims.tuning import Choice
from ablations.config import Job
from ablations.record import Record
from ablations.stats.intervals import critical

# Largest change of the validation error when the training is twice as long, relative.
TRAINED_OUT = 0.05
# Least generalization gap without the technique, as a fraction of the validation error.
OVERFITS = 0.25


@dataclass(frozen=True)
class Check:
    """One part of the gate.

    Attributes:
        part: ``trained out``, ``fair rates``, ``overfits without it`` or ``learns``.
        passed: Whether it passed.
        text: Its numbers, and what would pass.
    """

    part: str
    passed: bool
    text: str


def gate_jobs(runs: Runs, claim: Claim, choices: dict[str, Choice]) -> list[Job]:
    """Return the runs that the gate of a claim needs beside those of the tuning."""
    if not claim.trained_out or claim.family == "control" or not _learns(choices, "tuning").passed:
        return []
    return [job for pair in _schedule_and_twice(runs, choices["with"]) for job in pair]


def gate(runs: Runs, claim: Claim, choices: dict[str, Choice]) -> list[Check] | None:
    """Check what a claim needs.

    Args:
        runs: The runs of the study.
        claim: The claim.
        choices: The tuned arms ``with`` and ``without`` the technique.

    Returns:
        The checks; None while a run is missing.
    """
    if any(runs.record(job) is None for job in gate_jobs(runs, claim, choices)):
        return None
    learns = _learns(choices, "tuning")
    checks = [learns] if runs.study.tuning else []
    if claim.family == "control" or not learns.passed:
        return checks
    if claim.trained_out:
        checks.append(_trained_out(runs, choices["with"]))
    if not claim.reads_one_run:
        checks.append(_fair_rates(runs, choices))
    if claim.overfits_without:
        checks.append(_overfits(choices["without"]))
    return checks


def _schedule_and_twice(runs: Runs, choice: Choice) -> list[tuple[Job, Job]]:
    epochs = runs.config(choice.arm).recipe.epochs
    once = (*choice.arm, *runs.with_validation)
    twice = (*once, f"recipe.epochs={2 * epochs}")
    return [(runs.job(once, seed), runs.job(twice, seed)) for seed in runs.study.gate_seeds]


def _trained_out(runs: Runs, choice: Choice) -> Check:
    pairs = [
        (runs.record(once), runs.record(twice)) for once, twice in _schedule_and_twice(runs, choice)
    ]
    known = [(once, twice) for once, twice in pairs if once and twice]
    bad = sum(not _has_learned(record) for pair in known for record in pair)
    if bad >= len(known):  # half of them: each seed has two
        text = f"{bad} of {2 * len(known)} runs of the gate diverged or are at chance"
        return Check("trained out", False, text)
    ratios = [log(_val_error(twice) / _val_error(once)) for once, twice in known]
    change = exp(mean(ratios)) - 1
    reach = critical(0.05, len(ratios) - 1) * stdev(ratios) / sqrt(len(ratios))
    low, high = (exp(mean(ratios) + sign * reach) - 1 for sign in (-1, 1))
    return Check(
        "trained out",
        abs(change) < TRAINED_OUT,
        f"at twice the epochs the validation error with the technique changes by "
        f"{_percent(change)} [{_percent(low)}, {_percent(high)}] over {len(ratios)} seeds "
        f"(required: within ±{TRAINED_OUT:.0%})",
    )


def _percent(share: float) -> str:
    return f"{share:+.1%}".replace("-", "−")


def _val_error(record: Record) -> float:
    error = record.val.top1 if record.val else 1 - 1 / record.data.classes
    return smoothed(error, record, record.val)


def _fair_rates(runs: Runs, choices: dict[str, Choice]) -> Check:
    tuning = runs.study.tuning
    if tuning is None:
        return Check(
            "fair rates", False, "the study tunes no rate; passes with `tuning` in its file"
        )
    chosen = [f"{choices[side].tuned[0]} {side} the technique" for side in SIDES]
    extended = max(choices[side].extended for side in SIDES)
    text = f"chosen on seeds {', '.join(map(str, tuning.seeds))}: {', '.join(chosen)}"
    if extended:
        text += f"; the grid was extended {'once' if extended == 1 else f'{extended} times'}"
    edges = [side for side in SIDES if choices[side].at_edge]
    if edges:
        text += f"; at the edge of the grid {' and '.join(edges)} it (required: inside)"
    return Check("fair rates", not edges, text)


def _overfits(choice: Choice) -> Check:
    known = [record for record in choice.records if record.train and record.val]
    if not known:
        return Check(
            "overfits without it",
            False,
            "no finished tuning run of the arm without the technique has a validation error; "
            "passes with data.val_size above 0",
        )
    val = mean(record.val.top1 for record in known if record.val)
    train = mean(record.train.top1 for record in known if record.train)
    share = (val - train) / max(val, 1e-9)
    return Check(
        "overfits without it",
        share >= OVERFITS,
        f"without the technique the error is {train:.1%} in training and {val:.1%} in validation; "
        f"the generalization gap is {max(share, 0):.0%} of the validation error (required: "
        f"{OVERFITS:.0%})",
    )


def _has_learned(record: Record) -> bool:
    return record.status == "finished" and not at_chance(record)


def _learns(choices: dict[str, Choice], what: str) -> Check:
    """Fail an arm of which half of the runs diverged or are at chance."""
    for side in SIDES:
        records = choices[side].records
        bad = sum(not _has_learned(record) for record in records)
        if records and 2 * bad >= len(records):
            return Check(
                "learns",
                False,
                f"{bad} of {len(records)} {what} runs {side} the technique diverged or are at "
                "chance",
            )
    return Check("learns", True, "most runs of both arms are better than chance")


def learns(records: dict[str, list[Record]]) -> Check:
    """Check the runs of the pairs themselves, once they are there."""
    return _learns({side: Choice((), records=found) for side, found in records.items()}, "paired")
