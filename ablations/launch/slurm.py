"""Carries out the runs of a plan as jobs of SLURM: an array for each sweep, a job for each run.

The records stay the only state of a run. Beside them, ``slurm.json`` in a run's folder names its
latest job, so that a command that comes back submits nothing that is queued or running.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
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
    read_progress,
    run_folder,
)
from ablations.launch.task import Task
from ablations.record import PROGRESS, load

QUEUE_SECONDS = 5.0
LOOK_SECONDS = 0.5
# Records on a shared filesystem may be seen a little after their job has left the queue.
SETTLE_SECONDS = 10.0
# SLURM signals so long before the time limit: enough for a step and a checkpoint.
SIGNAL_SECONDS = 120
_QUEUED = "PENDING REQUEUED REQUEUE_HOLD REQUEUE_FED SPECIAL_EXIT RESV_DEL_HOLD SUSPENDED STOPPED"
_RUNNING = "RUNNING CONFIGURING COMPLETING SIGNALING STAGE_OUT RESIZING"


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
    known = _jobs_of([output / job.run.run_id for job in jobs])
    states = queue_states() if known else {}
    alive = sum(_status(states.get(name, "")) is not None for name in known.values())
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
        self.names: dict[str, str] = {}  # of SLURM's jobs, by run id
        self.gone: dict[str, float] = {}  # when a job was first missed, by run id

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
            left = [self.names[one.job.run.run_id] for one in states if one.status in _ALIVE]
            print(
                f"{len(left)} jobs go on in SLURM; the same command watches them again, and "
                f"`scancel {' '.join(sorted({name.split('_')[0] for name in left}))}` ends them",
                file=sys.stderr,
            )
            sys.exit(128 + received[0])
        return states

    def _adopt(self, states: list[RunState]) -> None:
        """Find the runs that an earlier command has submitted."""
        known = _jobs_of([state.folder for state in states])
        in_queue = queue_states() if known else {}
        for state in states:
            name = known.get(state.folder, "")
            if status := _status(in_queue.get(name, "")):
                state.status, state.began = status, time.monotonic()
                self.names[state.job.run.run_id] = name

    def _submit(self, trainer: Trainer, states: list[RunState]) -> None:
        if not states or (self.deadline is not None and time.monotonic() >= self.deadline):
            return
        for state in states:
            state.folder.mkdir(parents=True, exist_ok=True)
            state.job.save(state.folder)
            (state.folder / PROGRESS).unlink(missing_ok=True)
        names = submit(self.output, trainer, [Task(self.output, state.job) for state in states])
        for state, name in zip(states, names, strict=True):
            write_atomically(state.folder / "slurm.json", json.dumps({"job": name}))
            self.names[state.job.run.run_id] = name
            state.status = "queued"

    def _watch(self, states: list[RunState], received: list[int]) -> None:
        asked = -QUEUE_SECONDS
        in_queue: dict[str, str] | None = None
        while not received:
            if time.monotonic() - asked >= QUEUE_SECONDS:
                in_queue, asked = _ask_again(), time.monotonic()
                self._keep_deadline(states)
            for state in states:
                if state.status in _ALIVE:
                    self._look(state, in_queue)
            self.watch(states)
            alive = [state for state in states if state.status in _ALIVE]
            if not alive or all(state.job.trainer.slurm.detach for state in alive):
                return
            time.sleep(LOOK_SECONDS)

    def _look(self, state: RunState, in_queue: dict[str, str] | None) -> None:
        run_id = state.job.run.run_id
        if load(state.folder) is not None:
            conclude(state, 0)
            return
        if in_queue is None:  # SLURM did not answer: as before
            return
        said = in_queue.get(self.names[run_id], "")
        if status := _status(said):
            self.gone.pop(run_id, None)
            if status == "running" and state.status != "running":
                state.began = time.monotonic()
            state.status = status
            state.progress = read_progress(state.folder) or state.progress
            return
        first = self.gone.setdefault(run_id, time.monotonic())
        settled = time.monotonic() - first > SETTLE_SECONDS
        if said not in {"", "COMPLETED"} or settled:
            # SLURM forgets what ran after minutes, and at once a job of an array that never did.
            gone = "cancelled before it began" if state.status == "queued" else "not known any more"
            conclude(state, 0 if said == "COMPLETED" else 1)
            if state.status == "failed":
                what = said or gone
                state.tail += f"\nSLURM's job {self.names[run_id]}: {what}; see {logs(self.output)}"

    def _keep_deadline(self, states: list[RunState]) -> None:
        if self.deadline is None or time.monotonic() < self.deadline:
            return
        for state in states:
            if state.status == "queued":
                name = self.names[state.job.run.run_id]
                subprocess.run(["scancel", "--state=PENDING", name], capture_output=True)
                state.status = "waiting"


_ALIVE = ("queued", "running")


def logs(output: Path) -> Path:
    """Folder of what submitit and SLURM write of jobs."""
    return output / ".slurm"


def submit(output: Path, trainer: Trainer, tasks: list[Task]) -> list[str]:
    """Submit tasks as one array; returns the names of the jobs.

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


def queue_states() -> dict[str, str]:
    """SLURM's words for the user's jobs, by name; those that ended minutes ago included.

    Raises:
        ConfigError: SLURM does not answer.
    """
    done = subprocess.run(
        ["squeue", "--me", "--array", "--states=all", "--noheader", "--format=%i %T"],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise ConfigError(
            f"trainer=slurm: squeue failed: {_last_line(done.stderr)}; without it nobody knows "
            "which runs are queued already"
        )
    pairs = (line.split() for line in done.stdout.splitlines())
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def _ask_again() -> dict[str, str] | None:
    try:
        return queue_states()
    except ConfigError:  # a controller that is away for a while stops no watching
        return None


def _status(said: str) -> str | None:
    if said in _RUNNING.split():
        return "running"
    return "queued" if said in _QUEUED.split() else None


def _jobs_of(folders: list[Path]) -> dict[Path, str]:
    """Names of the latest jobs of runs, where there are any."""
    found = {}
    for folder in folders:
        if (folder / "slurm.json").exists():
            found[folder] = json.loads((folder / "slurm.json").read_text())["job"]
    return found


def _last_line(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1].removeprefix("sbatch: ").removeprefix("error: ") if lines else "no word why"
