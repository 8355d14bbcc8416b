from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from finished import trained_network

from ablations.config import Job
from ablations.data.store import Store
from ablations.record import Neighbors, Record
from ablations.training import neighbors as module
from ablations.training.neighbors import neighbor_agreement

# Images of one pixel: (pixel, feature, class).
TRAIN = [(0, 9, 0), (10, 0, 1), (20, 5, 0), (30, 2, 1)]
TEST = [(1, 2, 0), (19, 1, 1), (29, 6, 1), (2, 9, 1)]
# Nearest in pixels: 0, 2, 3, 0 of classes 0, 0, 1, 0; in features: 3, 1 (or 3), 2, 0 of classes
# 1, 1, 0, 0.
EXPECTED = Neighbors(features=1 / 4, pixels=2 / 4, queries=4, references=4)


def store(train=TRAIN, test=TEST) -> Store:
    """Return a store whose red channel is the pixel, and whose green channel the feature."""

    def images(rows) -> np.ndarray:
        return np.array([[[[pixel, feature, 0]]] for pixel, feature, _ in rows], np.uint8)

    def labels(rows) -> np.ndarray:
        return np.array([label for *_, label in rows], np.int64)

    return SimpleNamespace(  # type: ignore[return-value]
        train_images=images(train),
        train_labels=labels(train),
        test_images=images(test),
        test_labels=labels(test),
    )


def agreement(data: Store, rows=None) -> Neighbors:
    rows = np.arange(len(data.train_labels)) if rows is None else np.array(rows)
    seen: dict[int, float] = {}

    def inputs(pixels: torch.Tensor) -> torch.Tensor:
        flat = pixels.float().flatten(1)
        seen.update(zip(flat[:, 0].tolist(), flat[:, 1].tolist(), strict=True))
        return flat[:, :1, None, None]

    def features(x: torch.Tensor) -> torch.Tensor:
        return torch.tensor([[seen[value]] for value in x.flatten().tolist()])

    return neighbor_agreement(data, rows, inputs, features, torch.device("cpu"))


def test_agreement_by_hand():
    assert agreement(store()) == EXPECTED


def test_only_images_that_were_trained_on_are_references():
    # In pixels 3, 3, 3, 1: classes 1, 1, 1, 1. In features 3, 1, 3, 3: classes 1, 1, 1, 1.
    assert agreement(store(), rows=[1, 3]) == Neighbors(3 / 4, 3 / 4, queries=4, references=2)


def test_it_does_not_depend_on_the_images_that_pass_together(monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 3)
    assert agreement(store()) == EXPECTED


def test_queries_and_references_are_at_most_so_many_and_of_every_class(monkeypatch):
    monkeypatch.setattr(module, "QUERIES", 2)
    monkeypatch.setattr(module, "REFERENCES", 2)
    # With a class at each end, a query and a reference of each are nearest to each other.
    train = [(n + 100 * label, 0, label) for label in (0, 1) for n in range(10)]
    test = [(n + 100 * label, 0, label) for label in (0, 1) for n in range(5)]
    found = agreement(store(train, test))
    assert (found.pixels, found.queries, found.references) == (1.0, 2, 2)


def test_the_record_has_the_agreement_of_its_network(record: Record, finished: Path):
    data = Store.open(Path(Job.load(finished).store))
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
