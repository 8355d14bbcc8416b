"""A study as ``verdicts.json`` keeps it: the rules first, then what they came to."""

from collections.abc import Mapping, Sequence
from typing import Any

from ablations.claim import Claim
from ablations.stats.family import Rule
from ablations.study.confirm import Standing, rule_of
from ablations.study.design import TUNING_SEEDS, Case, Study
from ablations.study.readout import jobs_of_pair
from ablations.study.tuning import Tuning
from ablations.study.verdicts import ArmResult, Result, Status, StudyResult, finite, hash_of

Tunings = Mapping[str, dict[str, Tuning] | None]


def to_result(
    study: Study,
    standings: Sequence[Standing] = (),
    tunings: Tunings | None = None,
) -> StudyResult:
    """Everything that is known of a study; without standings, its rules alone."""
    rule = rule_of(study)
    by_name = {one.case.name: one for one in standings}
    families: dict[str, list[str]] = {}
    for case in study.cases:
        families.setdefault(case.claim.family, []).append(case.name)
    results = [
        Result(
            **_about(case.claim, study.experiment),
            part=case.part,
            rule=(applied := described(case, study.experiment, rule)),
            rule_hash=hash_of(applied),
            adjusted_with=families[case.claim.family],
            **_came_to(by_name.get(case.name), (tunings or {}).get(case.name)),
        )
        for case in study.cases
    ]
    excluded = [
        Result(**_about(claim, study.experiment), part="", status="excluded", reason=reason)
        for claim, reason in study.excluded
    ]
    return StudyResult(
        experiment=study.experiment,
        changes=study.changes,
        baseline=study.baseline.run_id,
        first_seed=study.baseline.seed,
        tuning_seeds=list(TUNING_SEEDS),
        dataset=study.baseline.data.name,
        fingerprint=study.baseline.fingerprint,
        alpha=rule.alpha,
        results=[*results, *excluded],
    )


def described(case: Case, experiment: str, rule: Rule) -> dict[str, Any]:
    """How a case is measured and decided, in plain values: whatever could move its verdict."""
    claim = case.claim
    text = claim.model_dump(mode="json", by_alias=True)
    measured = ("technique", "kind", "family", "common", "with", "reference", "ensemble", "tune")
    return {
        **{key: text[key] for key in measured},
        "without": claim.comparisons[case.part],
        "measure": {key: value for key, value in text["measure"].items() if "target" not in key},
        "target": claim.measure.target_for(experiment) if claim.measure.target else None,
        "margin": claim.decision.margin,
        "paper": claim.paper.effect if experiment in claim.paper.experiments else None,
        # Pairs may be added for ever: how many a command asks for moves no verdict.
        "looks": [] if rule.stopping == "anytime" else list(case.looks),
        "alpha": rule.alpha,
        "stopping": rule.stopping,
        "spending": rule.spending,
        "tuning_seeds": list(TUNING_SEEDS),
    }


def _about(claim: Claim, experiment: str) -> dict[str, Any]:
    paper = claim.paper.model_dump()
    del paper["experiments"]
    return {
        "claim": claim.name,
        "statement": claim.statement,
        "section": claim.section,
        "technique": claim.technique,
        "kind": claim.kind,
        "family": claim.family,
        "paper": paper | {"comparable": experiment in claim.paper.experiments},
        "confounds": list(claim.confounds),
    }


def _came_to(standing: Standing | None, tuning: dict[str, Tuning] | None) -> dict[str, Any]:
    if standing is None:
        return {"status": "planned"}
    reason = ""
    if standing.failed:
        untuned = standing.choice is None
        reason = (
            "a run failed in tuning" if untuned else "a run failed; the same command repeats it"
        )
    elif standing.lacking:
        reason = (
            f"{len(standing.lacking)} records, such as {standing.lacking[0]}, were written before "
            "the measure was kept; move their folders away, and the same command trains them again"
        )
    arms = _arms(standing, tuning) if tuning else {}
    edges = [
        f"{name}: {value} is at the edge of its grid, a better one may lie beyond"
        for name, found in (tuning or {}).items()
        for value in found.at_edge
    ]
    guessing = [
        "{}: {} of its {} networks err as often as guessing, so the arm says little of the "
        "technique at this learning rate".format(arm.label, *standing.guessing[name])
        for name, arm in arms.items()
        if name in standing.guessing
    ]
    return {
        "status": _status(standing),
        "reason": reason,
        "verdict": standing.verdict.to_dict() if standing.verdict else None,
        "arms": arms,
        "notes": edges + guessing,
    }


def _status(standing: Standing) -> Status:
    if standing.failed or standing.lacking:
        return "incomplete"
    if standing.verdict and standing.verdict.decided:
        return "decided"
    return "unfinished" if standing.waiting else "undecided"


def _arms(standing: Standing, tuning: dict[str, Tuning]) -> dict[str, ArmResult]:
    case, comparison = standing.case, standing.comparison
    values = {}
    if comparison:
        values = {"with": comparison.with_technique, "without": comparison.without}
    pairs = {
        case.seeds(pair)[0]: jobs_of_pair(case, standing.choice or {}, pair)
        for pair in range(standing.pairs)
    }
    return {
        name: ArmResult(
            label=arm.candidates[tuning[name].choice].label,
            tuned=list(tuning[name].choice),
            tuning={" ".join(tuned): finite(s) for tuned, s in tuning[name].scores.items()},
            runs={seed: [job.run.run_id for job in jobs[name]] for seed, jobs in pairs.items()},
            values={seed: finite(value) for seed, value in values.get(name, {}).items()},
        )
        for name, arm in case.arms.items()
    }
