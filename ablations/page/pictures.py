"""Pictures of a trained network: its first kernels, its guesses, its idea of likeness (§6.1).

The one module of the report that needs torch: it is imported when pictures are drawn.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from ablations import networks
from ablations.classifier import input_mean
from ablations.config import ConfigError, Job
from ablations.data.store import Store
from ablations.networks.pretrained import weights
from ablations.page import words
from ablations.page.album import POOL, Album, Guess, Likeness, Picture, Tower
from ablations.record import CHECKPOINT, PREDICTIONS, Record
from ablations.techniques.augmentation import to_input
from ablations.techniques.evaluation import center_crop
from ablations.techniques.towers import colorfulness

QUERIES, NEIGHBORS, GUESSES = 5, 6, 8


def album(output: Path, runs: Sequence[Record]) -> Album | None:
    """Draw the first run that has a checkpoint which this version can read; none where none has.

    Args:
        output: Folder of the runs.
        runs: Runs of one experiment, best first.
    """
    for run in runs:
        folder = output / run.run_id
        if run.status == "finished" and (folder / CHECKPOINT).exists():
            try:
                return _draw(run, folder)
            except (ConfigError, ValidationError):  # written by another version
                continue
    return None


def _draw(run: Record, folder: Path) -> Album:
    found = Album(run.run_id, run.arm, run.seed, pool=min(POOL, run.data.train_images))
    job = Job.load(folder)
    network = networks.build(job.run, run.data.classes)
    network.load_state_dict(weights(folder / CHECKPOINT))
    network.eval()
    found.towers.extend(_kernels(network))
    try:
        store = Store.open(Path(job.store))
        if store.fingerprint != run.data.fingerprint:
            raise ConfigError("the prepared data have changed since")
    except ConfigError:
        found.missing.append(
            "The prepared images of this run are not here: no guesses and no neighbors."
        )
        return found
    if (folder / PREDICTIONS).exists():
        with np.load(folder / PREDICTIONS) as predictions:
            found.guesses.extend(_guesses(store, predictions["ten_view"].astype(np.float32)))
    else:
        found.missing.append(f"No {PREDICTIONS} beside the record: no guesses.")
    found.likenesses.extend(_likenesses(job, network, store))
    return found


def _kernels(network: torch.nn.Sequential) -> list[Tower]:
    first = next(m for m in network.modules() if isinstance(m, torch.nn.Conv2d))
    second = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)][1:2]
    # §3.2: the second convolution sees the kernels of its own tower only.
    towers = second[0].groups if second else 1
    weights = first.weight.detach().double().numpy()
    found = []
    for number, half in enumerate(np.split(weights, towers), start=1):
        colors, kernels = colorfulness(half), half.transpose(0, 2, 3, 1)
        text = f"{len(kernels)} kernels of {kernels.shape[1]} × {kernels.shape[2]} pixels"
        if towers > 1:
            text = f"tower {number}: {text}"
        found.append(Tower(Picture.of(mosaic(kernels), text), colors))
    return found


def mosaic(kernels: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Kernels side by side, each stretched to the full range around middle gray.

    Args:
        kernels: Shape (K, H, W, 3).

    Returns:
        An RGB image with transparent gaps of one pixel, shape (., ., 4).
    """
    count, height, width, _ = kernels.shape
    columns = next((n for n in (8, 6, 7, 5) if count % n == 0), 8)
    rows = -(-count // columns)
    sheet = np.zeros((rows * (height + 1) - 1, columns * (width + 1) - 1, 4), np.uint8)
    for index, kernel in enumerate(kernels):
        top, left = (height + 1) * (index // columns), (width + 1) * (index % columns)
        peak = max(np.abs(kernel).max(), 1e-30)
        tile = sheet[top : top + height, left : left + width]
        tile[..., :3] = np.round(127.5 + 127.5 * kernel / peak)
        tile[..., 3] = 255
    return sheet


def _guesses(store: Store, probabilities: NDArray[np.float32]) -> list[Guess]:
    labels, names = store.test_labels, words.classes(store.classes)
    right = probabilities.argmax(1) == labels
    # The first of either kind in the order of the test split: not chosen by hand.
    wanted = GUESSES // 2
    chosen = [*np.flatnonzero(right)[:wanted], *np.flatnonzero(~right)[:wanted]]
    found = []
    for row in chosen:
        best = np.argsort(-probabilities[row], kind="stable")[:5]
        classes = [
            (names[c], float(100 * probabilities[row, c]), bool(c == labels[row])) for c in best
        ]
        found.append(
            Guess(
                Picture.of(store.test_images[row], names[labels[row]]),
                bool(right[row]),
                classes,
            )
        )
    return found


@torch.inference_mode()
def _likenesses(job: Job, network: torch.nn.Sequential, store: Store) -> list[Likeness]:
    train, _ = store.split(job.run.data.train_limit, job.run.data.val_size)
    pool = train[np.linspace(0, len(train) - 1, min(POOL, len(train))).astype(int)]
    # One query of each of the first classes.
    labels, names = store.test_labels, words.classes(store.classes)
    kinds = list(dict.fromkeys(labels.tolist()))[:QUERIES]
    queries = np.array([np.flatnonzero(labels == kind)[0] for kind in kinds])
    images = np.concatenate([store.test_images[np.sort(queries)], store.train_images[pool]])
    queries = np.sort(queries)
    crop, mean = job.run.data.crop, input_mean(job.run, store)
    features = torch.cat(
        [
            networks.features(network, to_input(center_crop(part, crop), mean)).flatten(1)
            for part in torch.from_numpy(images).split(100)
        ]
    )
    distances = torch.cdist(features[: len(queries)], features[len(queries) :])
    found = []
    for query, row in zip(queries, distances, strict=True):
        nearest = pool[row.argsort()[:NEIGHBORS].numpy()]
        kinds_of = store.train_labels[nearest]
        found.append(
            Likeness(
                Picture.of(store.test_images[query], names[labels[query]]),
                [
                    Picture.of(store.train_images[i], names[kind])
                    for i, kind in zip(nearest, kinds_of, strict=True)
                ],
                int((kinds_of == labels[query]).sum()),
            )
        )
    return found
