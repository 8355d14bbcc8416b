"""``python -m ablations.train RUN_FOLDER`` trains one frozen run.

For several devices, start it with torchrun.
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
    """Run the command.

    Raises:
        SystemExit: With one line, if the folder or the number of processes is wrong.
    """
    parser = argparse.ArgumentParser(
        prog="python -m ablations.train",
        description="Train or resume a frozen run, and write its record.",
        epilog="For several devices: torchrun --standalone --nproc-per-node=N -m ablations.train "
        "RUN_FOLDER",
    )
    parser.add_argument(
        "folder", type=Path, metavar="RUN_FOLDER", help="folder with the config.yaml of a run"
    )
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
            raise ConfigError(f"{folder}: another process is training this run") from None


def _frozen(folder: Path) -> Job:
    if not (folder / "config.yaml").is_file():
        raise ConfigError(
            f"{folder}: not the folder of a run; next step: `python ablations/run.py` makes one in "
            "runs/"
        )
    job = Job.load(folder)
    devices, nodes = job.trainer.devices, job.trainer.num_nodes
    if int(os.environ.get("WORLD_SIZE", "1")) != devices * nodes:
        raise ConfigError(
            f"{folder}: must be trained by {devices * nodes} processes, but there are "
            f"{os.environ.get('WORLD_SIZE', '1')}; next step: torchrun --nnodes={nodes} "
            f"--nproc-per-node={devices} -m ablations.train {folder}"
        )
    return job


if __name__ == "__main__":
    main()
