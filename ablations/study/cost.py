"""What a study costs: runs, time and disk, and what the naive grid would take."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from ablations.config import Job
from ablations.launch.plan import Estimate, estimate
from ablations.record import Record
from ablations.study.design import Arm, Case, Study, Tuned
from ablations.study.readout import Choice, jobs_of_pair
from ablations.study.runner import Runner
from ablations.study.tuning import tuning_jobs

Jobs = dict[str, Job]


@dataclass(frozen=True)
class CaseCost:
    """Runs of one case up to its last look, tuning included.

    Attributes:
        case: The comparison.
        own: Runs that no other case of the study needs.
        shared: Runs that others need, too.
        finished: Those of both that have a record.
        first: Runs up to its first look.
        naive: Runs if each arm trained its own.
    """

    case: Case
    own: int
    shared: int
    finished: int
    first: int
    naive: int


@dataclass(frozen=True)
class Cost:
    """Runs of a study.

    Attributes:
        cases: One by one.
        runs: Distinct runs up to the last look of every case.
        first: Distinct runs up to the first look of every case: none stops earlier.
        finished: Runs that have a record.
        naive: Runs if every arm of every case trained its own, up to the last look.
        seconds_spent: Training time of the finished runs.
        time_left: Time that the others may take.
        bytes_left: Estimated disk space of the others; none without a finished run to judge by.
    """

    cases: list[CaseCost]
    runs: int
    first: int
    finished: int
    naive: int
    seconds_spent: float
    time_left: Estimate
    bytes_left: float | None

    @property
    def saving(self) -> float:
        """Share of the naive grid's runs that the study saves even if no claim stops early."""
        return 1 - self.runs / self.naive if self.naive else 0.0


def cost_of(study: Study, choices: Mapping[str, Choice | None], runner: Runner) -> Cost:
    """Count the runs of a study.

    Where tuned keys are not chosen yet the experiment's own values stand in, if they are candidates:
    should others win, an arm may share fewer runs than the plan says.
    """
    needs = {case.name: _needs(case, choices[case.name], case.looks[-1]) for case in study.cases}
    starts = {case.name: _needs(case, choices[case.name], case.looks[0]) for case in study.cases}
    everything: Jobs = {run_id: job for jobs in needs.values() for run_id, job in jobs.items()}
    users = {run_id: sum(run_id in jobs for jobs in needs.values()) for run_id in everything}
    finished = {r: record for r, job in everything.items() if (record := runner.record(job))}
    left = [job for run_id, job in everything.items() if run_id not in finished]
    cases = [
        CaseCost(
            case=case,
            own=sum(users[run_id] == 1 for run_id in needs[case.name]),
            shared=sum(users[run_id] > 1 for run_id in needs[case.name]),
            finished=sum(run_id in finished for run_id in needs[case.name]),
            first=len(starts[case.name]),
            naive=_naive(case),
        )
        for case in study.cases
    ]
    return Cost(
        cases=cases,
        runs=len(everything),
        first=len({run_id for jobs in starts.values() for run_id in jobs}),
        finished=len(finished),
        naive=sum(case.naive for case in cases),
        seconds_spent=sum(record.seconds for record in finished.values()),
        time_left=estimate(study.output, left),
        bytes_left=_bytes(study.output, finished) * len(left) if finished else None,
    )


def _needs(case: Case, choice: Choice | None, pairs: int) -> Jobs:
    chosen = choice or {name: _likely(arm) for name, arm in case.arms.items()}
    jobs = list(tuning_jobs((case,)))
    for pair in range(pairs):
        jobs += [job for members in jobs_of_pair(case, chosen, pair).values() for job in members]
    return {job.run.run_id: job for job in jobs}


def _likely(arm: Arm) -> Tuned:
    # An arm is named after its difference from the experiment: the shortest name has the least.
    return min(arm.candidates, key=lambda tuned: len(arm.candidates[tuned].arm))


def _naive(case: Case) -> int:
    pairs = case.looks[-1] * (case.claim.ensemble or 1)
    return len(list(tuning_jobs((case,)))) + pairs * len(case.arms)


def _bytes(output: Path, finished: Mapping[str, Record]) -> float:
    sizes = (
        sum(file.stat().st_size for file in (output / run_id).rglob("*") if file.is_file())
        for run_id in finished
    )
    return mean(sizes)
