"""Train a frozen run; for several devices or nodes, with a process for each device by torchrun.

Lightning's own launcher would start the whole Hydra sweep again for each further device. Under
torchrun, Lightning finds the ranks' environment variables and starts no process.
"""

import logging
import os
import signal
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ablations.config import ConfigError, Job, Trainer
from ablations.errors import describe_end, explain_failure
from ablations.files import remove_partial
from ablations.record import load

# Nodes of one job may start minutes apart, while they pull images or mount file systems.
JOIN_SECONDS = 600


def train_frozen(folder: Path, *, wait: bool = False) -> None:
    """Train the run whose ``config.yaml`` is in ``folder``, unless it has a record.

    A run on one device is trained in this process, and so is the part of a rank of torchrun. For
    several devices, this process is torchrun's agent. For several nodes in a SLURM allocation, srun
    starts an agent on each.

    Args:
        folder: The run's folder.
        wait: If another process trains the run, wait for it instead of raising an error.

    Raises:
        ConfigError: The run cannot be trained here.
        SystemExit: A rank failed, or a signal ended the run.
    """
    # Imported here, because the command itself does not import torch.
    from torch.distributed.elastic.multiprocessing.errors import record

    if load(folder) is not None:
        return
    job = Job.load(folder)
    devices, nodes = job.trainer.devices, job.trainer.num_nodes
    if "RANK" in os.environ:
        if int(os.environ["WORLD_SIZE"]) != devices * nodes:
            raise _needs_torchrun(folder, job.trainer, f"not by {os.environ['WORLD_SIZE']}")
        record(_train)(job, folder)  # the agent shows the error of the rank that failed first
    elif nodes > 1 and os.environ.get("SLURM_STEP_NUM_TASKS") == str(nodes):
        _run_agent(folder, job.trainer)
    else:
        if nodes > 1 and "SLURM_JOB_ID" not in os.environ:
            raise _needs_torchrun(folder, job.trainer, "on all nodes")
        try:
            with FileLock(folder / "lock", timeout=-1 if wait else 0):
                if load(folder) is not None:
                    return
                remove_partial(folder)
                if nodes > 1:
                    _run_on_nodes(folder, nodes)
                elif devices > 1:
                    _run_agent(folder, job.trainer)
                else:
                    _train(job, folder)
        except Timeout:
            raise ConfigError(f"{folder}: another process is training this run") from None


def torchrun_options(folder: Path, trainer: Trainer, endpoint: str = "HOST:29500") -> list[str]:
    """Return torchrun's arguments that train the run in ``folder``.

    Args:
        folder: The run's folder.
        trainer: Its hardware.
        endpoint: Host and port where several nodes meet.
    """
    several = (
        f"--nnodes={trainer.num_nodes}",
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint={endpoint}",
        f"--rdzv-id={folder.name}",
    )
    return [
        *(several if trainer.num_nodes > 1 else ["--standalone"]),
        f"--nproc-per-node={trainer.devices}",
        *("-m", "ablations.train", str(folder)),
    ]


def _needs_torchrun(folder: Path, trainer: Trainer, problem: str) -> ConfigError:
    return ConfigError(
        f"{folder}: must be trained by {trainer.devices * trainer.num_nodes} processes, {problem}; "
        f"next step: torchrun {' '.join(torchrun_options(folder, trainer))}"
    )


def _train(job: Job, folder: Path) -> None:
    from ablations.training.fit import train

    try:
        train(job, folder)
    except Exception as error:
        if line := explain_failure(error, folder):
            raise ConfigError(line) from None
        raise


def _run_agent(folder: Path, trainer: Trainer) -> None:
    """Run torchrun in this process; if ranks fail, exit with the error of the first."""
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    options = torchrun_options(folder, trainer)
    if trainer.num_nodes > 1:
        host = SLURMEnvironment.resolve_root_node_address(os.environ["SLURM_STEP_NODELIST"])
        port = 15_000 + zlib.crc32(folder.name.encode()) % 15_000
        options = torchrun_options(folder, trainer, f"{host}:{port}")
        options.insert(0, f"--rdzv-conf=read_timeout={JOIN_SECONDS}")
    # The failure is reported once, below.
    for name in ("agent.server.api", "multiprocessing.api", "multiprocessing.errors.error_handler"):
        logging.getLogger(f"torch.distributed.elastic.{name}").setLevel(logging.CRITICAL)
    try:
        torchrun.main(options)
    except SignalException as error:
        sys.exit(128 + error.sigval)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        # Printed last, because the command shows the end of the log.
        sys.exit(
            f"{_reason(failure).rstrip()}\n"
            f"rank {rank} failed first ({describe_end(failure.exitcode)})"
        )


def _reason(failure: Any) -> str:
    """Return a rank's error: the line of a ConfigError, or the traceback of any other."""
    if not isinstance(failure.message, dict):
        return str(failure.message)
    text = str(failure.message["message"])  # written by torch's decorator `record` in the rank
    if text.startswith("ConfigError: "):
        return text.replace("ConfigError", "error", 1)
    return str(failure.message["extraInfo"]["py_callstack"])


def _run_on_nodes(folder: Path, nodes: int) -> None:
    """Start an agent on each node of a SLURM allocation; srun forwards SIGTERM to them."""
    options = [f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"]
    if cores := os.environ.get("SLURM_CPUS_PER_TASK"):  # a step does not inherit it
        options.append(f"--cpus-per-task={cores}")
    program = [sys.executable, "-m", "ablations.train", str(folder)]
    process = subprocess.Popen(["srun", *options, "--overlap", "--kill-on-bad-exit=1", *program])
    signal.signal(signal.SIGTERM, lambda *given: process.terminate())
    if process.wait():
        sys.exit(process.returncode)
