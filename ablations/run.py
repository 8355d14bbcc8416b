"""``python ablations/run.py`` trains one run, or with ``-m`` a sweep, and prints a table."""

import sys
from pathlib import Path

if __package__ in {None, ""}:
    # Run as a file: import from the folder above, so that no module here shadows a library.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from ablations import composition
from ablations.launch.task import train_one


def main() -> None:
    """Run the command."""
    composition.main(train_one)


if __name__ == "__main__":
    main()
