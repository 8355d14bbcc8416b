"""``python -m ablations.train RUN_FOLDER`` trains one frozen run.

For several devices it runs torchrun, which starts this command again for each device.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from ablations.config import ConfigError
from ablations.errors import ended_in_words
from ablations.launch.frozen import train_frozen
from ablations.launch.worker import end_with_parent, leave_out_deprecations


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command.

    Raises:
        SystemExit: With one line, if the folder or the number of processes is wrong.
    """
    parser = argparse.ArgumentParser(
        prog="python -m ablations.train",
        description="Train or resume a frozen run, and write its record.",
    )
    parser.add_argument(
        "folder", type=Path, metavar="RUN_FOLDER", help="folder with the config.yaml of a run"
    )
    folder = parser.parse_args(arguments).folder
    if "RANK" in os.environ:
        end_with_parent(os.getppid(), grace=0.5)  # torchrun's agent may be killed
    leave_out_deprecations()
    with ended_in_words():
        if not (folder / "config.yaml").is_file():
            raise ConfigError(
                f"{folder}: not the folder of a run; next step: `python ablations/run.py` makes "
                "one in runs/"
            )
        train_frozen(folder)


if __name__ == "__main__":
    main()
