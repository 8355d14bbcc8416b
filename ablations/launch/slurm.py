"""Carries out the runs of a plan as jobs of SLURM: an array for each sweep, a job for each run.

The records stay the only state of a run. Beside them, ``slurm.json`` in a run's folder names its
latest job, so that a command that comes back submits nothing that is queued or running.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from ablations.config import Accelerator, ConfigError, Job, Trainer
from ablations.files import write_atomically
from ablations.launch.pool import (
    RunState,
    by_hardware,
    collect_signals,
    conclude,
    freeze,
    read_progress,
    run_folder,
)
from ablations.launch.slurm_task import Task
from ablations.record import load

if TYPE_CHECKING:
    from submitit import SlurmJob

JOB = "slurm.json"
STATE_SECONDS = 5.0
LOOK_SECONDS = 0.5
# Records on a shared filesystem may be seen a little after their job has ended.
SETTLE_SECONDS = 10.0
# SLURM's accounting may learn of a job a little after it was submitted.
KNOWN_SECONDS = 60.0
# SLURM signals so long before the time limit: enough for a step and a checkpoint.
SIGNAL_SECONDS = 120


def check(trainer: Trainer) -> None:
    """Let SLURM itself say whether it would take such a job; nothing is submitted.

    Raises:
        ConfigError: submitit or SLURM's commands are missing, or SLURM refuses, in its own words.
    """
    if find_spec("submitit") is None:
        raise ConfigError(
            "trainer=slurm: the package submitit is not installed; next step: "
            "pip install 'alexnet-ablations[slurm]'"
        )
    if missing := [name for name in ("sbatch", "sacct", "srun") if which(name) is None]:
        raise ConfigError(
            f"trainer=slurm: there is no command {missing[0]} here; start this on a login node of "
            "the cluster, or train on this machine with trainer=auto"
        )
    # What submitit asks for the states of jobs.
    if (known := _sacct()).returncode:
        raise ConfigError(
            f"trainer=slurm: sacct fails here: {_last_line(known.stderr)}; the states of jobs are "
            "read from SLURM's accounting; without it use hydra/launcher=submitit_slurm"
        )
    given = {**options(trainer), "time": trainer.slurm.minutes}
    words = [f"--{key.replace('_', '-')}={value}" for key, value in given.items()]
    done = subprocess.run(
        ["sbatch", "--test-only", *words, "--wrap=true"], capture_output=True, text=True
    )
    if done.returncode:
        raise ConfigError(
            f"trainer=slurm: SLURM refuses `{' '.join(words)}`: {_last_line(done.stderr)}; see "
            "`sinfo` for what there is, and the keys trainer.slurm.* in --help"
        )


def options(trainer: Trainer) -> dict[str, Any]:
    """Options of ``sbatch`` for one run: one task on each of its nodes."""
    slurm = trainer.slurm
    found: dict[str, Any] = {
        "nodes": trainer.num_nodes,
        "ntasks_per_node": 1,
        "cpus_per_task": slurm.cpus * trainer.devices,
        "partition": slurm.partition,
        "account": slurm.account,
        "gpus_per_node": trainer.devices if trainer.accelerator is Accelerator.gpu else None,
    }
    return {key: value for key, value in found.items() if value is not None}


def describe(trainer: Trainer, jobs: list[Job], output: Path) -> str:
    """The jobs that would be submitted, in a line."""
    alive = len(known_jobs([output / job.run.run_id for job in jobs]))
    each = [f"{key.replace('_', '-')}={value}" for key, value in options(trainer).items()]
    limit = f", at most {trainer.parallel} at once" if trainer.parallel else ""
    before = f"; {alive} queued or running already" if alive else ""
    count = len(jobs) - alive
    return (
        f"{count} job{'s' * (count != 1)} to submit{limit}, each {' '.join(each)} "
        f"time={trainer.slurm.minutes}{before}"
    )


class Queue:
    """Runs jobs through SLURM until all are done; takes the place of a :class:`Pool`.

    Args:
        output: Folder of the runs, on a filesystem that the nodes share.
        watch: Called a few times a second with the state of every run.
        deadline: Monotonic time after which no run is started: what is queued then is cancelled
            and stays ``waiting``.
    """

    def __init__(
        self,
        output: Path,
        watch: Callable[[list[RunState]], None],
        deadline: float | None = None,
    ) -> None:
        self.output = output
        self.watch = watch
        self.deadline = deadline
        self.jobs: dict[str, SlurmJob] = {}  # by run id
        self.known: set[str] = set()  # run ids whose jobs accounting has listed
        self.answered = True  # whether accounting did, last
        self.ended: dict[str, float] = {}  # when a job was first seen to have ended, by run id

    def run(self, jobs: list[Job]) -> list[RunState]:
        """Submit what SLURM does not have yet, and watch all of it to the end.

        With ``trainer.slurm.detach`` it leaves after a look: some states are then ``queued`` or
        ``running``.

        Raises:
            ConfigError: SLURM does not take the jobs, or does not answer at the start.
            SystemExit: SIGINT or SIGTERM came: 128 plus its number. The jobs go on without it.
        """
        states = [RunState(job, run_folder(self.output, job)) for job in jobs]
        with collect_signals() as received:
            with FileLock(self.output / ".slurm.lock"):  # two commands must not submit one run
                self._adopt(states)
                for trainer, group in by_hardware(states):
                    self._submit(trainer, [one for one in group if one.status == "waiting"])
            self._watch(states, received)
        if received:
            left = [self.jobs[one.job.run.run_id] for one in states if one.status in _ALIVE]
            print(
                f"{len(left)} jobs go on in SLURM; the same command watches them again, and "
                f"`scancel {' '.join(sorted({job.job_id.split('_')[0] for job in left}))}` ends "
                "them",
                file=sys.stderr,
            )
            sys.exit(128 + received[0])
        return states

    def _adopt(self, states: list[RunState]) -> None:
        """Find the runs that an earlier command has submitted."""
        known = known_jobs([state.folder for state in states])
        for state in states:
            if state.folder in known:
                job = self.jobs[state.job.run.run_id] = known[state.folder]
                state.status, state.began = _status(job), time.monotonic()

    def _submit(self, trainer: Trainer, states: list[RunState]) -> None:
        if not states or (self.deadline is not None and time.monotonic() >= self.deadline):
            return
        for state in states:
            freeze(state)
        jobs = submit(self.output, trainer, [Task(self.output, state.job) for state in states])
        for state, job in zip(states, jobs, strict=True):
            write_atomically(state.folder / JOB, json.dumps({"job": job.job_id}))
            self.jobs[state.job.run.run_id] = job
            state.status = "queued"

    def _watch(self, states: list[RunState], received: list[int]) -> None:
        asked = -STATE_SECONDS
        while not received:
            if time.monotonic() - asked >= STATE_SECONDS:
                self._ask()
                asked = time.monotonic()
                self._keep_deadline(states)
            for state in states:
                if state.status in _ALIVE:
                    self._look(state)
            self.watch(states)
            alive = [state for state in states if state.status in _ALIVE]
            if not alive or all(state.job.trainer.slurm.detach for state in alive):
                return
            time.sleep(LOOK_SECONDS)

    def _ask(self) -> None:
        """Learn the states of all jobs with one question."""
        if not self.jobs:
            return
        job = next(iter(self.jobs.values()))
        self.answered = not _sacct("--jobs", job.job_id).returncode
        if self.answered:  # forget what was: see `_look`
            job.watcher.clear()
        job.watcher.update()

    def _look(self, state: RunState) -> None:
        run_id = state.job.run.run_id
        job = self.jobs[run_id]
        if load(state.folder) is not None:
            conclude(state, 0)
            return
        said = _state(job)
        # Of a job of an array that is cancelled before it begins, accounting keeps no word.
        gone = said == "UNKNOWN"
        if gone and not self.answered:
            return
        if not gone and not job.watcher.is_done(job.job_id, mode="cache"):
            self.known.add(run_id)
            self.ended.pop(run_id, None)
            if _status(job) == "running" and state.status != "running":
                state.began = time.monotonic()
            state.status = _status(job)
            state.progress = read_progress(state.folder) or state.progress
            return
        now = time.monotonic()
        patience = {"COMPLETED": SETTLE_SECONDS, "UNKNOWN": SETTLE_SECONDS}.get(said, 0.0)
        if gone and run_id not in self.known:
            patience = KNOWN_SECONDS
        if now - self.ended.setdefault(run_id, now) >= patience:
            if gone:  # the next command need not ask again
                (state.folder / JOB).unlink(missing_ok=True)
            conclude(state, 0 if said == "COMPLETED" else 1)
            if state.status == "failed":
                said = "not known any more; cancelled before it began?" if gone else said
                state.tail += f"\nSLURM's job {job.job_id}: {said}; see {logs(self.output)}"

    def _keep_deadline(self, states: list[RunState]) -> None:
        if self.deadline is None or time.monotonic() < self.deadline:
            return
        for state in states:
            if state.status == "queued":
                name = self.jobs[state.job.run.run_id].job_id
                # What has begun since the last look goes on.
                subprocess.run(["scancel", "--state=PENDING", name])
                state.status = "waiting"


_ALIVE = ("queued", "running")


def logs(output: Path) -> Path:
    """Folder of what submitit and SLURM write of jobs."""
    return output / ".slurm"


def submit(output: Path, trainer: Trainer, tasks: list[Task]) -> list[Any]:
    """Submit tasks as one array of submitit's jobs.

    Raises:
        ConfigError: SLURM does not take them, in its own words.
    """
    import submitit
    from submitit.core.utils import FailedJobError

    found = options(trainer)
    executor = submitit.SlurmExecutor(logs(output) / "%j", max_num_timeout=sys.maxsize)
    executor.update_parameters(
        job_name="ablations",
        time=trainer.slurm.minutes,
        signal_delay_s=SIGNAL_SECONDS,
        array_parallelism=trainer.parallel or len(tasks),
        additional_parameters={"requeue": True},
        # Since SLURM 22.05 a step no longer takes over what its job has.
        srun_args=[f"--cpus-per-task={found['cpus_per_task']}", "--kill-on-bad-exit=1"],
        **found,
    )
    try:
        with executor.batch():
            jobs = [executor.submit(task) for task in tasks]
    except FailedJobError as error:
        raise ConfigError(f"trainer=slurm: sbatch failed: {_last_line(str(error))}") from None
    return jobs


def known_jobs(folders: list[Path]) -> dict[Path, SlurmJob]:
    """The jobs that runs were last submitted as, where they are queued or running."""
    paths = {folder: folder / JOB for folder in folders if (folder / JOB).exists()}
    if not paths:
        return {}
    import submitit

    now, jobs = time.time(), {}
    for folder, path in paths.items():
        name = json.loads(path.read_text())["job"]
        jobs[folder] = submitit.SlurmJob(logs(folder.parent) / "%j", name)
    submitit.SlurmJob.watcher.update()
    return {
        folder: job
        for folder, job in jobs.items()
        if not job.watcher.is_done(job.job_id, mode="cache")
        and (_state(job) != "UNKNOWN" or now - paths[folder].stat().st_mtime < KNOWN_SECONDS)
    }


def _sacct(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sacct", "--format=JobID", *words], capture_output=True, text=True)


def _state(job: SlurmJob) -> str:
    return job.watcher.get_state(job.job_id, mode="cache")


def _status(job: SlurmJob) -> str:
    return "running" if _state(job) in {"RUNNING", "COMPLETING"} else "queued"


def _last_line(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1].removeprefix("sbatch: ").removeprefix("error: ") if lines else "no word why"
