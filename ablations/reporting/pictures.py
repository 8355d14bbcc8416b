"""Pictures of one trained network: first kernels, predictions, nearest neighbors (§6.1).

The only module of the report that needs torch. It is imported when pictures are drawn.
"""

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.utils import make_grid

from ablations import models
from ablations.config import ConfigError, Job
from ablations.data.store import Store
from ablations.models.pretrained import network_state, read_checkpoint
from ablations.record import CHECKPOINT, PREDICTIONS, Record
from ablations.reporting.mistakes import prepared
from ablations.techniques.augmentation import to_input
from ablations.techniques.evaluation import center_crop
from ablations.techniques.towers import colorfulness
from ablations.training.classifier import input_mean
from ablations.words import classes

QUERIES, NEIGHBORS, PREDICTED, WRONG = 5, 6, 8, 8
POOL = 600  # training images among which neighbors are searched
_EXACT = 64  # side in pixels up to which a photograph is kept exactly


class Picture(NamedTuple):
    """An image of the page: a data URI, and what it shows."""

    source: str
    text: str


class Prediction(NamedTuple):
    """A test image, its text the true class, with the five most probable classes.

    Each class has its name, its probability in percent, and whether it is the true class.
    """

    image: Picture
    classes: list[tuple[str, float, bool]]


class MostWrong(NamedTuple):
    """The test images whose true class has the lowest probability in a run, lowest first.

    The classes of each prediction are the predicted and the true one.
    """

    run: Record
    predictions: list[Prediction]


class NearestNeighbors(NamedTuple):
    """A test image and its nearest training images, nearest first; their texts are the classes."""

    image: Picture
    nearest: list[Picture]


@dataclass
class Figures:
    """The pictures of one run.

    Attributes:
        run: The run.
        kernels: Those of each tower.
        predictions: Correct and wrong ones, up to :data:`PREDICTED` // 2 of each.
        neighbors: Those of several test images.
        missing: What could not be drawn, and why.
    """

    run: Record
    kernels: list[Picture]
    predictions: list[Prediction] = field(default_factory=list)
    neighbors: list[NearestNeighbors] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def pool(self) -> int:
        """Number of training images among which neighbors were searched."""
        return min(POOL, self.run.data.train_images)


def draw(output: Path, runs: Sequence[Record]) -> Figures | None:
    """Draw the first run with a checkpoint that this version can read; None without any.

    Args:
        output: Folder of the runs.
        runs: Runs of one experiment, in order of preference.
    """
    for run in runs:
        folder = output / run.run_id
        if run.status == "finished" and (folder / CHECKPOINT).exists():
            try:
                return _draw(run, folder)
            except ConfigError:  # written by another version
                continue
    return None


def most_wrong(output: Path, runs: Sequence[Record]) -> MostWrong | None:
    """Draw the most wrong images of the first run whose predictions and data are here.

    Args:
        output: Folder of the runs.
        runs: Runs of one arm, in order of preference.

    Returns:
        The images, in the views of the run's tables; None without such a run.
    """
    for run in runs:
        folder = output / run.run_id
        probabilities = _probabilities(folder, run.evaluation)
        if probabilities is not None and (store := prepared(folder, run)):
            labels, best = store.test_labels, probabilities.argmax(1)
            true = probabilities[np.arange(len(labels)), labels]
            # Many probabilities are rounded to zero; the most confident mistakes then come first.
            order = np.lexsort((-probabilities.max(1), true))
            chosen = [row for row in order if best[row] != labels[row]][:WRONG]
            tops = [(best[row], labels[row]) for row in chosen]
            return MostWrong(run, _show(store, probabilities, chosen, tops))
    return None


def _probabilities(folder: Path, view: str) -> NDArray[np.float32] | None:
    """Return the probabilities of the test images in a view; None if they were not saved."""
    if not (folder / PREDICTIONS).exists():
        return None
    with np.load(folder / PREDICTIONS) as predictions:
        return predictions[view].astype(np.float32)


def _draw(run: Record, folder: Path) -> Figures:
    job = Job.load(folder)
    network = models.build(job.run, run.data.classes)
    network.load_state_dict(network_state(read_checkpoint(folder / CHECKPOINT)))
    network.eval()
    figures = Figures(run, _kernels(network))
    store = prepared(folder, run)
    if store is None:
        figures.missing.append(
            "The prepared images of this run are not here: no predictions and no neighbors."
        )
        return figures
    probabilities = _probabilities(folder, "ten_view")
    if probabilities is None:
        figures.missing.append(f"No {PREDICTIONS} beside the record: no predictions.")
    else:
        figures.predictions = _predictions(store, probabilities)
    figures.neighbors = _neighbors(job, network, store)
    return figures


