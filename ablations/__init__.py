"""The AlexNet ablation suite tests the empirical claims of the 2012 paper."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ablations.trained import TrainedNetwork

__version__ = "0.1.0"


def load(run: str | Path, output: str | Path = "runs") -> "TrainedNetwork":
    """Load the network of a finished run, ready to classify images.

    Args:
        run: Id of the run, its first digits, or its folder.
        output: Folder of the runs, if ``run`` is an id.

    Returns:
        The network in evaluation mode, on the CPU, with its preprocessing.

    Raises:
        ConfigError: There is no such run, it has not finished or has diverged, or its checkpoint
            is missing or damaged.
    """
    from ablations.trained import TrainedNetwork  # imports torch, which takes seconds

    return TrainedNetwork.of_run(run, output)
