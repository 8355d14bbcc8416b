"""Carries out the runs of a plan as jobs of SLURM: an array for each sweep, a job for each run.

The records stay the only state of a run. Beside them, ``slurm.json`` in a run's folder names its
latest job, so that a command that comes back submits nothing that is queued or running. submitit
submits the jobs and queues them again; their states are ``squeue``'s, as SLURM's accounting, which
submitit reads, learns late of a job and never of one of an array that is cancelled in the queue.
"""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Any

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
from ablations.record import RECORD

JOB = "slurm.json"
STATE_SECONDS = 5.0
LOOK_SECONDS = 0.5
# Records on a shared filesystem may be seen a little after their job has ended.
SETTLE_SECONDS = 10.0
# SLURM signals so long before the time limit: enough for a step and a checkpoint.
SIGNAL_SECONDS = 120

_ALIVE = ("queued", "running")
# States that a job does not leave; every other one is of a job that is queued or running.
_ENDED = {
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY"),
    *("PREEMPTED", "TIMEOUT"),
}


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
    if missing := [name for name in ("sbatch", "squeue", "srun") if which(name) is None]:
        raise ConfigError(
            f"trainer=slurm: there is no command {missing[0]} here; start this on a login node of "
            "the cluster, or train on this machine with trainer=auto"
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
    states = job_states()
    alive = sum(_is_alive(states.get(_last_job(output / job.run.run_id))) for job in jobs)
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
        self.jobs: dict[Path, str] = {}  # names of SLURM's jobs by the folder of their run
        self.states: dict[str, str] = {}  # what SLURM last said of each job
        self.ended: dict[Path, float] = {}  # when a job was first seen to have ended

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
                for trainer, group in by_hardware(states).items():
                    self._submit(trainer, [one for one in group if one.status == "waiting"])
            self._watch(states, received)
        if received:
            left = [self.jobs[one.folder] for one in states if one.status in _ALIVE]
            print(
                f"{len(left)} jobs go on in SLURM; the same command watches them again, and "
                f"`scancel {' '.join(sorted({name.split('_')[0] for name in left}))}` ends them",
                file=sys.stderr,
            )
            sys.exit(128 + received[0])
        return states

    def _adopt(self, states: list[RunState]) -> None:
        """Find the runs that an earlier command has submitted."""
        self.states = job_states()
        for state in states:
            name = _last_job(state.folder)
            if _is_alive(said := self.states.get(name)):
                self.jobs[state.folder] = name
                state.status = _status(said)

    def _submit(self, trainer: Trainer, states: list[RunState]) -> None:
        if not states or (self.deadline is not None and time.monotonic() >= self.deadline):
            return
        states = [state for state in states if freeze(state)]
        if not states:
            return
        names = submit(self.output, trainer, [Task(self.output, state.job) for state in states])
        for state, name in zip(states, names, strict=True):
            write_atomically(state.folder / JOB, json.dumps({"job": name}))
            self.jobs[state.folder] = name
            self.states[name] = "PENDING"
            state.status = "queued"

    def _watch(self, states: list[RunState], received: list[int]) -> None:
        asked = -STATE_SECONDS
        while not received:
            if time.monotonic() - asked >= STATE_SECONDS:
                with suppress(ConfigError):  # without an answer they are as they were
                    self.states = job_states()
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

    def _look(self, state: RunState) -> None:
        name = self.jobs[state.folder]
        said = self.states.get(name)
        if (state.folder / RECORD).exists():
            conclude(state, 0)
        elif _is_alive(said):
            self.ended.pop(state.folder, None)  # a job that is queued again had ended
            state.status = _status(said)
            state.progress = read_progress(state.folder) or state.progress
        elif time.monotonic() - self.ended.setdefault(state.folder, time.monotonic()) >= (
            SETTLE_SECONDS
        ):
            conclude(state, 0 if said == "COMPLETED" else 1)
            if state.status == "failed":
                why = said or "no longer known"
                state.tail += f"\nSLURM's job {name}: {why}; see {logs(self.output)}"

    def _keep_deadline(self, states: list[RunState]) -> None:
        if self.deadline is None or time.monotonic() < self.deadline:
            return
        for state in states:
            if state.status == "queued":
                # What has begun since the last look goes on.
                subprocess.run(["scancel", "--state=PENDING", self.jobs[state.folder]])
                state.status = "waiting"


def logs(output: Path) -> Path:
    """Folder of what submitit and SLURM write of jobs."""
    return output / ".slurm"


def submit(output: Path, trainer: Trainer, tasks: Sequence[Task]) -> list[str]:
    """Submit tasks as one array, and return the names of its jobs.

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
    return [job.job_id for job in jobs]


def job_states() -> dict[str, str]:
    """Return the state of each of this user's jobs that SLURM remembers, by its name.

    Raises:
        ConfigError: SLURM does not answer.
    """
    words = ["squeue", "--me", "--array", "--states=all", "--noheader", "--format=%i %T"]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise ConfigError(f"trainer=slurm: squeue fails here: {_last_line(done.stderr)}")
    return dict(line.split(maxsplit=1) for line in done.stdout.splitlines())


def _last_job(folder: Path) -> str:
    """Name of the job that a run was last submitted as; empty if it never was."""
    path = folder / JOB
    return json.loads(path.read_text())["job"] if path.exists() else ""


def _is_alive(said: str | None) -> bool:
    return said is not None and said not in _ENDED


def _status(said: str | None) -> str:
    return "running" if said in {"RUNNING", "COMPLETING"} else "queued"


def _last_line(text: str) -> str:
    """Return what a command of SLURM says last, without its name."""
    lines = [line for line in text.strip().splitlines() if line.strip()] or ["no reason given"]
    return re.sub(r"^\w+: (error: )?", "", lines[-1])
