"""What tests read of a finished run of ten classes."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from commands import numbers_of

from ablations import models
from ablations.config import Job
from ablations.models.pretrained import network_state, read_checkpoint
from ablations.record import CHECKPOINT, PREDICTIONS, Record, load


def loaded(folder: Path) -> Record:
    """The record in a folder, which has one."""
    record = load(folder)
    assert record is not None
    return record


def outcome(folder: Path) -> dict[str, Any]:
    """All of a run but times: its record, its predictions and its weights."""
    return {
        **numbers_of(loaded(folder)),
        "predictions": (folder / PREDICTIONS).read_bytes(),
        "weights": {name: value.numpy().tobytes() for name, value in weights(folder).items()},
    }


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Weights and running statistics of the network, by name."""
    return network_state(read_checkpoint(folder / CHECKPOINT))


def predictions(folder: Path) -> dict[str, np.ndarray]:
    """Probabilities by view."""
    with np.load(folder / PREDICTIONS) as file:
        return {view: file[view] for view in ("center", "ten_view")}


def trained_network(folder: Path) -> torch.nn.Module:
    """The network of a run, in evaluation mode."""
    network = models.build(Job.load(folder).run, 10)
    network.load_state_dict(weights(folder))
    return network.eval()
