"""Nearest training images of test images, in features and in pixels (§6.1)."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ablations.data.store import Store
from ablations.data.stratified import stratified_order
from ablations.record import Neighbors

QUERIES, REFERENCES = 1_000, 10_000
CHUNK = 250  # images that pass the network together


@torch.inference_mode()
def neighbor_agreement(
    store: Store,
    rows: np.ndarray,
    inputs: Callable[[Tensor], Tensor],
    features: Callable[[Tensor], Tensor],
    device: torch.device,
) -> Neighbors:
    """Measure how often the nearest training image is of the query's class.

    Paper: §6.1, which compares Euclidean distances of the last hidden layer and of pixels, and
    gives pictures instead of a figure. Queries and references are the same in every run on these
    data: a fixed stratified choice of at most ``QUERIES`` test and ``REFERENCES`` training images.

    Args:
        store: The prepared data.
        rows: Rows of the images that the run was trained on, shape (N,), int64.
        inputs: Makes the network's inputs from stored pixels, (N, S, S, 3) to (N, 3, H, W).
        features: The last hidden layer of the trained network, (N, 3, H, W) to (N, F).
        device: Where ``features`` computes.
    """
    queries = np.sort(stratified_order(store.test_labels)[:QUERIES])
    references = np.sort(rows[stratified_order(store.train_labels[rows])[:REFERENCES]])
    labels = torch.from_numpy(store.test_labels[queries])
    known = torch.from_numpy(store.train_labels[references])

    def both(images: np.ndarray) -> tuple[Tensor, Tensor]:
        x = inputs(torch.from_numpy(images).to(device))
        return features(x).float().flatten(1), x.float().flatten(1)

    asked = [both(store.test_images[part]) for part in _chunks(queries)]
    asked_features, asked_pixels = (torch.cat(column) for column in zip(*asked, strict=True))
    best = {name: torch.full((len(queries),), torch.inf) for name in ("features", "pixels")}
    found = {name: torch.zeros(len(queries), dtype=torch.int64) for name in best}
    start = 0
    for part in _chunks(references):
        for name, ours, theirs in zip(
            best, (asked_features, asked_pixels), both(store.train_images[part]), strict=True
        ):
            # Squared distances less the query's own norm, which does not change the order.
            distances = theirs.square().sum(1) - 2 * ours @ theirs.T
            nearest, place = (column.cpu() for column in distances.min(1))
            closer = nearest < best[name]
            best[name] = torch.where(closer, nearest, best[name])
            found[name] = torch.where(closer, place + start, found[name])
        start += len(part)
    agreement = {
        name: (known[place] == labels).double().mean().item() for name, place in found.items()
    }
    return Neighbors(**agreement, queries=len(queries), references=len(references))


def _chunks(rows: np.ndarray) -> list[np.ndarray]:
    return np.array_split(rows, -(-len(rows) // CHUNK))
