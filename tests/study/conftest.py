"""Studies whose runs are written by hand: no network is trained here."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from ablations.claim import Claim
from ablations.config import Job
from ablations.record import CurvePoint, Record, Scores, pack
from ablations.study.conduct import conduct
from ablations.study.design import Study, design
from ablations.study.runner import Runner
from ablations.study.verdicts import StudyResult, load

CLAIM: dict[str, Any] = {
    "name": "overlap_helps",
    "statement": "Overlapping windows lower the error.",
    "section": "3.4",
    "technique": "pooling",
    "kind": "difference",
    "family": "confirmatory",
    "with": ["pooling=overlap"],
    "without": ["pooling=nonoverlap"],
    "measure": {"metric": "top1", "split": "test"},
    "paper": {"says": "0.4 points", "effect": 0.004, "data": "ImageNet", "experiments": ["smoke"]},
    "confounds": ["none"],
    "decision": {"margin": 0.002, "why": "half"},
}

Outcome = Callable[[Job], Any]


def make_record(job: Job, error: float = 0.2, **changes: Any) -> Record:
    scores = Scores(error, error / 2, 2 * error, 1000)
    missed = {f"top{k}": pack(np.arange(1000) < round(1000 * error / k)) for k in (1, 5)}
    epochs = job.run.recipe.epochs
    curve = [
        CurvePoint(e, e * 100, float(e), 0.01, replace(scores, top1=1 / (1 + e)), scores)
        for e in range(1, epochs + 1)
    ]
    record = Record(
        run_id=job.run.run_id,
        status="finished",
        experiment=job.experiment,
        arm=job.arm,
        seed=job.run.seed,
        run=job.run.to_dict(),
        parameters=10,
        classes=10,
        epochs=epochs,
        samples=epochs * 100,
        train=Scores(0.05, 0.01, 0.1, 1000),
        val=scores,
        test={"center": scores, "ten_view": scores},
        curve=curve,
        seconds=2.0,
        images_per_second=50.0,
        devices=1,
        device="test",
        skipped=0,
        missed={"center": missed, "ten_view": missed},
    )
    return replace(record, **changes)


class HandRunner(Runner):
    """Writes the records that ``outcome`` gives; where it gives none the run has failed.

    Attributes:
        trained: Jobs in the order of their training.
    """

    def __init__(self, output: Path, outcome: Outcome) -> None:
        super().__init__(output, Console(quiet=True))
        self.outcome = outcome
        self.trained: list[Job] = []
        self.batches: list[int] = []

    def train(self, jobs: Iterable[Job]) -> None:
        left = {job.run.run_id: job for job in jobs if self.record(job) is None}
        self.batches.append(len(left))
        for run_id, job in left.items():
            self.trained.append(job)
            made = self.outcome(job)
            if made is None:
                self.failed.add(run_id)
                continue
            record = make_record(job, made) if isinstance(made, float) else made
            folder = self.output / run_id
            folder.mkdir(parents=True, exist_ok=True)
            record.save(folder)


@pytest.fixture
def claim() -> Callable[..., Claim]:
    """Makes a claim, with other fields where given."""
    return lambda **changes: Claim.model_validate(CLAIM | changes)


@pytest.fixture
def study(cache: Path, runs_dir: Path) -> Callable[..., Study]:
    """Designs a study of claims at ``smoke``; keyword arguments are those of ``design``."""

    def make(*claims: Claim, overrides: tuple[str, ...] = (), **options: Any) -> Study:
        given = ("experiment=smoke", "data.val_size=11", "logger=none", f"output={runs_dir}")
        return design(claims, (*given, *overrides), **options)

    return make


@pytest.fixture
def runner(runs_dir: Path) -> Callable[[Outcome], HandRunner]:
    """Makes a runner whose records are written by hand."""
    return lambda outcome: HandRunner(runs_dir, outcome)


@pytest.fixture
def gently() -> Outcome:
    """An outcome: five points worse without overlap, a little scatter over seeds."""
    return lambda job: (
        0.2 + 0.05 * ("nonoverlap" in job.label) + 0.0001 * (job.run.seed % 3) * len(job.label)
    )


@pytest.fixture
def conducted() -> Callable[..., tuple[int, StudyResult, str]]:
    """Conducts a study on a runner: exit code, what the file holds, what was shown."""

    def conduct_here(planned: Study, hand: HandRunner) -> tuple[int, StudyResult, str]:
        hand.console = Console(record=True, width=200, file=StringIO())
        code = conduct(planned, hand, plan_only=False)
        (found,) = load(planned.output)
        return code, found, hand.console.export_text()

    return conduct_here


@pytest.fixture
def record_of() -> Callable[..., Record]:
    """Makes a record of a job."""
    return make_record
