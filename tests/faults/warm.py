"""Runs in processes that have loaded torch: a hundred cost as much as ten whole commands."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from faults.injection import Fault, install

from ablations.config import Config, Job
from ablations.data import store as store_module
from ablations.data.store import prepare
from ablations.errors import ended_in_words
from ablations.launch.pool import freeze

_context = multiprocessing.get_context("forkserver")
SECONDS = 60.0


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes:
        code: Exit code; the number of a signal that ended it, negative.
        said: Its output.
        orphans: What it left running.
    """

    code: int
    said: str
    orphans: list[str]


def preload() -> None:
    """Load torch and the suite once, in the server that forks all processes from now on."""
    _context.set_forkserver_preload(
        [
            "ablations.training.fit",
            "ablations.train",
            "ablations.data.huggingface",
            "faults.warm",
        ]
    )


def start(work: Callable[[], None], output: Path, fault: Fault | None = None) -> Ended:
    """Carry out ``work`` in a process of its own, under a fault, and wait for its end."""
    process = _context.Process(target=_carry_out, args=(work, output, fault))
    process.start()
    process.join(SECONDS)
    stuck = process.is_alive()
    orphans = _left(process.pid or 0, 0.0 if stuck else 3.5)
    for pid in _session(process.pid or 0):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.join()
    return Ended(process.exitcode or 0, output.read_text(errors="replace"), orphans)


def _carry_out(work: Callable[[], None], output: Path, fault: Fault | None) -> None:
    os.setsid()
    handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    if fault:
        install(fault)
    work()


@dataclass(frozen=True)
class Training:
    """Prepares the data of a run, freezes and trains it, as the two commands do.

    Attributes:
        config: The run, without its data.
        cache: Folder of the stores.
        output: Folder of the runs.
        large: Whether the store counts as one that is too large to be verified at the start.
    """

    config: Config
    cache: Path
    output: Path
    large: bool = False

    def __call__(self) -> None:
        if self.large:
            store_module.VERIFIED_BYTES = 0
        with ended_in_words():
            store = prepare(self.config.data, self.cache)
            run = self.config.run.on_data(store.fingerprint, store.name)
            job = Job(
                run=run,
                experiment=self.config.experiment,
                arm="baseline",
                label="baseline",
                trainer=self.config.trainer,
                logger=self.config.logger,
                store=str(store.path),
            )
            folder = self.output / run.run_id
            freeze(job, folder)
        Frozen(folder)()


@dataclass(frozen=True)
class Frozen:
    """Trains the run of a folder: ``python -m ablations.train FOLDER``.

    Attributes:
        folder: The run's folder.
    """

    folder: Path

    def __call__(self) -> None:
        from ablations.train import main

        main([str(self.folder)])


# Processes


def _session(number: int) -> Iterator[int]:
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            # After the name in parentheses: state, parent, group, session.
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == number and fields[0] != "Z":
                yield int(entry.name)


def _left(number: int, seconds: float) -> list[str]:
    deadline = time.monotonic() + seconds
    while (alive := list(_session(number))) and time.monotonic() < deadline:
        time.sleep(0.05)
    return [str(pid) for pid in alive]