def _kernels(network: torch.nn.Sequential) -> list[Picture]:
    first, *rest = (m for m in network.modules() if isinstance(m, torch.nn.Conv2d))
    # §3.2: the second convolution sees the kernels of its own tower only.
    towers = first.weight.detach().double().chunk(rest[0].groups if rest else 1)
    found = []
    for number, kernels in enumerate(towers, start=1):
        color = 100 * colorfulness(kernels.numpy()).mean()
        count, _, height, width = kernels.shape
        text = f"{count} kernels of {height} × {width} pixels, mean color {color:.0f} %"
        text = f"Tower {number}: {text}" if len(towers) > 1 else text
        found.append(Picture(data_uri(mosaic(kernels)), text))
    return found


def mosaic(kernels: Tensor) -> NDArray[np.uint8]:
    """Put kernels side by side, each scaled to the full range around middle gray.

    Args:
        kernels: Shape (K, 3, H, W).

    Returns:
        An RGBA image in which the gaps between kernels are transparent, shape (rows, columns, 4).
    """
    peaks = kernels.abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-30)
    opaque = torch.ones_like(kernels[:, :1])
    columns = next((n for n in (8, 6, 7, 5) if len(kernels) % n == 0), 8)
    images = torch.cat([0.5 + 0.5 * kernels / peaks, opaque], dim=1)
    sheet = make_grid(images, nrow=columns, padding=1)[:, 1:-1, 1:-1]
    return (255 * sheet).round().byte().permute(1, 2, 0).numpy()


def data_uri(pixels: NDArray[np.uint8]) -> str:
    """Encode pixels, shape (H, W, 3) or (H, W, 4), exactly unless they are a large photograph."""
    image = Image.fromarray(pixels)
    photograph = image.mode == "RGB" and max(image.size) > _EXACT
    if photograph:  # the page stays small enough to commit
        image.thumbnail((2 * _EXACT, 2 * _EXACT))
    kind = "jpeg" if photograph else "png"
    buffer = io.BytesIO()
    image.save(buffer, kind, optimize=True, quality=80)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _predictions(store: Store, probabilities: NDArray[np.float32]) -> list[Prediction]:
    labels = store.test_labels
    correct = probabilities.argmax(1) == labels
    chosen = [
        int(row)
        for kind in (correct, ~correct)
        for row in firsts(np.flatnonzero(kind), labels, PREDICTED // 2)
    ]
    best = np.argsort(-probabilities[chosen], kind="stable")[:, :5]
    return _show(store, probabilities, chosen, best)


def firsts(rows: NDArray[np.intp], labels: NDArray[np.integer], most: int) -> NDArray[np.intp]:
    """Return the first row of each class, in ascending order, and not more than ``most``.

    Args:
        rows: Rows to choose from, in ascending order.
        labels: Class number by row.
        most: How many to choose.
    """
    _, places = np.unique(labels[rows], return_index=True)
    return rows[np.sort(places)][:most]


def _show(
    store: Store, probabilities: NDArray[np.float32], chosen: Sequence[int], tops: Iterable[Any]
) -> list[Prediction]:
    labels, names = store.test_labels, classes(store.classes)
    return [
        Prediction(
            Picture(data_uri(store.test_images[row]), names[labels[row]]),
            [(names[c], 100 * float(probabilities[row, c]), bool(c == labels[row])) for c in top],
        )
        for row, top in zip(chosen, tops, strict=True)
    ]


@torch.inference_mode()
def _neighbors(job: Job, network: torch.nn.Sequential, store: Store) -> list[NearestNeighbors]:
    train, _ = store.split(job.run.data.train_limit, job.run.data.val_size)
    pool = train[np.linspace(0, len(train) - 1, min(POOL, len(train))).astype(int)]
    labels, names = store.test_labels, classes(store.classes)
    queries = firsts(np.arange(len(labels)), labels, QUERIES)
    images = np.concatenate([store.test_images[queries], store.train_images[pool]])
    crop, mean = job.run.data.crop, input_mean(job.run, store)
    features = torch.cat(
        [
            models.features(network, to_input(center_crop(part, crop), mean)).flatten(1)
            for part in torch.from_numpy(images).split(100)
        ]
    )
    distances = torch.cdist(features[: len(queries)], features[len(queries) :])
    nearest = pool[distances.argsort(1)[:, :NEIGHBORS].numpy()]
    return [
        NearestNeighbors(
            Picture(data_uri(store.test_images[query]), names[labels[query]]),
            [Picture(data_uri(store.train_images[i]), names[store.train_labels[i]]) for i in row],
        )
        for query, row in zip(queries, nearest, strict=True)
    ]
