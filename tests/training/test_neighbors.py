from pathlib import Path

import numpy as np
import pytest
import torch
from finished import trained_network

from ablations.config import Job
from ablations.data.store import Store
from ablations.record import Record


def test_the_record_has_the_agreement_of_its_network(record: Record, finished: Path):
    data = Store(Path(Job.load(finished).store))
    hidden = torch.nn.Sequential(*list(trained_network(finished).children())[:-1])
    train, _ = data.split(None, 11)
    mean = torch.tensor(data.mean_image)[2:14, 2:14]

    def inputs(images: np.ndarray) -> torch.Tensor:
        return (torch.tensor(images)[:, 2:14, 2:14] - mean).permute(0, 3, 1, 2)

    asked, known = inputs(data.test_images[:]), inputs(data.train_images[train])
    spaces = {"pixels": (asked.flatten(1), known.flatten(1))}
    with torch.no_grad():
        spaces["features"] = (hidden(asked), hidden(known))
    assert record.neighbors is not None
    assert (record.neighbors.queries, record.neighbors.references) == (23, 49)
    for name, (ours, theirs) in spaces.items():
        nearest = data.train_labels[train[torch.cdist(ours, theirs).argmin(1).numpy()]]
        expected = (nearest == data.test_labels).mean()
        assert getattr(record.neighbors, name) == pytest.approx(expected)
