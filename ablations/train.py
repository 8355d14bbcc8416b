"""The command that trains one frozen run: ``python -m ablations.train RUN_FOLDER``.

On several devices torchrun starts it once for each.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout
from torch.distributed.elastic.multiprocessing.errors import record as recorded

from ablations.config import ConfigError, Job
from ablations.errors import plain_errors
from ablations.files import remove_partial
from ablations.launch.worker import leave_out_deprecations
from ablations.record import load
from ablations.training.fit import train


@recorded  # torchrun shows the traceback of the rank that failed first
def main(arguments: Sequence[str] | None = None) -> None:
    """Entry of the command.

    Raises:
        SystemExit: With one line where the folder or the number of processes does not fit.
    """
    parser = argparse.ArgumentParser(
        prog="python -m ablations.train",
        description="Train a frozen run, or continue it, and write its record.",
        epilog="On several devices: torchrun --standalone --nproc-per-node=N -m ablations.train "
        "RUN_FOLDER",
    )
    parser.add_argument("folder", type=Path, metavar="RUN_FOLDER", help="holds its config.yaml")
    folder = parser.parse_args(arguments).folder
    leave_out_deprecations()
    with plain_errors(folder):
        job = _frozen(folder)
        if load(folder) is not None:
            return
        if os.environ.get("RANK", "0") != "0":
            train(job, folder)
            return
        try:
            with FileLock(folder / "lock", timeout=0):
                remove_partial(folder)
                train(job, folder)
        except Timeout:
            raise ConfigError(f"{folder}: another process trains this run at the moment") from None


def _frozen(folder: Path) -> Job:
    if not (folder / "config.yaml").is_file():
        raise ConfigError(
            f"{folder}: is not the folder of a run; `python ablations/run.py` makes one in runs/"
        )
    job = Job.load(folder)
    devices, nodes = job.trainer.devices, job.trainer.num_nodes
    if int(os.environ.get("WORLD_SIZE", "1")) != devices * nodes:
        raise ConfigError(
            f"{folder}: is to be trained by {devices * nodes} processes, here are "
            f"{os.environ.get('WORLD_SIZE', '1')}; torchrun --nnodes={nodes} "
            f"--nproc-per-node={devices} -m ablations.train {folder}"
        )
    return job


if __name__ == "__main__":
    main()
