"""``python ablations/run.py``: one training run, or with ``-m`` a sweep and its table."""

import sys
from pathlib import Path

if __package__ in {None, ""}:
    # Started as a file: the folder above holds the package, and this one must not shadow others.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from ablations import composition
from ablations.launch.task import train_one


def main() -> None:
    """Entry of the command."""
    composition.main(train_one)


if __name__ == "__main__":
    main()
