"""One rank of a run on several devices, forked by the agent of its machine."""

import os
import signal
import sys
import time
from pathlib import Path

from torch.distributed import DistError

from ablations.config import Job
from ablations.launch.worker import end_with_parent
from ablations.train import train

# What the agent gets to see which rank was lost first, and to end the others.
FIRST_SECONDS = 3.0


def train_rank(folder: Path, accelerator: str, agent: int) -> None:
    """Train with the other ranks; the agent's environment says which one this is.

    Args:
        folder: The run's folder.
        accelerator: ``cpu`` or ``gpu``.
        agent: Process number of the agent, which may have died while it forked this process.
    """
    # The agent's own handlers came along with the fork; Ctrl-C in the terminal is not for ranks.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.setpgid(0, 0)
    end_with_parent(agent)
    # A rank that is killed leaves what it said in its log.
    sys.stdout.reconfigure(line_buffering=True)  # pyright: ignore
    try:
        train(Job.load(folder), folder, accelerator)
    except RuntimeError as error:
        # The agent reports one failure, and a rank that has lost another one is not the cause.
        if isinstance(error, DistError) or "gloo" in str(error):
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            time.sleep(FIRST_SECONDS)
        raise
