"""One rank of a run on several devices: ``python -m ablations.launch.rank FOLDER ACCELERATOR PID``.

PID is that of the agent which starts it.
"""

import os
import signal
import sys
from pathlib import Path

from torch.distributed.elastic.multiprocessing.errors import record

from ablations.config import Job
from ablations.launch.worker import end_with_parent
from ablations.train import train


@record
def main() -> None:
    """Train with the other ranks; the agent's environment says which one this is."""
    if os.getpgid(0) != os.getpid():  # some versions of torch start ranks as leaders of a session
        os.setpgid(0, 0)
    # Named by the agent: it may have died while this process was loading torch.
    end_with_parent(int(sys.argv[3]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    folder = Path(sys.argv[1])
    train(Job.load(folder), folder, sys.argv[2])


if __name__ == "__main__":
    main()
