"""Train the runs of a plan, in parallel on the slots of this machine."""

import json
import multiprocessing
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Literal

from ablations.config import ConfigError, Job
from ablations.errors import MORE_MEMORY, describe_end, plain
from ablations.launch import COMMAND
from ablations.launch.devices import allocate, take
from ablations.launch.worker import LOG, run_process
from ablations.record import PROGRESS, Record, load

POLL_SECONDS = 0.25
GRACE_SECONDS = 15.0
TAIL_LINES = 15
# Signals that a terminal, a service manager and SLURM send to all processes of a command. They are
# blocked in the fork server, because only the command itself may end its runs.
GROUP_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGUSR2}
SPINS = "10000"  # iterations that a waiting OpenMP thread spins before it sleeps

Status = Literal["waiting", "queued", "running", "finished", "diverged", "failed", "stopped"]
ALIVE: tuple[Status, ...] = ("queued", "running")
UNFINISHED: tuple[Status, ...] = ("waiting", "stopped", *ALIVE)

_context = multiprocessing.get_context("forkserver")


@dataclass
class RunState:
    """The current state of a run.

    Attributes:
        job: The job.
        folder: The run's folder.
        status: ``waiting`` for a device, ``queued`` by SLURM, ``running``, or how it ended.
        progress: Latest contents of ``progress.json``.
        record: The record, once the run is done.
        tail: Last lines of the log, once the run has failed.
        awaits: ``core`` or ``GPU`` while other commands hold all that this run could use.
    """

    job: Job
    folder: Path
    status: Status = "waiting"
    progress: dict[str, Any] = field(default_factory=dict)
    record: Record | None = None
    tail: str = ""
    awaits: str = ""

    def read_progress(self) -> None:
        """Read the latest progress; a missing or damaged file leaves it as it was."""
        with suppress(OSError, ValueError):
            self.progress = json.loads((self.folder / PROGRESS).read_bytes())

    def conclude(self, exitcode: int) -> None:
        """Set the final state, after the process has ended, from the record or the log."""
        try:
            self.record = load(self.folder)
        except ConfigError as error:
            self.fail(f"error: {error}")
            return
        if self.record is not None:
            self.status = self.record.status
        elif exitcode == 0 and self.job.fast_dev_run:
            self.status = "finished"
        else:
            self.fail(tail(self.folder, exitcode))

    def fail(self, reason: str) -> None:
        """Mark the run as failed."""
        self.status, self.tail = "failed", reason


def warm_up() -> None:
    """Start the server that forks the runs; it imports torch and Lightning in the background."""
    if multiprocessing.get_start_method() not in multiprocessing.get_all_start_methods():
        # A joblib worker has a start method that the server does not know.
        multiprocessing.set_start_method("forkserver", force=True)
    _context.set_forkserver_preload(["ablations.launch.preload"])
    # OpenMP reads this once, when torch is loaded. On a busy machine, threads that spin for long
    # slow each other down; on an idle one, two threads that do not spin are hardly faster than one.
    chosen = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ)
    own = {COMMAND: str(os.getpid())} | ({} if chosen else {"GOMP_SPINCOUNT": SPINS})
    os.environ.update(own)
    # Started before the signals are blocked, because starting it unblocks them.
    multiprocessing.resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, GROUP_SIGNALS)
    multiprocessing.forkserver.ensure_running()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    for name in own:
        del os.environ[name]


