"""Studies whose runs are written by hand: no network is trained here."""

import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from records import make_record

from ablations import reproduce
from ablations.claims.gates import Check
from ablations.claims.results import ClaimResult, StudyResult, load
from ablations.config import Job
from ablations.launch.pool import RunState
from ablations.record import PREDICTIONS, Record

CLAIM: dict[str, Any] = {
    "statement": "Overlapping windows lower the error.",
    "section": "3.4",
    "family": "paper",
    "technique": "pooling",
    "with": ["pooling=overlap"],
    "without": ["pooling=nonoverlap"],
    "paper": {"says": "a tenth", "effect": 0.04, "error": 0.4, "data": "ImageNet"},
    "confounds": {},
}
STUDY: dict[str, Any] = {
    "title": "By hand",
    "experiment": "smoke",
    "changes": [
        "width=0.1",
        "data.size=16",
        "data.crop=12",
        "data.val_size=11",
        "recipe.batch_size=16",
    ],
    "tuning": {"values": [0.01, 0.02, 0.04], "seeds": [1000]},
}
# What another claim is made of.
NORM: dict[str, Any] = {"technique": "norm", "with": ["norm=lrn"], "without": ["norm=none"]}
# What a run comes to: keyword arguments of make_record; None for a run that fails.
Outcome = Callable[[Job], dict[str, Any] | None]


def noise(job: Job) -> float:
    """A number about 1 that depends on the run."""
    return 1 + 0.01 * np.random.default_rng(int(job.run.run_id, 16) % 2**32).standard_normal()


def without_pooling(job: Job) -> bool:
    """Whether a run is of the arm without overlapping pooling."""
    return job.run.techniques.pooling.value == "nonoverlap"


def well(job: Job, effect: float = 0.1, base: float = 0.3) -> dict[str, Any]:
    """A regime in which claims can show: converged, and the arm without pooling overfits."""
    error = base * (1 + effect * without_pooling(job)) * noise(job)
    # The best rate is in the middle of the grid.
    error *= {0.02: 1.0}.get(job.run.recipe.lr, 1.2)
    return {"test": error, "val": error, "train": 0.3 * error, "epochs": job.run.recipe.epochs}


@dataclass
class Laboratory:
    """Runs ``reproduce.py`` on claims and studies that a test writes.

    Attributes:
        outcome: What each run comes to.
        trained: Jobs in the order of their training.
        code: Exit code of the last command.
    """

    folder: Path
    capsys: pytest.CaptureFixture[str]
    outcome: Outcome = well
    trained: list[Job] = field(default_factory=list)
    code: int = 0

    def claim(self, name: str = "overlap", **changes: Any) -> None:
        """Write a claim file; a field of None is left out."""
        values = {key: value for key, value in (CLAIM | changes).items() if value is not None}
        self._write(self.folder / "sweeps" / f"{name}.yaml", values)

    def study(self, name: str = "hand", **changes: Any) -> None:
        """Write a study file; a field of None is left out."""
        values = {"claims": ["overlap"], **STUDY, **changes}
        values = {key: value for key, value in values.items() if value is not None}
        self._write(self.folder / "sweeps" / "studies" / f"{name}.yaml", values)

    def _write(self, path: Path, values: dict[str, Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(values))

    def __call__(self, *words: str, output: str = "runs") -> str:
        """Call the command; returns what it printed."""
        try:
            reproduce.main(["logger=none", "trainer=cpu", f"output={output}", *words])
            self.code = 0
        except SystemExit as error:
            self.code = error.code if isinstance(error.code, int) else 1
            if isinstance(error.code, str):
                return error.code
        return re.sub(r"\s+", " ", self.capsys.readouterr().out)

    def found(self, output: str = "runs") -> StudyResult:
        """The last study of ``verdicts.json``."""
        return load(self.folder / output)[-1]

    def result(self, claim: str = "overlap", output: str = "runs") -> ClaimResult:
        """The result of a claim."""
        return next(r for r in self.found(output).results if r.claim == claim)

    def check(self, part: str, claim: str = "overlap") -> Check:
        """The part of the gate of a claim."""
        return next(check for check in self.result(claim).checks if check.part == part)

    def looks(self) -> list[list[dict[str, Any]]]:
        """The looks in the ledger of the cache folder and in that of the study ``hand``."""
        folders = (Path(os.environ["ABLATIONS_CACHE"]), self.folder / "results" / "hand")
        paths = [folder / "ledger.jsonl" for folder in folders]
        return [
            [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
            for path in paths
        ]

    def start(self, output: Path, jobs: list[Job], *rest: Any) -> list[RunState]:
        """Stand in for the launcher: write the records of the jobs."""
        states = []
        for job in jobs:
            self.trained.append(job)
            made = self.outcome(job)
            state = RunState(job, output / job.run.run_id, "failed" if made is None else "finished")
            states.append(state)
            if made is not None:
                state.folder.mkdir(parents=True, exist_ok=True)
                record = make_record(
                    job.run,
                    experiment=job.experiment,
                    arm=job.arm,
                    data={"val_images": 2000},
                    **made,
                )
                record.save(state.folder)
                write_predictions(state.folder, record)
        return states


def write_predictions(folder: Path, record: Record, images: int = 200) -> None:
    """Write probabilities of which a share is wrong, each run on images of its own."""
    rng = np.random.default_rng(int(record.run_id, 16) % 2**32)
    labels = np.arange(images) % 10
    wrong = rng.random(images) < record.test_error("center", 1)
    guess = np.where(wrong, (labels + rng.integers(1, 10, images)) % 10, labels)
    table = np.full((images, 10), 0.05, np.float16)
    table[np.arange(images), guess] = 0.55
    np.savez(folder / PREDICTIONS, labels=labels, center=table, ten_view=table)


def seeds_of(jobs: Sequence[Job]) -> set[int]:
    """Seeds of the pairs among jobs."""
    return {job.run.seed for job in jobs if job.run.seed < 1000}
