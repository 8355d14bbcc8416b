"""Pictures of trained networks: first kernels, predictions, nearest neighbors (§6.1).

The only module of the report that needs torch. It is imported when pictures are drawn.
"""

import base64
import io
from collections.abc import Iterable, Sequence
from contextlib import suppress
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
from ablations.config import ConfigError
from ablations.data.store import Store
from ablations.record import CHECKPOINT, PREDICTIONS, Record, unpack
from ablations.reporting.evidence import Section
from ablations.reporting.mistakes import prepared
from ablations.techniques.augmentation import to_input
from ablations.techniques.evaluation import center_crop
from ablations.techniques.towers import colorfulness
from ablations.trained import TrainedNetwork
from ablations.words import classes

QUERIES, NEIGHBORS, PREDICTED, WRONG = 5, 6, 8, 8
POOL = 600  # training images among which neighbors are searched
_EXACT = 64  # side in pixels up to which a photograph is kept exactly


class Picture(NamedTuple):
    """An image of the page: a data URI, and what it shows."""

    source: str
    text: str


class Prediction(NamedTuple):
    """A test image, its text the true class, with probable classes.

    Each class has its name, its probability in percent, and whether it is the true class.
    """

    image: Picture
    classes: list[tuple[str, float, bool]]


@dataclass
class Pictures:
    """The pictures of a section.

    Attributes:
        wrong: A run of each arm, by the name of the arm, and the test images whose true class has
            the lowest probability in it, lowest first, with the predicted and the true class.
        run: The run whose network the others show; None if no run has a checkpoint.
        kernels: The first kernels of each tower.
        predictions: The five most probable classes of test images, of :data:`PREDICTED` // 2 that
            are classified correctly and as many that are not.
        neighbors: Test images, each followed by the nearest training images, nearest first; their
            texts are the classes. Empty, like the predictions, if the prepared data are not here.
        pool: Number of training images among which neighbors were searched.
    """

    wrong: dict[str, tuple[Record, list[Prediction]]]
    run: Record | None = None
    kernels: list[Picture] = field(default_factory=list)
    predictions: list[Prediction] = field(default_factory=list)
    neighbors: list[list[Picture]] = field(default_factory=list)
    pool: int = 0


def draw(section: Section) -> Pictures:
    """Draw the most wrong images of each arm, and the first network that has a checkpoint."""
    found = ((arm.name, _most_wrong(section.output, arm.finished)) for arm in section.arms)
    pictures = Pictures({name: wrong for name, wrong in found if wrong})
    for run in section.runs:
        folder = section.output / run.run_id
        if run.status == "finished" and (folder / CHECKPOINT).exists():
            with suppress(ConfigError):  # written by another version
                trained = TrainedNetwork.of_run(folder)
                pictures.run, pictures.kernels = run, _kernels(trained.network)
                if store := prepared(folder, run):
                    pictures.predictions = _predictions(trained, store)
                    pictures.neighbors = _neighbors(trained, store)
                    pictures.pool = min(POOL, run.data.train_images)
                break
    return pictures


def _most_wrong(output: Path, runs: Sequence[Record]) -> tuple[Record, list[Prediction]] | None:
    """Draw the most wrong images of the first run whose predictions and data are here.

    Args:
        output: Folder of the runs.
        runs: Finished runs of an arm.

    Returns:
        The run and the images, in the views of its tables; None without such a run.
    """
    for run in runs:
        path = output / run.run_id / PREDICTIONS
        if path.exists() and (store := prepared(path.parent, run)):
            with np.load(path) as saved:
                probabilities = saved[run.evaluation].astype(np.float32)
            labels, best = store.test_labels, probabilities.argmax(1)
            true = probabilities[np.arange(len(labels)), labels]
            # Many probabilities are rounded to zero; the most confident mistakes then come first.
            order = np.lexsort((-probabilities.max(1), true))
            chosen = [row for row in order if best[row] != labels[row]][:WRONG]
            tops = [(best[row], labels[row]) for row in chosen]
            return run, _show(store, chosen, probabilities[chosen], tops)
    return None


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


def _predictions(trained: TrainedNetwork, store: Store) -> list[Prediction]:
    labels = store.test_labels
    correct = unpack(trained.record.predicted["ten_view"]) == labels
    rows = [firsts(np.flatnonzero(kind), labels, PREDICTED // 2) for kind in (correct, ~correct)]
    chosen = np.concatenate(rows)
    probabilities = trained.predict(torch.tensor(store.test_images[chosen]))
    best = probabilities.argsort(1, descending=True)[:, :5]
    return _show(store, chosen, probabilities.numpy(), best.numpy())


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
    store: Store, rows: Iterable[int], probabilities: NDArray[np.float32], tops: Iterable[Any]
) -> list[Prediction]:
    """Return test images, each with the probabilities of its class numbers in ``tops``."""
    labels, names = store.test_labels, classes(store.classes)
    return [
        Prediction(
            Picture(data_uri(store.test_images[row]), names[labels[row]]),
            [(names[c], 100 * float(shares[c]), bool(c == labels[row])) for c in top],
        )
        for row, shares, top in zip(rows, probabilities, tops, strict=True)
    ]


@torch.inference_mode()
def _neighbors(trained: TrainedNetwork, store: Store) -> list[list[Picture]]:
    train, _ = store.split(trained.run.data.train_limit, trained.run.data.val_size)
    pool = train[np.linspace(0, len(train) - 1, min(POOL, len(train))).astype(int)]
    labels, names = store.test_labels, classes(store.classes)
    queries = firsts(np.arange(len(labels)), labels, QUERIES)
    images = np.concatenate([store.test_images[queries], store.train_images[pool]])
    inputs = (
        to_input(center_crop(part, trained.crop), trained.mean)
        for part in torch.from_numpy(images).split(100)
    )
    features = torch.cat([models.features(trained.network, x).flatten(1) for x in inputs])
    distances = torch.cdist(features[: len(queries)], features[len(queries) :])
    nearest = pool[distances.argsort(1)[:, :NEIGHBORS].numpy()]
    return [
        [
            Picture(data_uri(store.test_images[query]), names[labels[query]]),
            *(Picture(data_uri(store.train_images[i]), names[store.train_labels[i]]) for i in row),
        ]
        for query, row in zip(queries, nearest, strict=True)
    ]
