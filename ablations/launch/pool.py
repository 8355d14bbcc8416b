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
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Literal

from ablations.config import ConfigError, Job, Trainer
from ablations.errors import MORE_MEMORY, describe_end, plain
from ablations.launch import COMMAND
from ablations.launch.devices import Devices, Slot
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

    A failed run does not stop the others. Runs with the same hardware settings are trained in
    parallel on the devices that other commands leave free; runs with other settings follow.

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
        self.running: dict[int, tuple[ForkServerProcess, RunState, Slot]] = {}

    def run(self, jobs: list[Job]) -> list[RunState]:
        """Train ``jobs``, in order where they have to wait, and return their states.

        Raises:
            SystemExit: After SIGINT or SIGTERM, with 128 plus its number. The running processes
                have ended, those on one device with a checkpoint.
        """
        states = [RunState(job, run_folder(self.output, job)) for job in jobs]
        with collect_signals() as received:
            for trainer, group in by_hardware(states).items():
                self._run_group(Devices(trainer), group, states, received)
        if received:
            print("Interrupted. Run the same command to resume.", file=sys.stderr)
            sys.exit(128 + received[0])
        return states

    def _run_group(
        self, devices: Devices, group: list[RunState], states: list[RunState], received: list[int]
    ) -> None:
        waiting = deque(group)
        while (waiting and self._may_start(received)) or self.running:
            while waiting and self._may_start(received):
                if (slot := devices.take()) is None:
                    break
                waiting[0].awaits = ""
                self._start(waiting.popleft(), devices, slot)
            if self.running:
                wait(list(self.running), timeout=POLL_SECONDS)
            else:  # other commands hold every device
                if waiting:
                    waiting[0].awaits = "GPU" if devices.slots[0].gpus else "core"
                time.sleep(POLL_SECONDS)
            if received:
                self._stop()
            for sentinel, (process, state, slot) in list(self.running.items()):
                if process.exitcode is not None:
                    del self.running[sentinel]
                    devices.give_back(slot)
                    conclude(state, process.exitcode)
                elif progress := read_progress(state.folder):
                    state.progress = progress
            self.watch(states)

    def _may_start(self, received: list[int]) -> bool:
        return not received and (self.deadline is None or time.monotonic() < self.deadline)

    def _start(self, state: RunState, devices: Devices, slot: Slot) -> None:
        if not freeze(state):
            devices.give_back(slot)
            return
        # The server keeps the environment of its start; W&B may have been set offline since.
        process = _context.Process(
            target=run_process, args=(state.folder, slot, os.environ.get("WANDB_MODE"))
        )
        try:
            process.start()
        except (OSError, EOFError) as error:  # there is no memory, or the server has ended
            fail(state, f"error: cannot start a process ({error!r}); next step: {MORE_MEMORY}")
            devices.give_back(slot)
            return
        state.status = "running"
        self.running[process.sentinel] = (process, state, slot)

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


def freeze(state: RunState) -> bool:
    """Write the configuration that the processes of a run read, and remove earlier progress.

    Returns:
        Whether it was written; if not, the run is marked as failed.
    """
    try:
        state.folder.mkdir(parents=True, exist_ok=True)
        state.job.save(state.folder)
        (state.folder / PROGRESS).unlink(missing_ok=True)
    except OSError as error:
        fail(state, f"error: {plain(error)}; next step: fix this, then repeat the command")
        return False
    return True


def fail(state: RunState, line: str) -> None:
    """Mark a run as failed, with the reason."""
    state.status, state.tail = "failed", line


def run_folder(output: Path, job: Job) -> Path:
    """Return the folder of a run; a fast dev run has its own, and does not change the run's."""
    return output / (".fast_dev_run" if job.fast_dev_run else "") / job.run.run_id


def by_hardware(states: list[RunState]) -> dict[Trainer, list[RunState]]:
    """Group runs by their hardware settings."""
    groups: dict[Trainer, list[RunState]] = {}
    for state in states:
        groups.setdefault(state.job.trainer, []).append(state)
    return groups


def conclude(state: RunState, exitcode: int) -> None:
    """Set the state of a run whose process has ended, from its record or its log."""
    try:
        state.record = load(state.folder)
    except ConfigError as error:
        fail(state, f"error: {error}")
        return
    if state.record is not None:
        state.status = state.record.status
    elif exitcode == 0 and state.job.fast_dev_run:
        state.status = "finished"
    else:
        fail(state, tail(state.folder, exitcode))


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


def read_progress(folder: Path) -> dict[str, Any] | None:
    """Return the latest progress of a run; None if its file is missing or damaged."""
    with suppress(OSError, ValueError):
        return json.loads((folder / PROGRESS).read_bytes())
    return None


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
