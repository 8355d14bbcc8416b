"""Find the nearest training images of test images, in features and in pixels (§6.1)."""

import numpy as np
import torch
from torch import Tensor

from ablations.data.store import Store
from ablations.data.stratified import stratified_order
from ablations.models import features
from ablations.record import Neighbors
from ablations.training.classifier import Classifier

QUERIES, REFERENCES = 1_000, 10_000
CHUNK = 250  # images per forward pass


@torch.inference_mode()
def neighbor_agreement(module: Classifier, store: Store, rows: np.ndarray) -> Neighbors:
    """Measure how often a test image and its nearest training image have the same class.

    Paper: §6.1, which compares Euclidean distances in the last hidden layer and in pixels, and
    shows images but no number. All runs on the same data use the same images, a fixed stratified
    sample of at most ``QUERIES`` test and ``REFERENCES`` training images.

    Args:
        module: The trained module, in evaluation mode.
        store: The prepared data.
        rows: Rows of the images that the run was trained on, shape (N,), int64.
    """
    queries = np.sort(stratified_order(store.test_labels)[:QUERIES])
    references = np.sort(rows[stratified_order(store.train_labels[rows])[:REFERENCES]])

    def vectors(images: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return the features and the pixels of images, each of shape (N, F)."""
        x = module.inputs(torch.from_numpy(images).to(module.device))
        return features(module.network, x).float().flatten(1), x.float().flatten(1)

    chunks = [vectors(store.test_images[chunk]) for chunk in _chunks(queries)]
    query_vectors = [torch.cat(column) for column in zip(*chunks, strict=True)]
    distances: dict[str, list[Tensor]] = {"features": [], "pixels": []}
    for chunk in _chunks(references):
        for name, query, reference in zip(
            distances, query_vectors, vectors(store.train_images[chunk]), strict=True
        ):
            # Squared distances minus the query's squared norm, which does not affect the order.
            distances[name].append((reference.square().sum(1) - 2 * query @ reference.T).cpu())
    labels, expected = store.train_labels[references], store.test_labels[queries]
    agreement = {
        name: float((labels[torch.cat(parts, 1).argmin(1).numpy()] == expected).mean())
        for name, parts in distances.items()
    }
    return Neighbors(**agreement, queries=len(queries), references=len(references))


def _chunks(rows: np.ndarray) -> list[np.ndarray]:
    return np.array_split(rows, -(-len(rows) // CHUNK))