class Pool:
    """Runs each job in its own process until all are done.

    A failed run does not stop the others. Runs start in the order of their jobs, on the devices
    that no other run uses.

    Args:
        output: Folder of the runs.
        watch: Called a few times a second with the state of every run.
        deadline: Value of ``time.monotonic()`` after which no run is started; the remaining runs
            stay ``waiting``.
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
        self.slots = cache(allocate)  # looks for the devices once
        self.running: dict[int, tuple[ForkServerProcess, RunState, ExitStack]] = {}

    def run(self, jobs: list[Job]) -> list[RunState]:
        """Train ``jobs``, in order where they have to wait, and return their states.

        Raises:
            SystemExit: After SIGINT or SIGTERM, with 128 plus its number. The running processes
                have ended, those on one device with a checkpoint.
        """
        states = [RunState(job, run_folder(self.output, job)) for job in jobs]
        with collect_signals() as received:
            waiting = deque(states)
            while (waiting and self._may_start(received)) or self.running:
                while waiting and self._may_start(received) and self._start(waiting[0]):
                    waiting.popleft()
                if self.running:
                    wait(list(self.running), timeout=POLL_SECONDS)
                elif waiting:  # other commands hold every device
                    gpus = self.slots(waiting[0].job.trainer)[0].gpus
                    waiting[0].awaits = "GPU" if gpus else "core"
                    time.sleep(POLL_SECONDS)
                if received:
                    self._stop()
                for sentinel, (process, state, locks) in list(self.running.items()):
                    if process.exitcode is not None:
                        del self.running[sentinel]
                        locks.close()
                        state.conclude(process.exitcode)
                    else:
                        state.read_progress()
                self.watch(states)
        if received:
            print("Interrupted. Run the same command to resume.", file=sys.stderr)
            sys.exit(128 + received[0])
        return states

    def _may_start(self, received: list[int]) -> bool:
        return not received and (self.deadline is None or time.monotonic() < self.deadline)

    def _start(self, state: RunState) -> bool:
        """Start a run, or mark it as failed; return False if it has to wait for a device."""
        trainer = state.job.trainer
        if trainer.parallel and len(self.running) >= trainer.parallel:
            return False
        if (taken := take(self.slots(trainer))) is None:
            return False
        slot, locks = taken
        state.awaits = ""
        # The server keeps the environment of its start; W&B may have been set offline since.
        process = _context.Process(
            target=run_process, args=(state.folder, slot.gpus, os.environ.get("WANDB_MODE"))
        )
        try:
            freeze(state.job, state.folder)
            process.start()
        except (OSError, EOFError) as error:  # EOFError: the server has ended
            problem = plain(error) or "cannot start a process"
            state.fail(f"error: {problem}; next step: fix this, then repeat the command")
            locks.close()
        else:
            state.status = "running"
            self.running[process.sentinel] = (process, state, locks)
        return True

    def _stop(self) -> None:
        """Send SIGTERM to the running processes, and after ``GRACE_SECONDS`` SIGKILL."""
        deadline = time.monotonic() + GRACE_SECONDS
        for process, state, _ in self.running.values():
            state.status = "stopped"
            process.terminate()
        for process, _, _ in self.running.values():
            process.join(max(0.0, deadline - time.monotonic()))
            assert process.pid
            with suppress(ProcessLookupError):
                # The whole group, which includes children of a killed process.
                os.killpg(process.pid, signal.SIGKILL)
            process.join()
        self.running.clear()


def freeze(job: Job, folder: Path) -> None:
    """Write the configuration that the processes of a run read, and remove earlier progress."""
    folder.mkdir(parents=True, exist_ok=True)
    job.save(folder)
    (folder / PROGRESS).unlink(missing_ok=True)


def run_folder(output: Path, job: Job) -> Path:
    """Return the folder of a run; a fast dev run has its own, and does not change the run's."""
    return output / (".fast_dev_run" if job.fast_dev_run else "") / job.run.run_id


def tail(folder: Path, exitcode: int) -> str:
    """Return the last lines of a run's log and, if they give no reason, how its process ended.

    Args:
        folder: The run's folder.
        exitcode: Exit code of the process, see :func:`describe_end`.
    """
    path = folder / LOG
    lines = path.read_text(errors="replace").splitlines()[-TAIL_LINES:] if path.exists() else []
    end = describe_end(exitcode)
    if "SIGKILL" in end:
        end += f"; next step: {MORE_MEMORY}"
    if not lines or not end.startswith("exit code"):
        lines.append(f"error: process of the run: {end}")
    return "\n".join(lines)


@contextmanager
def collect_signals() -> Iterator[list[int]]:
    """Collect the numbers of received SIGINT and SIGTERM in a list, instead of exiting."""
    received: list[int] = []
    before = {
        number: signal.signal(number, lambda number, frame: received.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
