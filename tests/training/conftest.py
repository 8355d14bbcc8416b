"""Fixtures that interrupt and repeat trainings."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ablations.config import Job
from ablations.training import fit
from ablations.training.progress import Progress


@pytest.fixture
def interrupt(train_here, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Trains a job in this process and sends SIGTERM in ``hook`` after ``step`` steps."""

    def train(job: Job, hook: str = "on_train_batch_end", step: int = 4) -> Path:
        def stop(self: Any, trainer: Any, *arguments: Any) -> None:
            if trainer.global_step == step:
                os.kill(os.getpid(), signal.SIGTERM)

        with monkeypatch.context() as patch:
            patch.setattr(fit, "Progress", type("Stopping", (Progress,), {hook: stop}))
            with pytest.raises(SystemExit) as stopped:
                train_here(job)
        assert stopped.value.code == 128 + signal.SIGTERM
        return Path("runs", job.run.run_id)

    return train


@pytest.fixture
def train_anew(train_here) -> Callable[[Job], Path]:
    """Deletes the files of a job and trains it again."""

    def train(job: Job) -> Path:
        for path in Path("runs", job.run.run_id).iterdir():
            path.unlink()
        return train_here(job)

    return train
