"""The gate: check whether a claim is testable at a study's scale, before its pairs are trained.

Its checks use only validation and training errors, of tuning and gate seeds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, log, sqrt
from statistics import mean, stdev

from ablations.claims.measures import SIDES, measure, smoothed, val_error
from ablations.claims.runs import Runs
from ablations.claims.schema import Claim
from ablations.claims.tuning import Choice
from ablations.config import Job
from ablations.record import Record, learned
from ablations.stats.intervals import critical
from ablations.words import listed

# The arms of a claim, ``with`` and ``without`` the technique, by part.
Choices = Mapping[str, Mapping[str, Choice]]

# Largest relative change of the validation error at twice the epochs.
TRAINED_OUT = 0.05
# Smallest generalization gap without the technique, as a fraction of the validation error.
OVERFITS = 0.25


@dataclass(frozen=True)
class Check:
    """One check of the gate.

    Attributes:
        part: Name of the check: ``trained out``, ``fair rates``, ``overfits without it`` or
            ``learns``. The parts of a claim are something else.
        passed: Whether it passed.
        text: Its numbers, and the required ones.
    """

    part: str
    passed: bool
    text: str

    def __str__(self) -> str:
        return f"{self.part}: {self.text}"


def gate_jobs(runs: Runs, claim: Claim, arms: Mapping[str, Choice]) -> list[Job]:
    """Return the runs that the gate of a part needs besides the tuning runs.

    For each seed, a run of the arm with the technique at the study's epochs, and then one at twice
    the epochs. Empty for a control, for a claim without the check ``trained out``, and if the
    tuning runs of an arm have not learned.
    """
    if not claim.trained_out or claim.family == "control" or not _tuning_learns(arms).passed:
        return []
    arm = arms["with"].arm
    once = (*arm, *runs.with_validation)
    twice = (*once, f"recipe.epochs={2 * runs.config(arm).recipe.epochs}")
    return [runs.job(each, seed) for seed in runs.study.gate_seeds for each in (once, twice)]


def gate(runs: Runs, claim: Claim, choices: Choices) -> list[Check]:
    """Check the gate of a claim.

    Args:
        runs: The runs of the study.
        claim: The claim.
        choices: The tuned arms ``with`` and ``without`` the technique, by part.

    Returns:
        The checks of all parts whose runs have finished; checks that parts share appear once.
    """
    found: dict[tuple[str, str], Check] = {}
    for part, arms in choices.items():
        jobs = gate_jobs(runs, claim, arms)
        records = runs.records(jobs)
        if len(records) < len(jobs):
            continue
        for check in _checks(runs, claim, arms, records):
            if part and check.part not in ("trained out", "learns"):
                check = replace(check, text=f"{part}: {check.text}")
            found.setdefault((check.part, check.text), check)
    return list(found.values())


def _checks(
    runs: Runs, claim: Claim, arms: Mapping[str, Choice], records: Sequence[Record]
) -> list[Check]:
    learns = _tuning_learns(arms)
    checks = [learns] if runs.study.tuning else []
    if claim.family == "control" or not learns.passed:
        return checks
    if claim.trained_out:
        checks.append(_trained_out(runs, claim, arms["with"], records[::2], records[1::2]))
    if not claim.reads_one_run:
        checks.append(_fair_rates(runs, arms))
    if claim.overfits_without:
        checks.append(_overfits(arms["without"]))
    return checks


def _trained_out(
    runs: Runs, claim: Claim, choice: Choice, once: Sequence[Record], twice: Sequence[Record]
) -> Check:
    """Compare the runs at the study's epochs with those at twice the epochs, seed by seed."""
    bad = sum(not record.has_learned for record in (*once, *twice))
    if bad >= len(once):  # at least half of all runs
        text = f"{bad} of {2 * len(once)} gate runs diverged or are at chance"
        return Check("trained out", False, text)
    ratios = [
        log(smoothed(val_error(b), b, b.val) / smoothed(val_error(a), a, a.val))
        for a, b in zip(once, twice, strict=True)
    ]
    change = exp(mean(ratios)) - 1
    half_width = critical(0.05, len(ratios) - 1) * stdev(ratios) / sqrt(len(ratios))
    low, high = (exp(mean(ratios) + sign * half_width) - 1 for sign in (-1, 1))
    text = (
        f"at twice the epochs the validation error with the technique changes by "
        f"{_percent(change)} [{_percent(low)}, {_percent(high)}] over {len(ratios)} seeds "
        f"(required: within ±{TRAINED_OUT:.0%})"
    )
    # The claim's own measure is shown to readers; no check may use the test split.
    names = {"test_error": "test error", "train_error": "training error", "gap": "gap"}
    if claim.measure.of in names:
        view = runs.view(choice.arm)
        # For an ensemble, the side `without` gives the measure of single networks.
        own, doubled = (
            mean(measure(runs, claim, "without", [record], view) for record in records)
            for records in (once, twice)
        )
        text += f"; {names[claim.measure.of]}: {_percent(doubled / own - 1)}" if own else ""
    return Check("trained out", abs(change) < TRAINED_OUT, text)


def _percent(share: float) -> str:
    return f"{share:+.1%}".replace("-", "−")


def _fair_rates(runs: Runs, arms: Mapping[str, Choice]) -> Check:
    tuning = runs.study.tuning
    if tuning is None:
        text = "the study tunes no learning rate (required: `tuning` in its file)"
        return Check("fair rates", False, text)
    chosen = [f"{arms[side].tuned} {side} the technique" for side in SIDES]
    extended = max(arms[side].extended for side in SIDES)
    seeds = f"seed{'s' * (len(tuning.seeds) > 1)} {listed(tuning.seeds)}"
    text = f"chosen on {seeds}: {', '.join(chosen)}"
    if extended:
        text += f"; the grid was extended {'once' if extended == 1 else f'{extended} times'}"
    edges = [side for side in SIDES if arms[side].at_edge]
    if edges:
        text += f"; on the edge of the grid {' and '.join(edges)} the technique (required: inside)"
    return Check("fair rates", not edges, text)


def _overfits(choice: Choice) -> Check:
    errors = [(r.train.top1, r.val.top1) for r in choice.records if r.train and r.val]
    if not errors:
        text = (
            "no finished tuning run without the technique has a validation error (required: "
            "data.val_size above 0)"
        )
        return Check("overfits without it", False, text)
    train, val = (mean(column) for column in zip(*errors, strict=True))
    share = (val - train) / max(val, 1e-9)
    text = (
        f"without the technique the error is {train:.1%} in training and {val:.1%} in validation; "
        f"the generalization gap is {max(share, 0):.0%} of the validation error (required: "
        f"{OVERFITS:.0%})"
    )
    return Check("overfits without it", share >= OVERFITS, text)


def learns(records: Mapping[str, Sequence[Record]], what: str) -> Check:
    """Check that in each arm fewer than half of the runs diverged or are at chance.

    Args:
        records: Runs ``with`` and ``without`` the technique.
        what: The kind of run: ``tuning`` or ``paired``.
    """
    for side in SIDES:
        if not learned(records[side]):
            bad = sum(not record.has_learned for record in records[side])
            these = f"{bad} of {len(records[side])} {what} runs {side} the technique"
            return Check("learns", False, f"{these} diverged or are at chance")
    return Check("learns", True, "most runs of both arms are better than chance")


def _tuning_learns(arms: Mapping[str, Choice]) -> Check:
    return learns({side: arms[side].records for side in SIDES}, "tuning")
