"""Looks at the pairs, the verdicts they allow, and which claims go on.

Looks are taken together: all runs that the undecided claims need for their next look are trained
side by side, then every claim is judged. A decided claim stops and frees its own arm. The baseline
arm goes on for as long as one claim needs it, so it has the most seeds; a paired difference uses
the seeds that both arms have, and would not profit from more. What more the baseline gets are the
members of ensembles.

Each look is taken of the first seeds only, whatever other records there are. An interrupted study
that is started again thus takes the same looks and comes to the same verdicts.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ablations.config import Job
from ablations.stats.decide import decide
from ablations.stats.family import Rule
from ablations.stats.pairs import Comparison
from ablations.stats.verdict import Verdict
from ablations.study.design import Case, Study
from ablations.study.readout import Choice, compare, guesses, jobs_of_pair, lacks_measure
from ablations.study.runner import Runner
from ablations.study.tuning import tuning_jobs


@dataclass(frozen=True)
class Standing:
    """Where a case stands.

    Attributes:
        case: The comparison.
        choice: Tuned keys by arm; none where they could not be chosen.
        pairs: Pairs of the look that it is at.
        comparison: What was measured in these pairs.
        verdict: None before the first look.
        failed: A run that it needs has failed.
        waiting: A run that it needs was not started in time.
        lacking: Runs whose records were written before the claim's measure was kept.
        guessing: Arms with runs in these pairs that err as often as guessing: how many of how many
            that have finished.
    """

    case: Case
    choice: Choice | None
    pairs: int = 0
    comparison: Comparison | None = None
    verdict: Verdict | None = None
    failed: bool = False
    waiting: bool = False
    lacking: tuple[str, ...] = ()
    guessing: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def goes_on(self) -> bool:
        """Whether it needs another look, and can have it."""
        verdict, last = self.verdict, self.case.looks[-1]
        stopped = verdict is not None and (verdict.decided or verdict.n == last)
        amiss = self.failed or self.waiting or self.lacking
        return self.choice is not None and not (stopped or amiss)

    @property
    def jobs(self) -> Iterator[tuple[int, Job]]:
        """The jobs of its pairs, each with the number of its pair."""
        if self.choice is None:
            return
        for pair in range(self.pairs):
            for members in jobs_of_pair(self.case, self.choice, pair).values():
                yield from ((pair, job) for job in members)


def confirm(
    study: Study,
    choices: Mapping[str, Choice | None],
    runner: Runner,
    after_look: Callable[[list[Standing]], None],
) -> list[Standing]:
    """Train and look until every case is decided, at its last look, failed, or out of time.

    Args:
        study: The cases.
        choices: Tuned keys by arm, by name of the case; none where they could not be chosen.
        runner: Trains.
        after_look: Told where the cases stand after each look.
    """
    standings = [Standing(case, choices[case.name]) for case in study.cases]
    standings = [_note_missing(one, runner) for one in standings]
    while any(one.goes_on for one in standings):
        standings = [_advance(one) for one in standings]
        jobs = [pair_and_job for one in standings if one.goes_on for pair_and_job in one.jobs]
        # Whole pairs first: what the time leaves can then be judged.
        runner.train(job for _, job in sorted(jobs, key=lambda item: item[0]))
        standings = [_note_missing(one, runner) for one in standings]
        standings = judge(standings, study, runner)
        after_look(standings)
    return standings


def rule_of(study: Study) -> Rule:
    """How a study decides."""
    return Rule(stopping="anytime" if study.anytime else "looks")


def _advance(standing: Standing) -> Standing:
    if not standing.goes_on:
        return standing
    return replace(standing, pairs=next(n for n in standing.case.looks if n > standing.pairs))


def _note_missing(standing: Standing, runner: Runner) -> Standing:
    untuned = () if standing.choice is not None else tuning_jobs((standing.case,))
    needed = (*untuned, *(job for _, job in standing.jobs))
    missing = [job for job in needed if runner.record(job) is None]
    failed = any(job.run.run_id in runner.failed for job in missing)
    lacking = {
        record.run_id: None
        for job in needed
        if (record := runner.record(job)) and lacks_measure(standing.case.claim, record)
    }
    return replace(
        standing, failed=failed, waiting=bool(missing) and not failed, lacking=tuple(lacking)
    )


def judge(standings: list[Standing], study: Study, runner: Runner) -> list[Standing]:
    """Judge all cases together, each by the pairs of its own look."""
    rule = rule_of(study)
    measured = [
        replace(
            one,
            comparison=compare(one.case, study.experiment, one.choice or {}, one.pairs, runner),
            guessing=_guessing(one, runner),
        )
        for one in standings
    ]
    claims = [one for one in measured if one.case.claim.family != "control"]
    names = [one.case.name for one in claims]
    verdicts = dict(zip(names, decide(_comparisons(claims), rule), strict=True))
    for one in measured:
        if one.case.claim.family == "control":
            # A family of its own, at the full error rate: were it counted among the claims, they
            # would pay for it, and it would hardly ever sound a false alarm.
            confirmatory = [other for other in claims if other.case.claim.family == "confirmatory"]
            *_, verdicts[one.case.name] = decide(_comparisons([*confirmatory, one]), rule)
    return [replace(one, verdict=verdicts[one.case.name]) for one in measured]


def _guessing(standing: Standing, runner: Runner) -> dict[str, tuple[int, int]]:
    found: dict[str, list[bool]] = {}
    for pair in range(standing.pairs):
        for name, members in jobs_of_pair(standing.case, standing.choice or {}, pair).items():
            records = filter(None, map(runner.record, members))
            found.setdefault(name, []).extend(map(guesses, records))
    return {name: (sum(those), len(those)) for name, those in found.items() if any(those)}


def _comparisons(standings: Sequence[Standing]) -> list[Comparison]:
    return [one.comparison for one in standings if one.comparison is not None]
