"""Train the runs of a plan as SLURM jobs: an array per hardware setting, a job per run.

Records remain the only state of a run. ``slurm.json`` in a run's folder names its latest job, so
that a repeated command does not submit runs that are queued or running. submitit submits and
requeues the jobs. Their states come from ``squeue``: SLURM's accounting, which submitit reads, lags
behind, and misses jobs of an array that are cancelled while queued.
"""

import json
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
from ablations.launch.pool import RunState, Status, collect_signals, freeze, run_folder
from ablations.launch.slurm_task import Task
from ablations.record import RECORD
from ablations.words import count

JOB = "slurm.json"
STATE_SECONDS = 5.0
CHECK_SECONDS = 0.5
# A record on a shared filesystem may become visible only after its job has ended.
SETTLE_SECONDS = 10.0
# SLURM signals this long before the time limit: enough for a step and a checkpoint.
SIGNAL_SECONDS = 120

# Final states of a job; any other state means queued or running.
_ENDED = {
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY"),
    *("PREEMPTED", "TIMEOUT"),
}


def check(trainer: Trainer) -> None:
    """Check that SLURM would accept a job for one run, without submitting it.

    Raises:
        ConfigError: submitit or SLURM is missing, or SLURM refuses the job.
    """
    if find_spec("submitit") is None:
        raise ConfigError(
            "trainer=slurm: the package submitit is not installed; next step: "
            "pip install 'alexnet-ablations[slurm]'"
        )
    if which("sbatch") is None:
        raise ConfigError(
            "trainer=slurm: the command sbatch is not found; next step: run this on a login node "
            "of the cluster, or use trainer=auto to train on this machine"
        )
    given = {**options(trainer), "time": trainer.slurm.minutes}
    words = [f"--{key.replace('_', '-')}={value}" for key, value in given.items()]
    _ask("sbatch", "--test-only", *words, "--wrap=true")


def options(trainer: Trainer) -> dict[str, Any]:
    """Return the options of ``sbatch`` for one run, with one task per node."""
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
    """Return a line that describes the jobs to be submitted."""
    states = job_states()
    alive = sum(_is_alive(states.get(_last_job(output / job.run.run_id))) for job in jobs)
    each = [f"{key.replace('_', '-')}={value}" for key, value in options(trainer).items()]
    limit = f", at most {trainer.parallel} at once" if trainer.parallel else ""
    before = f"; {alive} queued or running already" if alive else ""
    return (
        f"{count(len(jobs) - alive, 'job')} to submit{limit}, each {' '.join(each)} "
        f"time={trainer.slurm.minutes}{before}"
    )


class Queue:
    """Runs jobs through SLURM until all are done, with the interface of :class:`Pool`.

    Args:
        output: Folder of the runs, on a filesystem that the nodes share.
        watch: Called a few times a second with the state of every run.
        deadline: Value of ``time.monotonic()`` after which no run is started; jobs that are queued
            then are cancelled, and their runs stay ``waiting``.
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
        self.jobs: dict[str, RunState] = {}  # runs that are queued or running, by job id
        self.ended: dict[str, float] = {}  # when a job was first found to have ended

    def run(self, jobs: list[Job]) -> list[RunState]:
        """Submit the jobs that are not queued or running, and wait until all are done.

        With ``trainer.slurm.detach`` it returns after one check, with some states ``queued`` or
        ``running``.

        Raises:
            ConfigError: SLURM refuses the jobs, or ``squeue`` fails at the start.
            SystemExit: After SIGINT or SIGTERM, with 128 plus its number. The jobs continue.
        """
        states = [RunState(job, run_folder(self.output, job)) for job in jobs]
        with collect_signals() as received:
            with FileLock(self.output / ".slurm.lock"):  # two commands must not submit one run
                self._adopt(states)
                for trainer in dict.fromkeys(job.trainer for job in jobs):
                    self._submit(trainer, states)
            self._watch(states, received)
        if received:
            arrays = sorted({name.split("_")[0] for name in self.jobs})
            print(
                f"{count(len(self.jobs), 'job')} left in SLURM; run the same command to watch "
                f"again, or `scancel {' '.join(arrays)}` to end them",
                file=sys.stderr,
            )
            sys.exit(128 + received[0])
        return states

    def _adopt(self, states: list[RunState]) -> None:
        """Find the runs that an earlier command submitted."""
        reported = job_states()
        for state in states:
            name = _last_job(state.folder)
            if _is_alive(reported.get(name)):
                self.jobs[name] = state
                state.status = _status(reported[name])

    def _submit(self, trainer: Trainer, states: list[RunState]) -> None:
        """Submit the waiting runs with these hardware settings."""
        states = [s for s in states if s.status == "waiting" and s.job.trainer == trainer]
        if not states or self._is_late():
            return
        for state in states:
            freeze(state.job, state.folder)
        names = submit(self.output, trainer, [state.folder for state in states])
        for name, state in zip(names, states, strict=True):
            write_atomically(state.folder / JOB, json.dumps({"job": name}))
            self.jobs[name] = state
            state.status = "queued"

    def _watch(self, states: list[RunState], received: list[int]) -> None:
        updated, reported = 0.0, dict.fromkeys(self.jobs, "PENDING")
        while not received:
            if time.monotonic() - updated >= STATE_SECONDS:
                with suppress(ConfigError):  # without an answer, keep the last states
                    reported = job_states()
                updated = time.monotonic()
                if self._is_late():
                    self._cancel_queued()
            for name, state in list(self.jobs.items()):
                self._update(name, state, reported.get(name))
            self.watch(states)
            # True as well if no job is left.
            if all(state.job.trainer.slurm.detach for state in self.jobs.values()):
                return
            time.sleep(CHECK_SECONDS)

    def _update(self, name: str, state: RunState, reported: str | None) -> None:
        done = (state.folder / RECORD).exists()
        if _is_alive(reported) and not done:
            self.ended.pop(name, None)  # the job may have been requeued after it ended
            state.status = _status(reported)
            state.read_progress()
            return
        now = time.monotonic()
        if not done and now - self.ended.setdefault(name, now) < SETTLE_SECONDS:
            return
        del self.jobs[name]
        state.conclude(0 if reported == "COMPLETED" else 1)
        if state.status == "failed":
            why = reported or "no longer known"
            state.tail += f"\nSLURM job {name}: {why}; see {logs(self.output)}"

    def _is_late(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline

    def _cancel_queued(self) -> None:
        for name, state in list(self.jobs.items()):
            if state.status == "queued":
                # Jobs that have started since the last check continue.
                subprocess.run(["scancel", "--state=PENDING", name])
                state.status = "waiting"
                del self.jobs[name]


def logs(output: Path) -> Path:
    """Return the folder of the files and logs of submitit and SLURM."""
    return output / ".slurm"


def submit(output: Path, trainer: Trainer, folders: Sequence[Path]) -> list[str]:
    """Submit frozen runs as one array, and return the ids of its jobs.

    Raises:
        ConfigError: ``sbatch`` fails.
    """
    import submitit
    from submitit.core.utils import FailedJobError

    given = options(trainer)
    executor = submitit.SlurmExecutor(logs(output) / "%j", max_num_timeout=sys.maxsize)
    executor.update_parameters(
        job_name="ablations",
        time=trainer.slurm.minutes,
        signal_delay_s=SIGNAL_SECONDS,
        array_parallelism=trainer.parallel or len(folders),
        additional_parameters={"requeue": True},
        # Since SLURM 22.05 a step no longer inherits its job's CPUs per task.
        srun_args=[f"--cpus-per-task={given['cpus_per_task']}", "--kill-on-bad-exit=1"],
        **given,
    )
    try:
        with executor.batch():
            jobs = [executor.submit(Task(folder)) for folder in folders]
    except FailedJobError as error:
        raise ConfigError(f"trainer=slurm: {_one_line(str(error))}") from None
    return [job.job_id for job in jobs]


def job_states() -> dict[str, str]:
    """Return the states of this user's jobs, as far as SLURM remembers them, by job id.

    Raises:
        ConfigError: ``squeue`` fails.
    """
    lines = _ask("squeue", "--me", "--array", "--states=all", "--noheader", "--format=%i %T")
    return dict(line.split(maxsplit=1) for line in lines.splitlines())


def _last_job(folder: Path) -> str:
    """Return the id of the last job of a run; empty if it was never submitted."""
    path = folder / JOB
    return json.loads(path.read_text())["job"] if path.exists() else ""


def _is_alive(reported: str | None) -> bool:
    return reported is not None and reported not in _ENDED


def _status(reported: str | None) -> Status:
    return "running" if reported in {"RUNNING", "COMPLETING"} else "queued"


def _ask(*words: str) -> str:
    """Return the output of a command of SLURM."""
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise ConfigError(
            f"trainer=slurm: `{' '.join(words)}` failed: {_one_line(done.stderr)}; next step: set "
            "trainer.slurm.* (see --help) to what `sinfo` lists, or try again if SLURM is down"
        )
    return done.stdout


def _one_line(text: str) -> str:
    return " ".join(text.split())
